"""Plain NumPy: normalisations."""

from __future__ import annotations

__all__: list[str] = []
