"""Kernels: activations and row-wise softmax."""

from __future__ import annotations

__all__: list[str] = []
