"""Trainings that go on: warm starts and partial_fit after other parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlpeak.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.RandomState(0).randn(60, 4)
Y = X[:, 0]
LABELS = (Y > 0).astype(int)


@pytest.mark.parametrize("loss", ["log_loss", "focal"], ids=["compiled", "kernels"])
@pytest.mark.parametrize("how", ["partial_fit", "fit"])
def test_dropout_draws_other_masks_in_each_call(loss: str, how: str) -> None:
    # without momentum, so that a unit that is left out does not change
    model = MLPClassifier(
        dropout=0.5, random_state=0, warm_start=True, max_iter=1, alpha=0.0, loss=loss,
        activation="tanh", batch_size=2, solver="sgd", momentum=0.0,
    )  # fmt: skip
    model.partial_fit(X[:2], [0, 1], classes=[0, 1])
    before = model.coefs_[0].copy()
    for _ in range(20):
        getattr(model, how)(X[:2], [0, 1])
    # of 100 units, each is left out with probability 1/2: of both samples 20 times, 4^-20
    assert (model.coefs_[0] != before).any(axis=0).sum() > 95


def kept(**params: Any) -> MLPRegressor:
    params = {"max_iter": 3, "random_state": 0, "tol": 0.0, **params}
    return MLPRegressor(warm_start=True, keep_optimizer_state=True, **params)


def test_a_kept_state_is_of_the_solver() -> None:
    model = kept().fit(X, Y).set_params(solver="sgd").fit(X, Y)
    assert model._optimizer.rule == "sgd"
    model.set_params(solver="adamw", weight_decay=0.5).fit(X, Y)
    assert (model._optimizer.rule, model._optimizer.t) == ("adam", 3)
    model.set_params(solver="adam").fit(X, Y)
    assert (model._optimizer.weight_decay, model._optimizer.t) == (0.0, 6)


def test_a_kept_state_takes_new_options() -> None:
    model = kept().fit(X, Y)
    before = model.coefs_[0].copy()
    model.set_params(learning_rate_init=1e-300, beta_1=0.5, beta_2=0.6, epsilon=0.1).fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], before)
    optimizer = model._optimizer
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.5, 0.6, 0.1)
    assert optimizer.t == 6


def test_a_kept_learning_rate_stays_until_it_is_changed() -> None:
    model = kept(solver="sgd", learning_rate="invscaling").fit(X, Y)
    lowered = model._optimizer.learning_rate
    assert lowered < 1e-3
    model.set_params(momentum=0.5, learning_rate_init=0.001).fit(X, Y)
    assert model._optimizer.learning_rate < lowered
    assert model._optimizer.momentum == 0.5
    model.set_params(learning_rate="constant").fit(X, Y)
    assert model._optimizer.learning_rate == 1e-3
    model.set_params(learning_rate_init=0.01).fit(X, Y)
    assert model._optimizer.learning_rate == 0.01


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_early_stopping_may_begin_and_end_at_a_warm_start(cls: Any) -> None:
    y = LABELS if cls is MLPClassifier else Y
    model = cls(warm_start=True, max_iter=3, random_state=0).fit(X, y)
    model.set_params(early_stopping=True).fit(X, y)
    assert len(model.validation_scores_) == 3
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.best_loss_ is None
    model.set_params(early_stopping=False).fit(X, y)
    assert model.validation_scores_ is None
    assert model.best_validation_score_ is None
    assert model.best_loss_ == min(model.loss_curve_[-3:])
    model.partial_fit(X, y)
    assert len(model.loss_curve_) == 10


@pytest.mark.parametrize("stopping", [False, True])
def test_a_stochastic_solver_goes_on_from_lbfgs(stopping: bool) -> None:
    model = MLPRegressor(warm_start=True, max_iter=3, solver="lbfgs", random_state=0).fit(X, Y)
    model.set_params(solver="adam", early_stopping=stopping).fit(X, Y)
    assert len(model.loss_curve_) == 3


def test_a_new_fit_forgets_the_validation_loss() -> None:
    model = MLPRegressor(max_iter=3).fit(X, Y, validation_data=(X, Y))
    assert len(model.validation_loss_curve_) == 3
    assert not hasattr(model.fit(X, Y), "validation_loss_curve_")
    model.set_params(warm_start=True).fit(X, Y, validation_data=(X, Y)).fit(X, Y)
    assert len(model.validation_loss_curve_) == 3
