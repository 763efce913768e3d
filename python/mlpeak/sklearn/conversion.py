"""Fitted models of scikit-learn as mlpeak's, and the other way."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.neural_network._multilayer_perceptron import MLPClassifier as SklearnClassifier
from sklearn.neural_network._multilayer_perceptron import MLPRegressor as SklearnRegressor
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer as SklearnAdam
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer as SklearnSGD

from mlpeak._types import Array
from mlpeak.sklearn.base import BaseMLP
from mlpeak.sklearn.classifier import MLPClassifier
from mlpeak.sklearn.network import as_weight
from mlpeak.sklearn.optimizers import AdamOptimizer, Optimizer, SGDOptimizer
from mlpeak.sklearn.regressor import MLPRegressor

__all__ = ["from_sklearn", "to_sklearn"]

_PAIRS = ((MLPClassifier, SklearnClassifier), (MLPRegressor, SklearnRegressor))
# attributes that only one of the two has
_OURS = ("_norms", "_best_norms")


def from_sklearn(estimator: Any) -> Any:
    """Return mlpeak's form of one of scikit-learn's MLPs, fitted or not.

    Training goes on where it was: warm starts and partial_fit find the solver's moments.

    Parameters
    ----------
    estimator : sklearn.neural_network.MLPClassifier or MLPRegressor

    Returns
    -------
    MLPClassifier or MLPRegressor
        Independent of `estimator`.

    Raises
    ------
    TypeError
        If it is another object.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> theirs = MLPClassifier(max_iter=20, tol=1.0, random_state=0).fit(X, y)
    >>> bool((from_sklearn(theirs).predict(X) == theirs.predict(X)).all())
    True
    """
    for ours, theirs in _PAIRS:
        if type(estimator) is theirs:
            new = ours(**estimator.get_params(deep=False))
            _copy_state(estimator, new)
            if hasattr(new, "coefs_"):
                new._norms, new._best_norms = [], []
                for name in ("coefs_", "_best_coefs"):
                    setattr(new, name, [as_weight(c).T for c in getattr(new, name)])
            if hasattr(new, "_optimizer"):
                new._optimizer = _our_optimizer(estimator)
            return new
    raise _type_error("from_sklearn", estimator, "MLPClassifier or MLPRegressor of scikit-learn")


def to_sklearn(estimator: Any) -> Any:
    """Return scikit-learn's form of one of mlpeak's MLPs, fitted or not.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor

    Returns
    -------
    sklearn.neural_network.MLPClassifier or MLPRegressor
        Independent of `estimator`.

    Raises
    ------
    TypeError
        If it is another object.
    ValueError
        If the model predicts in a way that scikit-learn's cannot: by an activation it has not, with
        norms, or a standard deviation.
    """
    for ours, theirs in _PAIRS:
        if type(estimator) is ours:
            _check_convertible(estimator)
            names = theirs().get_params()
            params = {n: v for n, v in estimator.get_params(deep=False).items() if n in names}
            params["solver"] = "adam" if params["solver"] == "adamw" else params["solver"]
            params["verbose"] = bool(params["verbose"])
            params["activation"] = _one_activation(estimator)
            if params.get("loss") not in (None, "squared_error", "poisson"):
                params["loss"] = "squared_error"  # all others predict the last layer's sums, too
            new = theirs(**params)
            _copy_state(estimator, new)
            if hasattr(new, "coefs_"):
                for name in ("coefs_", "_best_coefs"):
                    setattr(new, name, [np.ascontiguousarray(c) for c in getattr(new, name)])
            if hasattr(new, "_optimizer"):
                new._optimizer = _their_optimizer(estimator._optimizer)
            return new
    raise _type_error("to_sklearn", estimator, "MLPClassifier or MLPRegressor of mlpeak.sklearn")


def _type_error(function: str, estimator: Any, expected: str) -> TypeError:
    cls = type(estimator)
    return TypeError(
        f"{function}: estimator is {cls.__module__}.{cls.__qualname__}; expected {expected}"
    )


def _copy_state(old: Any, new: Any) -> None:
    params = old.get_params(deep=False)
    for name, value in vars(old).items():
        if name not in params and name not in _OURS and name != "loss":
            setattr(new, name, copy.deepcopy(value))


def _one_activation(estimator: BaseMLP) -> str:
    activation = estimator.activation
    if not isinstance(activation, str):
        activation = activation[0] if activation else "relu"
    return "logistic" if activation == "sigmoid" else activation


def _check_convertible(estimator: BaseMLP) -> None:
    names = ("identity", "logistic", "tanh", "relu")
    activation = estimator.activation
    used = [activation] if isinstance(activation, str) else list(activation)
    used = ["logistic" if name == "sigmoid" else name for name in used]
    if len(set(used)) > 1 or any(name not in names for name in used):
        raise ValueError(
            f"to_sklearn: activation is {activation!r}; expected one of {', '.join(names)}"
        )
    for name in ("batch_norm", "layer_norm"):
        if getattr(estimator, name):
            raise ValueError(f"to_sklearn: {name} is True; scikit-learn's layers have no norm")
    if estimator.loss == "gaussian_nll":
        raise ValueError("to_sklearn: loss is 'gaussian_nll'; scikit-learn predicts no deviation")


def _our_optimizer(estimator: Any) -> Optimizer:
    old = estimator._optimizer
    params: list[Array] = [
        *(as_weight(c) for c in estimator.coefs_),
        *(np.ascontiguousarray(b) for b in estimator.intercepts_),
    ]
    if isinstance(old, SklearnAdam):
        adam = AdamOptimizer(params, old.learning_rate_init, old.beta_1, old.beta_2, old.epsilon)
        adam.t, adam.learning_rate = old.t, old.learning_rate
        for state, m, v in zip(adam.states, old.ms, old.vs, strict=True):
            state[0][...], state[1][...] = m.T, v.T
        return adam
    sgd = SGDOptimizer(
        params, old.learning_rate_init, old.lr_schedule, old.momentum, old.nesterov, old.power_t
    )
    sgd.learning_rate = old.learning_rate
    for state, velocity in zip(sgd.states, old.velocities, strict=True):
        state[0][...] = -velocity.T
    return sgd


def _their_optimizer(old: Optimizer) -> Any:
    if isinstance(old, AdamOptimizer):
        adam = SklearnAdam([], old.learning_rate_init, old.beta_1, old.beta_2, old.epsilon)
        adam.t, adam.learning_rate = old.t, old.learning_rate
        adam.ms = [np.array(m, order="C") for m in old.ms]
        adam.vs = [np.array(v, order="C") for v in old.vs]
        return adam
    assert isinstance(old, SGDOptimizer)
    sgd = SklearnSGD(
        [], old.learning_rate_init, old.lr_schedule, old.momentum, old.nesterov, old.power_t
    )
    sgd.learning_rate = old.learning_rate
    sgd.velocities = [np.array(v, order="C") for v in old.velocities]
    return sgd
