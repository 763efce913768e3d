"""Kernels: optimizer updates, in place."""

from __future__ import annotations

__all__: list[str] = []
