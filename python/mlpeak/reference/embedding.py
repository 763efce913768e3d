"""Plain NumPy: table look-ups by row index."""

from __future__ import annotations

__all__: list[str] = []
