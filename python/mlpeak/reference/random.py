"""Plain NumPy: counter-based random numbers and dropout."""

from __future__ import annotations

__all__: list[str] = []
