"""The arrays of a fitted model, from which training goes on: its user may have replaced them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpeak._types import Array
from mlpeak.sklearn.network import float_dtype, trainable

if TYPE_CHECKING:
    from mlpeak.sklearn.base import BaseMLP

__all__ = ["check_fitted_arrays", "hold_arrays"]


def check_fitted_arrays(estimator: BaseMLP, units: list[int], norm: str | None) -> None:
    """Raise ValueError if a fitted network is not the one that is to be trained.

    Parameters
    ----------
    estimator : BaseMLP
    units : list of int
        The features of X, the hidden layers' units, and the units that y needs.
    norm : {"batch", "layer"} or None
        Of the hidden layers.
    """
    e = estimator
    layers, hidden = len(e.coefs_), units[1:-1]
    if layers != len(units) - 1:
        raise ValueError(
            f"hidden_layer_sizes is {hidden}, {len(hidden)} hidden layers, but the fitted network"
            f" has {layers - 1}; a warm start and partial_fit go on with as many."
        )
    if len(e.intercepts_) != layers:
        raise ValueError(
            f"intercepts_ has {len(e.intercepts_)} arrays; expected {layers}, as coefs_ has."
        )
    if [each.kind for each in e._norms] != ([norm] * len(hidden) if norm else []):
        found = f"{e._norms[0].kind}_norm" if e._norms else "no norm"
        raise ValueError(
            f"batch_norm is {e.batch_norm} and layer_norm is {e.layer_norm}, but the fitted network"
            f" has {found}; a warm start and partial_fit go on with the same."
        )
    shapes = [_shape(f"coefs_[{i}]", coef, 2) for i, coef in enumerate(e.coefs_)]
    if shapes[0][0] != units[0]:
        raise ValueError(
            f"X has {units[0]} features, but the fitted network takes {shapes[0][0]} features."
        )
    if shapes[-1][1] != units[-1]:
        raise ValueError(
            f"y needs a last layer of {units[-1]} units, but that of the fitted network has"
            f" {shapes[-1][1]}."
        )
    for i, (intercept, shape) in enumerate(zip(e.intercepts_, pairwise(units), strict=True)):
        if shapes[i] != shape:
            raise ValueError(
                f"coefs_[{i}] has shape {shapes[i]}; expected {shape}, by hidden_layer_sizes"
                f" {hidden}."
            )
        found_shape = _shape(f"intercepts_[{i}]", intercept, 1)
        if found_shape != shape[1:]:
            raise ValueError(
                f"intercepts_[{i}] has shape {found_shape}; expected {shape[1:]}, as coefs_[{i}]"
                f" has shape {shape}."
            )


def _shape(name: str, array: Any, ndim: int) -> tuple[int, ...]:
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {array.dtype}; expected real numbers.")
    if array.ndim != ndim:
        raise ValueError(f"{name} has {array.ndim} dimensions; expected {ndim}.")
    shape: tuple[int, ...] = array.shape
    return shape


def hold_arrays(estimator: BaseMLP, dtype: np.dtype[Any] | None = None) -> list[Array]:
    """Let a model's arrays stand as native code writes them, copied where they do not yet.

    Parameters
    ----------
    estimator : BaseMLP
    dtype : numpy.dtype, optional
        Of all of them; by default what holds the numbers of ``coefs_`` and ``intercepts_``.

    Returns
    -------
    list of ndarray (out, in)
        The weights, whose transposes are ``coefs_``.
    """
    e = estimator
    coefs = [np.asarray(coef) for coef in e.coefs_]
    intercepts = [np.asarray(intercept) for intercept in e.intercepts_]
    if dtype is None:
        dtype = float_dtype(*(array.dtype for array in [*coefs, *intercepts]))
    weights = [trainable(coef.T, dtype) for coef in coefs]
    e.coefs_ = [weight.T for weight in weights]
    e.intercepts_ = [trainable(intercept, dtype) for intercept in intercepts]
    e._norms = [norm.trainable(dtype) for norm in e._norms]
    return weights
