"""Checking classes and indices before a program reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlpeak import _core
from mlpeak._types import Array

__all__ = ["check_integers", "named"]


def named(name: str, arrays: Sequence[Array]) -> list[tuple[str, Array]]:
    """Return arrays with the names that errors call them by."""
    if len(arrays) == 1:
        return [(name, arrays[0])]
    return [(f"{name}[{i}]", array) for i, array in enumerate(arrays)]


def check_integers(
    function: str, expected: Sequence[dict[str, Any]], arrays: Sequence[tuple[str, Array]]
) -> bool:
    """Check all classes and indices; return whether any is the loss's ``ignore_index``.

    Raises
    ------
    ValueError
        If one is out of range.
    """
    ignored = False
    for (name, array), wanted in zip(arrays, expected, strict=True):
        uppers = wanted["uppers"]
        if not uppers:
            continue
        position, found = _core.scan_integers(array, uppers, wanted["ignore_index"])
        if position >= 0:
            raise ValueError(
                f"{function}: {name} holds {array.reshape(-1)[position]} at position {position}; "
                f"expected integers in [0, {uppers[position % len(uppers)]})"
            )
        ignored = ignored or found
    return ignored
