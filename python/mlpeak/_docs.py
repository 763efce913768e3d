"""Docstrings of function families: sections that are the same for all are written once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

# a function's docstring is stripped of its indentation since Python 3.13
INDENTED = "\n" if sys.version_info >= (3, 13) else "\n    "

RAISES = """
Raises
------
TypeError
    If an array is not a numpy.ndarray of float32 or float64, or dtypes differ.
ValueError
    If a shape, number or index is not as described, or an array that is written is read-only, not
    C-contiguous, or shares memory with another that it may not. Nothing has been written then.
"""


def insert(function: F, sections: str) -> F:
    """Put sections, or more of the last one, into the docstring before References and Examples."""
    text = (function.__doc__ or "").rstrip().replace(INDENTED, "\n")
    starts = [text.find(f"\n{name}\n--") for name in ("References", "Examples")]
    cut = min([at for at in starts if at >= 0], default=len(text))
    function.__doc__ = f"{text[:cut].rstrip()}\n{sections.rstrip()}\n{text[cut:]}"
    return function


def family(parameters: Mapping[str, str], returns: str) -> Callable[[F], F]:
    """Give each function of a family its Parameters, Returns and Raises sections.

    Parameters
    ----------
    parameters : mapping of str to str
        For each parameter name of the family, its numpydoc entry: type, newline, description.
    returns : str
        The entry of the Returns section.

    Returns
    -------
    decorator
        It changes nothing but the docstring.
    """

    def add(function: F) -> F:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        entries = "\n".join(f"{name} : {parameters[name]}" for name in names)
        return insert(
            function,
            f"\nParameters\n----------\n{entries}\n\nReturns\n-------\n{returns}\n{RAISES}",
        )

    return add


def raises(function: F) -> F:
    """Give a function the Raises section that all kernels share."""
    return insert(function, RAISES)
