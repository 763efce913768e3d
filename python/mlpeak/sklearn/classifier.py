"""`MLPClassifier`."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d, compute_class_weight, compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from mlpeak._types import Array
from mlpeak.sklearn.base import BaseMLP

__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron for classes or labels, as `sklearn.neural_network.MLPClassifier`.

    Parameters up to `max_fun` are scikit-learn's, with its defaults and meanings; with the same
    ``random_state`` they give the same model. Those after it, and what more `activation` and
    `solver` may be, are mlpeak's.

    Parameters
    ----------
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
    loss : {"log_loss", "focal"}, default="log_loss"
    focal_gamma : float, default=2.0
        How much the focal loss turns from what is already certain; 0 is the log loss.
    label_smoothing : float, default=0.0
        Share of each target that is spread over all classes, for ``loss="log_loss"`` alone.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes; they multiply the sample weights.
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
    classes_, coefs_, intercepts_, n_layers_, n_outputs_, out_activation_
        As in scikit-learn, as are n_features_in_ and feature_names_in_.
    loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_, t_
        As in scikit-learn.
    validation_loss_curve_ : list of float
        Loss of ``validation_data`` after each epoch, without the penalty.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", ICCV 2017.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from mlpeak.sklearn import MLPClassifier
    >>> X, y = make_classification(n_samples=100, random_state=1)
    >>> bool(MLPClassifier(random_state=1, max_iter=300, tol=1e-3).fit(X, y).score(X, y) > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"log_loss", "focal"})],
        "focal_gamma": [Interval(Real, 0, None, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    classes_: Array
    _label_binarizer: Any

    def __init__(
        self,
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
        loss: str = "log_loss",
        focal_gamma: float = 2.0,
        label_smoothing: float = 0.0,
        class_weight: Any = None,
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
        self.loss = loss
        self.focal_gamma = focal_gamma
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
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

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        if self.loss == "focal" and self.label_smoothing > 0:
            raise ValueError(
                "label_smoothing is of loss='log_loss' alone; with loss='focal' it must be 0.0."
                f" Got {self.label_smoothing!r} instead."
            )
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y))
        return X, self._label_binarizer.transform(y).astype(bool)

    def _check_classes(self, classes: Array) -> None:
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same "
                    "classes as in the previous call to fit. Previously "
                    f"got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _weigh(self, y: Array, sample_weight: Array | None) -> Array | None:
        if self.class_weight is None:
            return sample_weight
        multilabel = self._label_binarizer.y_type_.startswith("multilabel")
        self._check_class_weight(multilabel)
        labels = self._label_binarizer.inverse_transform(y)
        if multilabel:
            weight: Array = compute_sample_weight(self.class_weight, labels)
        else:
            # of all classes: a part of the data may lack some
            each = compute_class_weight(self.class_weight, classes=self.classes_, y=labels)
            weight = each[np.searchsorted(self.classes_, labels)]
        return weight if sample_weight is None else weight * sample_weight

    def _check_class_weight(self, multilabel: bool) -> None:
        given = self.class_weight
        if isinstance(given, list) and not (multilabel and all(isinstance(d, dict) for d in given)):
            legal = "a list of a dict for each label" if multilabel else "a dict or 'balanced'"
            raise TypeError(f"class_weight must be {legal}. Got {given!r} instead.")
        for weights in given if isinstance(given, list) else [given]:
            for label, weight in weights.items() if isinstance(weights, dict) else ():
                if not isinstance(weight, Real) or not np.isfinite(float(weight)):
                    raise ValueError(
                        "class_weight must hold finite numbers."
                        f" Got {weight!r} for the class {label!r} instead."
                    )

    def _name_output(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _options(self) -> dict[str, float]:
        # NumPy's own scalars would turn float32 arrays into float64
        return {
            "label_smoothing": float(self.label_smoothing),
            "focal_gamma": float(self.focal_gamma),
        }

    def _score(self, X: Any, y: Array, sample_weight: Array | None = None) -> float:
        return float(accuracy_score(y, self._predict(X, False), sample_weight=sample_weight))

    def _check_validation(self, X: Any, y: Any, outputs: int) -> tuple[Any, Array, Array]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True,
            dtype=(np.float64, np.float32), reset=False,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        known = self._label_binarizer.y_type_
        if type_of_target(y).startswith("multilabel") != known.startswith("multilabel"):
            raise ValueError(
                f"The y of 'validation_data' must be {known}, as that of fit."
                f" Got {type_of_target(y)} instead."
            )
        if known.startswith("multilabel"):
            self._check_held_outputs(y.shape[1], outputs)
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unknown):
            raise ValueError(
                f"validation_data has classes that `y` has not: {unknown}; `y` has {self.classes_}."
            )
        indicators = self._label_binarizer.transform(y).astype(bool)
        return X, y, indicators.reshape(len(indicators), -1)

    # ---- what a user calls ----

    @available_if(lambda est: est._check_solver())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Update the model with one epoch over the data.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional
        classes : array-like, optional
            All classes; needed at the first call.

        Returns
        -------
        self : object
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit: the share of each class"
                " is not known from a part of the data. Give the weights as a dict."
            )
        if _check_partial_fit_first_call(self, classes):
            multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """Return the class, or the labels, of each sample.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        self._check_fitted()
        return self._predict(X)

    def _predict(self, X: Any, check_input: bool = True) -> Array:
        proba = self._forward_pass_fast(X, check_input)
        if self.out_activation_ == "softmax":
            index: Array = proba.argmax(axis=1)
            return np.take(self.classes_, index)
        if self.n_outputs_ == 1:
            proba = proba.ravel()
            if len(self.classes_) == 2:
                return np.take(self.classes_, (proba > 0.5).view(np.uint8))
        labels: Array = self._label_binarizer.inverse_transform(proba)
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        self._check_fitted()
        proba = self._forward_pass_fast(X)
        return np.hstack([1 - proba, proba]) if self.n_outputs_ == 1 else proba

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        proba = self.predict_proba(X)
        return np.log(proba, out=proba)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
