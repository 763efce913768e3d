"""Plain NumPy: matrix products and the fully connected layer."""

from __future__ import annotations

__all__: list[str] = []
