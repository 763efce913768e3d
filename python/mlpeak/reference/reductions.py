"""Plain NumPy: sums and means."""

from __future__ import annotations

__all__: list[str] = []
