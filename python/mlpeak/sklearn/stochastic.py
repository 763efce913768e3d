"""The stochastic solvers: epochs of batches until the loss or a held-out score stands still."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from mlpeak._types import Array
from mlpeak.sklearn.engine import forward
from mlpeak.sklearn.network import Network
from mlpeak.sklearn.optimizers import take_optimizer
from mlpeak.sklearn.progress import make_progress
from mlpeak.sklearn.threads import Share

if TYPE_CHECKING:
    from mlpeak.sklearn.base import BaseMLP

__all__ = ["fit_stochastic"]

# Of a batch's forward pass. All of its step takes a core about 20 us then, of which a second thread
# could save a few; where cores are shared, meeting it costs more than that.
FEW_MULTIPLICATIONS = 400_000


def fit_stochastic(
    estimator: BaseMLP,
    network: Network,
    share: Share,
    X: Any,
    y: Array,
    sample_weight: Array | None,
    incremental: bool,
    validation_data: tuple[Any, Array, Array] | None,
) -> None:
    """Train the network, and leave on the estimator what its attributes say.

    Parameters
    ----------
    estimator : BaseMLP
    network : Network
        Its arrays are ``coefs_`` and ``intercepts_``.
    share : Share
        Of the threads, asked for again at each epoch.
    X, y, sample_weight
        Checked; y (n, outputs).
    incremental : bool
        Whether this is one epoch of partial_fit.
    validation_data : tuple, optional
        X, y as the score takes it, and y as a fit takes it.
    """
    e = estimator
    e._optimizer = take_optimizer(network.parameters(), e, incremental)
    if e.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")

    held_out, held_out_weight = None, None
    if e.early_stopping and validation_data is None:
        X, y, sample_weight, held_out, held_out_weight = _split(e, X, y, sample_weight)
    elif e.early_stopping and validation_data is not None:
        held_out = validation_data[:2]
    _begin_records(e, validation_data is not None)

    n_samples = X.shape[0]
    if e.batch_size == "auto":
        batch_size = min(200, n_samples)
    else:
        assert not isinstance(e.batch_size, str)
        if e.batch_size > n_samples:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than "
                "sample size. It is going to be clipped",
                stacklevel=4,
            )
        batch_size = int(np.clip(e.batch_size, 1, n_samples))
    network.check_batches(n_samples, batch_size)

    # Drawn only where it is used, so that the other draws stay scikit-learn's. An int random_state
    # draws the same seed for each call: the samples seen so far make them differ.
    seed = int(e._random_state.randint(2**31)) + e.t_ if any(network.dropout) else 0
    engine = e._make_engine(network, X, y, sample_weight, e._optimizer, seed)
    order = np.arange(n_samples)
    alone = batch_size * sum(w.size for w in network.weights) < FEW_MULTIPLICATIONS
    deadline = None if e.max_time is None else time.monotonic() + e.max_time
    callbacks = e._callbacks()
    progress = make_progress(e.verbose, e.max_iter)
    try:
        e.n_iter_ = 0
        for _ in range(e.max_iter):
            share.apply(alone)
            if e.shuffle:
                drawn = np.arange(n_samples)
                e._random_state.shuffle(drawn)
                order = order[drawn]
            e.loss_ = engine.train_epoch(order if e.shuffle else None, batch_size)
            e.n_iter_ += 1
            e.t_ += n_samples
            e.loss_curve_.append(e.loss_)
            progress.epoch(e.n_iter_, e.loss_)
            if validation_data is not None:
                e.validation_loss_curve_.append(_loss_of(e, network, validation_data))
            if held_out is not None:
                _count_by_score(e, held_out, held_out_weight)
                assert e.validation_scores_ is not None
                progress.score(e.validation_scores_[-1])
            else:
                _count_by_loss(e)
            e._optimizer.iteration_ends(e.t_)

            converged = False
            if e._no_improvement_count > e.n_iter_no_change:
                what = "Validation score" if held_out is not None else "Training loss"
                message = (
                    f"{what} did not improve more than tol={e.tol:f}"
                    f" for {int(e.n_iter_no_change)} consecutive epochs."
                )
                converged = e._optimizer.trigger_stopping(message, progress.prints)
                if not converged:
                    e._no_improvement_count = 0
            # each callback is called, whatever the others want
            stopped = True in [bool(callback(e)) for callback in callbacks]
            if converged or incremental or stopped:
                break
            if deadline is not None and time.monotonic() > deadline:
                break
            if e.n_iter_ == e.max_iter:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({e.max_iter}) "
                    "reached and the optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=4,
                )
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=4)
    finally:
        progress.close()

    if e.early_stopping:
        e._recall_best()


def _begin_records(e: BaseMLP, validated: bool) -> None:
    """Give an estimator what no earlier fit has left by this solver and with this stopping."""
    if not hasattr(e, "loss_curve_"):
        e.loss_curve_ = []
    if validated and not hasattr(e, "validation_loss_curve_"):
        e.validation_loss_curve_ = []
    if e.early_stopping and getattr(e, "validation_scores_", None) is None:
        e.validation_scores_, e.best_validation_score_, e.best_loss_ = [], -np.inf, None
    elif not e.early_stopping and getattr(e, "best_loss_", None) is None:
        e.validation_scores_, e.best_validation_score_, e.best_loss_ = None, None, np.inf
    else:
        return
    e._no_improvement_count = 0
    e._remember_best()


def _split(e: BaseMLP, X: Any, y: Array, sample_weight: Array | None) -> tuple[Any, ...]:
    """Return X, y and weights of training, the held-out X and y, and the held-out weights."""
    # labels of several are not stratified
    stratify = y if is_classifier(e) and e.n_outputs_ == 1 else None
    arrays = [X, y] if sample_weight is None else [X, y, sample_weight]
    parts = train_test_split(
        *arrays,
        random_state=e._random_state,
        test_size=e.validation_fraction,
        stratify=stratify,
    )
    X_train, X_held, y_train, y_held = parts[:4]
    weights = (None, None) if sample_weight is None else (parts[4], parts[5])
    if X_held.shape[0] < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' "
            "or the size of your dataset."
        )
    if is_classifier(e):
        y_held = e._label_binarizer.inverse_transform(y_held)
    return X_train, y_train, weights[0], (X_held, y_held), weights[1]


def _loss_of(e: BaseMLP, network: Network, validation_data: tuple[Any, Array, Array]) -> float:
    X, _, y = validation_data
    objective = e._objective()
    z = forward(network, X.astype(network.dtype, copy=False))
    return objective.mean(z, objective.target(y, network.dtype), None)


def _count_by_score(e: BaseMLP, held_out: tuple[Any, Array], weight: Array | None) -> None:
    """Count epochs in which the score did not rise by tol; keep the best parameters."""
    assert e.validation_scores_ is not None
    assert e.best_validation_score_ is not None
    score = e._score(*held_out, sample_weight=weight)
    e.validation_scores_.append(score)
    if score >= e.best_validation_score_ + e.tol:
        e._no_improvement_count = 0
    else:  # NaN, too
        e._no_improvement_count += 1
    if score > e.best_validation_score_:
        e.best_validation_score_ = score
        e._remember_best()


def _count_by_loss(e: BaseMLP) -> None:
    """Count epochs in which the loss did not fall by tol."""
    assert e.best_loss_ is not None
    if e.loss_ > e.best_loss_ - e.tol:
        e._no_improvement_count += 1
    else:
        e._no_improvement_count = 0
    e.best_loss_ = min(e.best_loss_, e.loss_)
