"""What a program was built from, so that a change of it is noticed: by identity, never by value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mlpeak import _core
from mlpeak._tensor import Tensor
from mlpeak.nn.module import Module

__all__ = ["fingerprint", "same"]

_PLAIN = (bool, int, float, str, bytes)


def fingerprint(roots: Iterable[Any]) -> list[Any]:
    """Return the objects that the modules among `roots` consist of, and the tier in use.

    Of a module these are its attributes, training flag included, its parameters, buffers and
    children; of a tensor its memory and whether it requires a gradient. Values are not among them:
    a program reads those where they stand.
    """
    found: list[Any] = [_core.tier()]
    for root in roots:
        if isinstance(root, Module):
            for module in root.modules():
                found.append(module)
                found += _attributes(module)
        else:
            found.append(root)
    return found


def _attributes(module: Module) -> Iterator[Any]:
    for name, value in module.__dict__.items():
        yield name
        if name in ("_parameters", "_buffers", "_modules"):
            for key, member in value.items():
                yield key
                yield member
                if isinstance(member, Tensor):
                    yield member._array
                    yield member._version
                    yield member.requires_grad
        else:
            yield value


def same(one: list[Any], other: list[Any]) -> bool:
    """Whether two fingerprints are of the same objects."""
    return len(one) == len(other) and all(
        a is b or (type(a) is type(b) and isinstance(a, _PLAIN) and a == b)
        for a, b in zip(one, other, strict=True)
    )
