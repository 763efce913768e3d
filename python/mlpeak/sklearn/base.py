"""How a fit runs: what both estimators share.

It follows `sklearn.neural_network` step by step, random draws included: initial weights, the split
of early stopping, one shuffle an epoch.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from mlpeak._memory import aligned_copy
from mlpeak._types import Array
from mlpeak.sklearn.arrays import check_fitted_arrays, hold_arrays
from mlpeak.sklearn.compiled import CompiledEngine, can_compile
from mlpeak.sklearn.engine import Data, Engine, KernelEngine, forward
from mlpeak.sklearn.lbfgs import fit_lbfgs
from mlpeak.sklearn.network import (
    HIDDEN_ACTIVATIONS,
    Network,
    Norm,
    as_weight,
    float_dtype,
    native_name,
)
from mlpeak.sklearn.objectives import Objective, make_objective, output_of
from mlpeak.sklearn.optimizers import Optimizer
from mlpeak.sklearn.stochastic import fit_stochastic
from mlpeak.sklearn.threads import share_of_threads

__all__ = ["STOCHASTIC_SOLVERS", "BaseMLP"]

STOCHASTIC_SOLVERS = ("sgd", "adam", "adamw")

# of which a prediction is done before its threads would be shared out
FEW_ROWS = 16

# of which BLAS adds the squares on one thread, sooner than NumPy's warnings are turned off
FEW_NUMBERS = 4096

_DTYPES = {"bf16": np.float32, "fp32": np.float32, "fp64": np.float64}


class BaseMLP(BaseEstimator, ABC):  # type: ignore[misc]
    """What `MLPClassifier` and `MLPRegressor` share."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(HIDDEN_ACTIVATIONS)), list, tuple],
        "solver": [StrOptions({"lbfgs", *STOCHASTIC_SOLVERS})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose", StrOptions({"bar"})],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
        "batch_norm": ["boolean"],
        "layer_norm": ["boolean"],
        "callbacks": [callable, list, tuple, None],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
        "n_threads": [Interval(Integral, 1, 4096, closed="both"), None],
        "precision": [StrOptions(set(_DTYPES)), None],
        "keep_optimizer_state": ["boolean"],
    }

    # the parameters, which the constructors of the subclasses store
    hidden_layer_sizes: Any
    activation: str | Sequence[str]
    solver: str
    alpha: float
    loss: str
    verbose: Any
    warm_start: bool
    early_stopping: bool
    dropout: float | Sequence[float]
    batch_norm: bool
    layer_norm: bool
    callbacks: Any
    max_time: float | None
    n_threads: int | None
    precision: str | None
    keep_optimizer_state: bool
    random_state: Any
    tol: float
    max_iter: int
    max_fun: int
    batch_size: int | str
    shuffle: bool
    validation_fraction: float
    n_iter_no_change: float

    # what a fit leaves
    coefs_: list[Array]
    intercepts_: list[Array]
    n_iter_: int
    t_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    loss_: float
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    validation_loss_curve_: list[float]
    _norms: list[Norm]
    _best_coefs: list[Array]
    _best_intercepts: list[Array]
    _best_norms: list[Norm]
    _no_improvement_count: int
    _optimizer: Optimizer
    _random_state: np.random.RandomState

    # ---- what the subclasses say ----

    @abstractmethod
    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        """Return X and y checked; y of a classifier as indicators."""

    @abstractmethod
    def _name_output(self) -> str:
        """Return what ``out_activation_`` is."""

    @abstractmethod
    def _options(self) -> dict[str, float]:
        """Return the numbers that the losses depend on."""

    @abstractmethod
    def _weigh(self, y: Array, sample_weight: Array | None) -> Array | None:
        """Return the sample weights with those of classes in them."""

    @abstractmethod
    def _score(self, X: Any, y: Array, sample_weight: Array | None = None) -> float:
        """Return the score of early stopping, without checking X."""

    @abstractmethod
    def _check_validation(self, X: Any, y: Any, outputs: int) -> tuple[Any, Array, Array]:
        """Return a validation set: X, y as `_score` takes it, and y as a fit takes it.

        ValueError if it does not fit a y of `outputs` columns.
        """

    # ---- fitting ----

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None
    ) -> BaseMLP:
        """Fit the model to data.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or numbers of a regression.
        sample_weight : array-like of shape (n_samples,), optional
        validation_data : tuple (X, y), optional
            Held-out samples: their loss after each epoch is in ``validation_loss_curve_``, and with
            ``early_stopping=True`` they take the place of the split. Stochastic solvers only.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight, validation_data=validation_data)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        incremental: bool = False,
        validation_data: Any = None,
    ) -> BaseMLP:
        sizes = self.hidden_layer_sizes
        sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        activations, dropout = self._check_layers(len(sizes))
        self._callbacks()
        if self.precision == "bf16" and self.solver == "lbfgs":
            raise ValueError("precision='bf16' is for the stochastic solvers, got solver='lbfgs'.")
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)

        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        if self.precision is not None:
            X = X.astype(_DTYPES[self.precision], copy=False)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        sample_weight = self._weigh(y, sample_weight)
        if y.ndim == 1:
            y = y.reshape((-1, 1))
        if not first_pass:
            units = [X.shape[1], *sizes, y.shape[1] * self._objective().widen]
            check_fitted_arrays(self, units, self._kind_of_norm())
        if validation_data is not None:
            validation_data = self._check_held_out(validation_data, y.shape[1])
        self.n_outputs_ = y.shape[1]

        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._initialize(X.shape[1], sizes, X.dtype)
        dtype = None if self.precision is None else np.dtype(_DTYPES[self.precision])
        if self.solver == "lbfgs":
            # SciPy computes in float64
            dtype = np.dtype(np.float64)
        weights = hold_arrays(self, dtype)
        products = "bf16" if self.precision == "bf16" else None
        network = Network(weights, self.intercepts_, activations, self._norms, dropout, products)
        with share_of_threads(self.n_threads) as share:
            if self.solver == "lbfgs":
                fit_lbfgs(self, network, X, y, sample_weight)
            else:
                fit_stochastic(
                    self, network, share, X, y, sample_weight, incremental, validation_data
                )

        norms = [array for norm in self._norms for array in norm.arrays()]
        if not all(np.isfinite(w).all() for w in [*self.coefs_, *self.intercepts_, *norms]):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
            )
        return self

    def _check_held_out(self, validation_data: Any, outputs: int) -> tuple[Any, Array, Array]:
        """Return `validation_data` as `_check_validation` does, if it fits this fit."""
        if self.solver not in STOCHASTIC_SOLVERS:
            raise ValueError(
                "The 'validation_data' argument of fit is for the stochastic solvers"
                f" {STOCHASTIC_SOLVERS}. Got it with solver={self.solver!r}."
            )
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
            got = type(validation_data).__name__
            if isinstance(validation_data, (tuple, list)):
                got += f" of {len(validation_data)}"
            raise ValueError(
                f"The 'validation_data' argument of fit must be a tuple (X, y). Got {got} instead."
            )
        X, y = validation_data
        X, y, target = self._check_validation(X, y, outputs)
        if self.early_stopping and len(target) < 2:
            raise ValueError(
                "The validation set is too small. With early_stopping, 'validation_data' must have"
                f" at least 2 samples. Got {len(target)} instead."
            )
        return X, y, target

    @staticmethod
    def _check_held_outputs(got: int, outputs: int) -> None:
        if got != outputs:
            raise ValueError(
                "The y of 'validation_data' must have as many outputs as that of fit,"
                f" {outputs}. Got {got} instead."
            )

    def _check_layers(self, hidden: int) -> tuple[list[str], list[float]]:
        """Return the activation and the dropout of each hidden layer."""
        activations = self._for_each("activation", self.activation, hidden)
        for name in activations:
            if name not in HIDDEN_ACTIVATIONS:
                raise ValueError(
                    f"The 'activation' parameter of {type(self).__name__} must hold names among"
                    f" {sorted(HIDDEN_ACTIVATIONS)}. Got {name!r} instead."
                )
        dropout = self._for_each("dropout", self.dropout, hidden)
        for p in dropout:
            if not isinstance(p, Real) or not 0 <= float(p) < 1:
                raise ValueError(
                    f"The 'dropout' parameter of {type(self).__name__} must hold floats in the"
                    f" range [0.0, 1.0). Got {p!r} instead."
                )
        if self.batch_norm and self.layer_norm:
            raise ValueError("batch_norm and layer_norm cannot both be True.")
        if self.solver == "lbfgs" and any(dropout):
            raise ValueError("dropout needs a stochastic solver. lbfgs is not stochastic.")
        return [native_name(name) for name in activations], [float(p) for p in dropout]

    def _for_each(self, name: str, value: Any, hidden: int) -> list[Any]:
        if not isinstance(value, (list, tuple)):
            return [value] * hidden
        if len(value) != hidden:
            raise ValueError(
                f"The '{name}' parameter of {type(self).__name__} must have an entry for each of"
                f" the {hidden} hidden layers. Got {len(value)} instead."
            )
        return list(value)

    def _initialize(self, n_features: int, sizes: list[int], dtype: np.dtype[Any]) -> None:
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(sizes) + 2
        self.out_activation_ = self._name_output()
        units = [n_features, *sizes, self.n_outputs_ * self._objective().widen]
        self.coefs_, self.intercepts_ = [], []
        for i, (fan_in, fan_out) in enumerate(pairwise(units)):
            coef, intercept = self._draw_layer(i, fan_in, fan_out)
            self.coefs_.append(aligned_copy(coef.T, dtype).T)
            self.intercepts_.append(intercept.astype(dtype, copy=False))
        kind = self._kind_of_norm()
        self._norms = [Norm.new(kind, size, dtype) for size in sizes] if kind else []
        self._remember_best()
        self.__dict__.pop("validation_loss_curve_", None)
        if self.solver in STOCHASTIC_SOLVERS:
            for name in ("loss_curve_", "validation_scores_", "best_loss_"):
                self.__dict__.pop(name, None)

    def _kind_of_norm(self) -> str | None:
        return "batch" if self.batch_norm else "layer" if self.layer_norm else None

    def _draw_layer(self, number: int, fan_in: int, fan_out: int) -> tuple[Array, Array]:
        """Return uniform numbers within the bounds of Glorot and Bengio."""
        activation = self.activation
        if not isinstance(activation, str):
            activation = activation[min(number, len(activation) - 1)] if activation else "identity"
        factor = 2.0 if activation == "logistic" else 6.0
        bound = np.sqrt(factor / (fan_in + fan_out))
        coef = self._random_state.uniform(-bound, bound, (fan_in, fan_out))
        return coef, self._random_state.uniform(-bound, bound, fan_out)

    def _remember_best(self) -> None:
        self._best_coefs = [c.copy(order="K") for c in self.coefs_]
        self._best_intercepts = [b.copy() for b in self.intercepts_]
        self._best_norms = [norm.copy() for norm in self._norms]

    def _recall_best(self) -> None:
        self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts
        self._norms = self._best_norms

    def _objective(self) -> Objective:
        return make_objective(self.loss, self.out_activation_, self._options())

    def _make_engine(
        self,
        network: Network,
        X: Any,
        y: Array,
        sample_weight: Array | None,
        optimizer: Optimizer | None = None,
        seed: int = 0,
    ) -> Engine:
        objective, dtype = self._objective(), network.dtype
        weight = None if sample_weight is None else np.ascontiguousarray(sample_weight, dtype)
        data = Data(X.astype(dtype, copy=False), objective.target(y, dtype), weight)
        engine = CompiledEngine if can_compile(network, data, objective) else KernelEngine
        return engine(network, data, objective, self.alpha, optimizer, seed)

    def _callbacks(self) -> list[Callable[[Any], Any]]:
        if self.callbacks is None:
            return []
        if callable(self.callbacks):
            return [self.callbacks]
        for callback in self.callbacks:
            if not callable(callback):
                raise TypeError(
                    f"The 'callbacks' parameter of {type(self).__name__} must hold callables."
                    f" Got {callback!r} instead."
                )
        return list(self.callbacks)

    def _check_solver(self) -> bool:
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                "partial_fit is only available for stochastic"
                f" optimizers. {self.solver} is not stochastic."
            )
        return True

    # ---- predicting ----

    def _check_fitted(self) -> None:
        if "coefs_" not in self.__dict__:
            check_is_fitted(self)

    def _sums(self, X: Any) -> Array:
        """Return the last layer's sums for X, which was checked."""
        dtype = self.coefs_[0].dtype
        if X.dtype != dtype or dtype.char not in "fd":
            dtype = float_dtype(X.dtype, dtype)
        weights = [as_weight(coef, dtype) for coef in self.coefs_]
        biases = [np.ascontiguousarray(b, dtype) for b in self.intercepts_]
        names = self._for_each("activation", self.activation, len(weights) - 1)
        activations = [native_name(name) for name in names]
        norms = [norm.to(dtype) for norm in self._norms]
        return forward(Network(weights, biases, activations, norms), X)

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> Array:
        """Return the output activation's values for X."""
        if check_input:
            X = self._check_features(X)
        if X.shape[0] < FEW_ROWS:
            return output_of(self.out_activation_, self._sums(X))
        with share_of_threads(self.n_threads):
            return output_of(self.out_activation_, self._sums(X))

    def _check_features(self, X: Any) -> Any:
        """Return X checked; quickly where it is plainly right."""
        if (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype.char in "fd"
            and X.shape[0] > 0
            and X.shape[1] == self.n_features_in_
            and "feature_names_in_" not in self.__dict__
            # where it is not, the full check tells why
            and _is_plainly_finite(X)
        ):
            return X
        return validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _is_plainly_finite(X: Array) -> bool:
    """Return whether a sum is finite, which then has finite terms; without a warning."""
    if X.size < FEW_NUMBERS:
        return math.isfinite(np.vdot(X, X))
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(X.sum())
