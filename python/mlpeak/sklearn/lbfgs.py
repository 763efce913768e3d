"""The solver lbfgs: SciPy's L-BFGS-B on the loss and gradient of all samples."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from sklearn.utils.optimize import _check_optimize_result
from threadpoolctl import ThreadpoolController

from mlpeak._types import Array
from mlpeak.sklearn.engine import take_statistics
from mlpeak.sklearn.network import Network

if TYPE_CHECKING:
    from mlpeak.sklearn.base import BaseMLP

__all__ = ["fit_lbfgs"]

# From SciPy 1.15 on, L-BFGS-B prints nothing and warns of the option.
_PRINTS = tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 15)


@cache
def _blas() -> ThreadpoolController:
    # finding the libraries of the process takes milliseconds
    return ThreadpoolController()


def fit_lbfgs(
    estimator: BaseMLP, network: Network, X: Any, y: Array, sample_weight: Array | None
) -> None:
    """Fit ``coefs_`` and ``intercepts_``, in the memory of `network`."""
    network.check_batches(X.shape[0], X.shape[0])
    engine = estimator._make_engine(network, X, y, sample_weight)
    params = network.parameters()
    # scikit-learn's order: a path of the search depends on it in its last bits
    shown = [p.T for p in params]

    def pack(arrays: list[Array]) -> Array:
        return np.hstack([array.ravel() for array in arrays])

    def unpack(packed: Array) -> None:
        start = 0
        for array in shown:
            array[...] = packed[start : start + array.size].reshape(array.shape)
            start += array.size

    x = X.astype(network.dtype, copy=False)

    def settle(packed: Array) -> None:
        """Leave a point of the search as the model, with its own statistics."""
        unpack(packed)
        take_statistics(network, x)

    def loss_and_gradient(packed: Array) -> tuple[float, Array]:
        unpack(packed)
        loss, grads = engine.loss_and_gradient()
        return loss, pack([g.T for g in grads])

    deadline = None if estimator.max_time is None else time.monotonic() + estimator.max_time
    callbacks = estimator._callbacks()
    iteration, stopped = 0, False

    def after_iteration(intermediate_result: Any) -> None:
        nonlocal iteration, stopped
        iteration += 1
        if callbacks:
            settle(intermediate_result.x)
            estimator.n_iter_, estimator.loss_ = iteration, float(intermediate_result.fun)
            # each of them is called, whatever the others want
            stopped = True in [bool(callback(estimator)) for callback in callbacks]
        stopped = stopped or (deadline is not None and time.monotonic() > deadline)
        if stopped:
            raise StopIteration

    # SciPy's products of vectors are small: threads for them would only take cores from ours
    with _blas().limit(limits=1, user_api="blas"):
        result = scipy.optimize.minimize(
            loss_and_gradient,
            pack(shown),
            method="L-BFGS-B",
            jac=True,
            callback=after_iteration if callbacks or deadline is not None else None,
            options={
                "maxfun": estimator.max_fun,
                "maxiter": estimator.max_iter,
                "gtol": estimator.tol,
                **({"iprint": 1 if estimator.verbose else -1} if _PRINTS else {}),
            },
        )
    if stopped:
        estimator.n_iter_ = result.nit
    else:
        estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
    estimator.loss_ = result.fun
    settle(result.x)
