"""Python values as JSON and back: what option dictionaries and the states of schedulers hold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

__all__ = ["from_plain", "to_plain"]


def to_plain(value: Any, name: str) -> Any:
    """Return `value` made of what JSON has; tuples and dictionaries are marked as such.

    Raises
    ------
    TypeError
        If something in it, which the error calls `name`, is no number, text or container of them.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [to_plain(part, name) for part in value]
    if isinstance(value, tuple):
        return {"tuple": [to_plain(part, name) for part in value]}
    if isinstance(value, dict):
        kind = "counter" if isinstance(value, Counter) else "dict"
        return {kind: [[to_plain(k, name), to_plain(v, name)] for k, v in value.items()]}
    raise TypeError(
        f"save: {name} holds {type(value).__name__}; expected numbers, text, lists and dictionaries"
    )


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given."""
    if isinstance(value, list):
        return [from_plain(part) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, parts),) = value.items()
    if kind == "tuple":
        return tuple(from_plain(parts))
    pairs = {from_plain(k): from_plain(v) for k, v in parts}
    return Counter(pairs) if kind == "counter" else pairs
