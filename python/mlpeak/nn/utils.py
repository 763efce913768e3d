"""Gradients as a whole: clipping by norm and by value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpeak import kernels
from mlpeak._from_data import from_numpy
from mlpeak._tensor import Tensor
from mlpeak.nn._state import overwrite

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by one factor so that their joint norm is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those whose ``.grad`` is changed; ones without a gradient are passed over.
    max_norm : float
        The largest norm that is left as it is.
    norm_type : float
        The p of the p-norm; ``inf`` for the largest absolute value, ``-inf`` for the smallest, 0
        for the number of those that are not zero.
    error_if_nonfinite : bool
        Whether a norm of nan or inf is an error; else the gradients become nan or 0.
    foreach : optional
        Taken for PyTorch's sake.

    Returns
    -------
    Tensor
        The norm before clipping, 0-d.

    Raises
    ------
    RuntimeError
        If the norm is not finite and `error_if_nonfinite` is set; nothing is written then.
    """
    grads = _grads(parameters)
    if not grads:
        return from_numpy(np.zeros((), np.float32))
    norm_type = float(norm_type)
    dtype = max((g.dtype for g in grads), key=lambda d: d.itemsize)
    norms = np.array([_norm(g._array, norm_type) for g in grads], dtype)
    total = _norm(norms, norm_type)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    factor = np.minimum(float(max_norm) / (total + 1e-6), 1.0)
    for grad in grads:
        with np.errstate(invalid="ignore"):  # inf * 0, where the norm is infinite
            scaled = grad._array * grad.dtype.type(factor)
        overwrite(grad, scaled)
    return from_numpy(np.array(total, dtype))


def _norm(x: NDArray[Any], p: float) -> float:
    """Return the p-norm of all elements, summed in the order of `mlpeak.kernels.sum`."""
    if p == math.inf:
        return float(np.max(np.abs(x), initial=0))
    if p == -math.inf:
        return float(np.min(np.abs(x), initial=math.inf))
    if p == 0:
        return float(np.count_nonzero(x))
    if p == 2.0:
        with np.errstate(over="ignore"):
            return math.sqrt(float(kernels.sum(x * x)))
    if p == 1.0:
        return float(kernels.sum(np.abs(x)))
    powers = kernels.sum(kernels.pow(np.abs(x), p))
    root: NDArray[Any] = kernels.pow(powers.reshape(1), 1.0 / p)
    return float(root[0])


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Cut every element of the gradients to [-clip_value, clip_value].

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those whose ``.grad`` is changed.
    clip_value : float
        The largest absolute value left.
    foreach : optional
        Taken for PyTorch's sake.
    """
    bound = float(clip_value)
    for grad in _grads(parameters):
        overwrite(grad, np.clip(grad._array, -bound, bound))
