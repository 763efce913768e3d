"""Docstrings of the losses: what is the same for all of them is written once."""

from __future__ import annotations

from collections.abc import Callable

from mlpeak._docs import RAISES, F, insert


def loss(mean: str, unreduced: str, refused: str) -> Callable[[F], F]:
    """Give a loss the last three of its Parameters, and its Returns and Raises sections.

    Parameters
    ----------
    mean : str
        What ``reduction="mean"`` does.
    unreduced : str
        The shape of the loss for ``reduction="none"``.
    refused : str
        What is a ValueError beside a wrong shape and an empty batch.

    Returns
    -------
    decorator
        It changes nothing but the docstring, whose own text ends in the first Parameters.
    """
    sections = f"""\
sample_weight : ndarray, shape (batch,), optional
    Weight of each row, finite and >= 0.
reduction : {{"mean", "sum", "none"}}
    ``"mean"`` {mean}
out : ndarray, shape () or, for ``"none"``, {unreduced}, optional
    Where to write the loss; it shares no memory with the arguments.

Returns
-------
ndarray
    The loss, 0-dimensional unless `reduction` is ``"none"``.

Raises
------
TypeError
    If a dtype is not the one above.
ValueError
    If a shape differs, the batch is empty, or {refused}.
"""
    return lambda function: insert(function, sections)


def gradient(function: F) -> F:
    """Give the ``_backward`` of a loss its parameters, and its Returns and Raises sections."""
    name = function.__name__.removesuffix("_backward")
    sections = f"""
Parameters are those of `{name}`; `grad_output` has the dtype and
shape of the loss, `out` the shape of `input`.

Returns
-------
grad_input : ndarray of the shape of `input`
"""
    return insert(function, sections + RAISES)
