"""Options that do not go together, numbers of NumPy's types, and what is asked of them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from mlpeak.sklearn import MLPClassifier, MLPRegressor, to_sklearn

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.RandomState(0).randn(60, 4)
X32 = X.astype(np.float32)
Y = X[:, 0]
Y3 = X[:, :3]
BINARY = (Y > 0).astype(int)
CLASSES = np.digitize(Y, [-1, 1])
LABELS = (Y3 > 0).astype(int)


# ---- losses ----


def test_label_smoothing_is_not_of_the_focal_loss() -> None:
    with pytest.raises(ValueError, match=r"label_smoothing is of loss='log_loss' alone.*Got 0.3"):
        MLPClassifier(loss="focal", label_smoothing=0.3).fit(X, BINARY)


@pytest.mark.parametrize("number", [np.float64, np.float32, np.int64], ids=lambda n: n.__name__)
@pytest.mark.parametrize("y", [BINARY, CLASSES], ids=["binary", "classes"])
def test_options_may_be_numbers_of_numpy(number: Any, y: Any) -> None:
    params: dict[str, Any] = {"loss": "focal", "max_iter": 3, "random_state": 0}
    model = MLPClassifier(focal_gamma=number(2), **params).fit(X32, y)
    np.testing.assert_array_equal(
        model.predict_proba(X32), MLPClassifier(**params).fit(X32, y).predict_proba(X32)
    )


def test_label_smoothing_may_be_a_number_of_numpy() -> None:
    for y in (BINARY, CLASSES):
        model = MLPClassifier(label_smoothing=np.float64(0.1), max_iter=3, random_state=0)
        model.fit(X32, y, validation_data=(X32, y))
        assert model.predict_proba(X32).dtype == np.float32


def test_standard_deviation_needs_a_model_of_its_loss() -> None:
    model = MLPRegressor(max_iter=2).fit(X, Y).set_params(loss="gaussian_nll")
    with pytest.raises(ValueError, match=r"2 units\. Got one of 1 units"):
        model.predict(X, return_std=True)


# ---- class weights ----


@pytest.mark.parametrize(
    ("weights", "y", "text"),
    [
        ([1, 2, 3], LABELS, "must be a list of a dict for each label"),
        ([{0: 1, 1: 2}], BINARY, "must be a dict or 'balanced'"),
        ({0: None, 1: 2}, BINARY, "finite numbers. Got None for the class 0"),
        ({0: 1, 1: "x"}, BINARY, "finite numbers. Got 'x' for the class 1"),
        ([{0: 1, 1: np.nan}] * 3, LABELS, "finite numbers. Got nan for the class 1"),
    ],
)
def test_wrong_class_weights(weights: Any, y: Any, text: str) -> None:
    model = MLPClassifier(class_weight=weights)
    with pytest.raises((TypeError, ValueError), match=text):
        model.fit(X, y)
    assert not hasattr(model, "coefs_")


# ---- held-out samples ----


@pytest.mark.parametrize(
    ("cls", "y", "held", "text"),
    [
        (MLPRegressor, Y3, (X, Y), "outputs as that of fit, 3. Got 1"),
        (MLPRegressor, Y, (X, Y3), "outputs as that of fit, 1. Got 3"),
        (MLPClassifier, LABELS, (X, LABELS[:, :2]), "outputs as that of fit, 3. Got 2"),
        (MLPClassifier, LABELS[:, :2], (X, LABELS), "outputs as that of fit, 2. Got 3"),
        (MLPClassifier, LABELS, (X, BINARY), "must be multilabel-indicator"),
        (MLPClassifier, CLASSES, (X, LABELS), "must be multiclass"),
        (MLPRegressor, Y, (X,), "Got tuple of 1 instead"),
    ],
)
def test_validation_data_must_be_as_the_data(cls: Any, y: Any, held: Any, text: str) -> None:
    model = cls(max_iter=2)
    with pytest.raises(ValueError, match=text) as info:
        model.fit(X, y, validation_data=held)
    assert "validation_data" in str(info.value)
    assert not hasattr(model, "coefs_")
    assert not hasattr(model, "n_outputs_")


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_one_sample_is_too_few_to_stop_by(cls: Any) -> None:
    with pytest.raises(ValueError, match=r"validation set is too small.*Got 1 instead"):
        cls(early_stopping=True).fit(X, BINARY, validation_data=(X[:1], BINARY[:1]))
    cls(max_iter=2).fit(X, BINARY, validation_data=(X[:1], BINARY[:1]))


def test_a_score_that_is_nan_is_no_improvement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MLPRegressor, "_score", lambda *_, **__: float("nan"))
    model = MLPRegressor(early_stopping=True, n_iter_no_change=3, max_iter=50).fit(X, Y)
    assert model.n_iter_ == 4


def test_validation_data_is_not_for_lbfgs() -> None:
    with pytest.raises(ValueError, match="validation_data' argument of fit is for the stochastic"):
        MLPRegressor(solver="lbfgs").fit(X, Y, validation_data=(X, Y))


# ---- callbacks ----


def test_the_epoch_that_converges_calls_back() -> None:
    seen: list[int] = []
    model = MLPRegressor(tol=10.0, n_iter_no_change=3, callbacks=lambda m: seen.append(m.n_iter_))
    model.fit(X, Y)
    assert seen == list(range(1, model.n_iter_ + 1))
    model.partial_fit(X, Y)
    assert seen[-1] == 1


@pytest.mark.parametrize("wrong", [[3], (len, None)], ids=str)
def test_callbacks_must_be_callable(wrong: Any) -> None:
    model = MLPRegressor(callbacks=wrong)
    with pytest.raises(TypeError, match="'callbacks' parameter of MLPRegressor must hold call"):
        model.fit(X, Y)
    assert not hasattr(model, "coefs_")


# ---- predictions ----


@pytest.mark.parametrize("rows", [3, 2000])
def test_large_numbers_do_not_warn(rows: int) -> None:
    model = MLPRegressor(max_iter=2, random_state=0).fit(X32, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model._check_features(np.full((rows, 4), 1e38, np.float32))
        with pytest.raises(ValueError, match="Input X contains infinity"):
            model.predict(np.full((rows, 4), np.inf, np.float32))


@pytest.mark.parametrize("activation", ["sigmoid", ["sigmoid", "logistic"]], ids=str)
def test_scikit_learn_calls_sigmoid_logistic(activation: Any) -> None:
    model = MLPClassifier((4, 4), activation, max_iter=5, random_state=0).fit(X, BINARY)
    theirs = to_sklearn(model)
    assert theirs.activation == "logistic"
    np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X), rtol=1e-12)
