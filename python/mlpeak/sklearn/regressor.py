"""`MLPRegressor`."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from mlpeak import kernels
from mlpeak._types import Array
from mlpeak.sklearn.base import BaseMLP
from mlpeak.sklearn.objectives import LEAST_VARIANCE

__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron for numbers, as `sklearn.neural_network.MLPRegressor`.

    Parameters up to `max_fun` are scikit-learn's, with its defaults and meanings; with the same
    ``random_state`` they give the same model. Those after it, and what more `loss`, `activation`
    and `solver` may be, are mlpeak's.

    Parameters
    ----------
    loss : str, default="squared_error"
        "squared_error" or "poisson" as in scikit-learn; "absolute_error", "huber", "quantile", or
        "gaussian_nll", which predicts a standard deviation too.
    hidden_layer_sizes : array-like of int, default=(100,)
        Units of each hidden layer.
    activation : str or list of str, default="relu"
        Of all hidden layers, or of each: "identity", "logistic", "tanh", "relu", or any that
        `mlpeak.kernels` has for single numbers ("gelu", "silu", "elu", ...).
    solver : {"lbfgs", "sgd", "adam", "adamw"}, default="adam"
    alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle
        As in scikit-learn.
    random_state, tol, warm_start, momentum, nesterovs_momentum, early_stopping
        As in scikit-learn.
    validation_fraction, beta_1, beta_2, epsilon, n_iter_no_change, max_fun
        As in scikit-learn.
    verbose : bool or "bar", default=False
        True prints a line an epoch as scikit-learn does; "bar" shows a progress bar.
    huber_delta : float, default=1.0
        Error from which on the Huber loss grows linearly.
    quantile : float, default=0.5
        The quantile that ``loss="quantile"`` predicts.
    weight_decay : float, default=0.01
        Decoupled decay of the weights, for ``solver="adamw"`` alone.
    dropout : float or list of float, default=0.0
        Probability with which units of all hidden layers, or of each, are left out.
    batch_norm, layer_norm : bool, default=False
        Normalise hidden layers before their activation.
    callbacks : callable or list of callables, optional
        Called with the estimator after each epoch; a true result stops the training.
    max_time : float, optional
        Seconds after which no epoch begins.
    n_threads : int, optional
        Threads to use; by default a share of `mlpeak.get_num_threads`.
    precision : {"bf16", "fp32", "fp64"}, optional
        Compute in this precision instead of that of X. "bf16" trains in float32 with the factors of
        products rounded to bfloat16; predictions are computed in float32.
    keep_optimizer_state : bool, default=False
        Go on with the solver's moments at a warm start, if it is the same solver.

    Attributes
    ----------
    coefs_, intercepts_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn.
    loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_, t_
        As in scikit-learn.
    validation_loss_curve_ : list of float
        Loss of ``validation_data`` after each epoch, without the penalty.

    References
    ----------
    Nix, Weigend, "Estimating the mean and variance of the target probability distribution", ICNN
    1994, for gaussian_nll.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from mlpeak.sklearn import MLPRegressor
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> bool(MLPRegressor(random_state=1, max_iter=2000, tol=0.1).fit(X, y).score(X, y) > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [
            StrOptions(
                {"squared_error", "poisson", "absolute_error", "huber", "quantile", "gaussian_nll"}
            )
        ],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        huber_delta: float = 1.0,
        quantile: float = 0.5,
        weight_decay: float = 0.01,
        dropout: Any = 0.0,
        batch_norm: bool = False,
        layer_norm: bool = False,
        callbacks: Any = None,
        max_time: float | None = None,
        n_threads: int | None = None,
        precision: str | None = None,
        keep_optimizer_state: bool = False,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.huber_delta = huber_delta
        self.quantile = quantile
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.layer_norm = layer_norm
        self.callbacks = callbacks
        self.max_time = max_time
        self.n_threads = n_threads
        self.precision = precision
        self.keep_optimizer_state = keep_optimizer_state

    # ---- what a fit asks ----

    def _validate(self, X: Any, y: Any, reset: bool) -> tuple[Any, Array]:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        return self._validate(X, y, reset)

    def _weigh(self, y: Array, sample_weight: Array | None) -> Array | None:
        return sample_weight

    def _name_output(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _options(self) -> dict[str, float]:
        # NumPy's own scalars would turn float32 arrays into float64
        return {"huber_delta": float(self.huber_delta), "quantile": float(self.quantile)}

    def _score(self, X: Any, y: Array, sample_weight: Array | None = None) -> float:
        prediction = self._predict(X, False)
        if not np.isfinite(prediction).all():
            return float("nan")
        return float(r2_score(y, prediction, sample_weight=sample_weight))

    def _check_validation(self, X: Any, y: Any, outputs: int) -> tuple[Any, Array, Array]:
        X, y = self._validate(X, y, reset=False)
        target = y.reshape(len(y), -1)
        self._check_held_outputs(target.shape[1], outputs)
        return X, y, target

    # ---- what a user calls ----

    # scikit-learn hands over the method and so never hides it: with lbfgs it is a whole fit
    @available_if(lambda est: est._check_solver)  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Update the model with one epoch over the data.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional

        Returns
        -------
        self : object
        """
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the prediction for each sample.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        return_std : bool, default=False
            Return the standard deviation too; only with ``loss="gaussian_nll"``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs), or two of them
        """
        self._check_fitted()
        if not return_std:
            return self._predict(X)
        if self.loss != "gaussian_nll":
            raise ValueError(
                f"return_std=True needs loss='gaussian_nll'. Got loss={self.loss!r} instead."
            )
        units = self.coefs_[-1].shape[1]
        if units != 2 * self.n_outputs_:
            raise ValueError(
                "return_std=True needs a model that was fitted with loss='gaussian_nll', whose last"
                f" layer has {2 * self.n_outputs_} units. Got one of {units} units instead."
            )
        output = self._forward_pass_fast(X)
        variance = np.maximum(kernels.exp(output[:, self.n_outputs_ :]), LEAST_VARIANCE)
        return self._shape(output[:, : self.n_outputs_]), self._shape(np.sqrt(variance))

    def _predict(self, X: Any, check_input: bool = True) -> Array:
        return self._shape(self._forward_pass_fast(X, check_input)[:, : self.n_outputs_])

    def _shape(self, y: Array) -> Array:
        return y.ravel() if y.shape[1] == 1 else y
