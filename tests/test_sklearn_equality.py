"""The same model as scikit-learn's: parameters, curves and scores after some epochs in float64."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as SklearnClassifier
from sklearn.neural_network import MLPRegressor as SklearnRegressor

from mlpeak.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Rounding differs by the order of sums alone. 20 epochs of 5 steps amplify 1e-16 by far less than
# the factor that leaves 1e-6, the equality that the documentation promises.
RELATIVE = 1e-6

SOLVERS = ("adam", "sgd", "lbfgs")
ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
PAIRS = {
    "binary": (MLPClassifier, SklearnClassifier),
    "multiclass": (MLPClassifier, SklearnClassifier),
    "regressor": (MLPRegressor, SklearnRegressor),
}
OLD = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9)
MODES = ("plain", "sample_weight", "warm_start", "early_stopping", "partial_fit")


def samples(kind: str, n: int = 230) -> tuple[Any, Any]:
    rng = np.random.RandomState(0)
    X = rng.randn(n, 7)
    if kind == "regressor":
        return X, X @ rng.randn(7) + 0.1 * rng.randn(n)
    if kind == "multi_output":
        return X, X @ rng.randn(7, 3) + 0.1 * rng.randn(n, 3)
    if kind == "counts":
        return X, rng.poisson(np.exp(0.3 * X[:, 0])).astype(float)
    if kind == "multilabel":
        return X, (X[:, :3] + 0.5 * rng.randn(n, 3) > 0).astype(int)
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    return X, np.array(["no", "yes"])[y] if kind == "binary" else y + (X[:, 2] > 0.5)


def assert_same(ours: Any, theirs: Any) -> None:
    for a, b in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=RELATIVE * np.abs(b).max())
    for name in (
        "loss_",
        "best_loss_",
        "best_validation_score_",
        "loss_curve_",
        "validation_scores_",
    ):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        expected = getattr(theirs, name, None)
        if expected is None:
            assert getattr(ours, name, None) is None, name
        else:
            np.testing.assert_allclose(getattr(ours, name), expected, rtol=RELATIVE, err_msg=name)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    if hasattr(theirs, "classes_"):
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    if hasattr(theirs, "_optimizer"):
        assert ours._no_improvement_count == theirs._no_improvement_count
        assert ours._optimizer.learning_rate == pytest.approx(theirs._optimizer.learning_rate)


def train(mode: str, solver: str, model: Any, X: Any, y: Any) -> Any:
    weight = np.random.RandomState(1).uniform(0.2, 2, len(y)) if mode == "sample_weight" else None
    if mode == "partial_fit":
        classes = {"classes": np.unique(y)} if hasattr(model, "predict_proba") else {}
        model.partial_fit(X[:90], y[:90], **classes)
        for _ in range(9):
            model.partial_fit(X[90:], y[90:]).partial_fit(X[:90], y[:90])
        return model
    model.fit(X, y, sample_weight=weight)
    if mode == "warm_start":
        model.fit(X[:170], y[:170])
    return model


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("mode", MODES)
def test_same_model(mode: str, kind: str, solver: str, activation: str) -> None:
    if mode == "partial_fit" and solver == "lbfgs":
        pytest.skip("partial_fit is for stochastic solvers")
    if OLD and mode == "early_stopping" and kind == "binary" and solver != "lbfgs":
        pytest.skip("scikit-learn before 1.9 fails itself: it looks for NaN among labels of text")
    X, y = samples(kind)
    params = {
        "hidden_layer_sizes": (13, 9),
        "solver": solver,
        "activation": activation,
        # a search by lines: from about ten iterations on a last bit may change its path
        "max_iter": 8 if solver == "lbfgs" else 20,
        "batch_size": 50,
        "learning_rate_init": 0.01,
        "random_state": 3,
        "alpha": 0.01,
        "warm_start": mode == "warm_start",
        "early_stopping": mode == "early_stopping",
    }
    ours, theirs = (train(mode, solver, cls(**params), X, y) for cls in PAIRS[kind])
    assert_same(ours, theirs)
    np.testing.assert_array_equal(
        ours.predict(X), theirs.predict(X)
    ) if kind != "regressor" else np.testing.assert_allclose(
        ours.predict(X), theirs.predict(X), atol=1e-6
    )


OPTIONS: dict[str, dict[str, Any]] = {
    "no shuffle": {"shuffle": False},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.3},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1},
    "plain momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "no momentum": {"solver": "sgd", "momentum": 0.0},
    "nesterov without momentum": {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": True},
    "full batch": {"batch_size": 230},
    "one sample left over": {"batch_size": 229},
    "auto batch": {"batch_size": "auto"},
    "no penalty": {"alpha": 0.0},
    "strong penalty": {"alpha": 10.0},
    "large epsilon": {"epsilon": 0.1},
    "betas": {"beta_1": 0.5, "beta_2": 0.9},
    "one wide layer": {"hidden_layer_sizes": 33},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "stops early": {"tol": 0.05, "n_iter_no_change": 2, "max_iter": 200},
    "early stopping, weights": {"early_stopping": True, "validation_fraction": 0.3},
}


@pytest.mark.parametrize("kind", ["multiclass", "regressor"])
@pytest.mark.parametrize("name", OPTIONS)
def test_options(name: str, kind: str) -> None:
    X, y = samples(kind)
    params = {"hidden_layer_sizes": (8,), "max_iter": 20, "batch_size": 50, "random_state": 5}
    weight = np.arange(1.0, len(y) + 1) if "weights" in name else None
    ours, theirs = (
        cls(**{**params, **OPTIONS[name]}).fit(X, y, sample_weight=weight) for cls in PAIRS[kind]
    )
    assert_same(ours, theirs)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["multi_output", "multilabel", "counts"])
def test_further_targets(kind: str, solver: str) -> None:
    X, y = samples(kind)
    pair = PAIRS["multiclass" if kind == "multilabel" else "regressor"]
    params: dict[str, Any] = {"loss": "poisson"} if kind == "counts" else {}
    params |= {"max_iter": 8, "solver": solver, "random_state": 0, "hidden_layer_sizes": (11,)}
    ours, theirs = (cls(**params).fit(X, y) for cls in pair)
    assert_same(ours, theirs)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
@pytest.mark.parametrize("solver", SOLVERS)
def test_sparse(solver: str, make: Any) -> None:
    X, y = samples("multiclass")
    X = make(np.where(np.abs(X) > 0.8, X, 0.0))
    params = {"max_iter": 8, "solver": solver, "random_state": 0, "hidden_layer_sizes": (11,)}
    ours, theirs = (cls(**params).fit(X, y) for cls in PAIRS["multiclass"])
    assert_same(ours, theirs)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", PAIRS)
def test_float32(kind: str, solver: str) -> None:
    X, y = samples(kind)
    X = X.astype(np.float32)
    params = {"max_iter": 3, "solver": solver, "random_state": 0, "hidden_layer_sizes": (11,)}
    ours, theirs = (cls(**params).fit(X, y) for cls in PAIRS[kind])
    for a, b in zip(
        ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True
    ):
        assert a.dtype == b.dtype
        # 6 steps, each of at most lr = 1e-3 however a gradient near 0 is rounded; lbfgs is float64
        np.testing.assert_allclose(a, b, atol=6e-3 if solver == "adam" else 1e-5)
    assert ours.predict(X).dtype == theirs.predict(X).dtype
    for dtype in (np.float32, np.float64, np.int64):
        assert ours.predict(X.astype(dtype)).dtype == theirs.predict(X.astype(dtype)).dtype


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_huge_inputs_are_clipped_alike(solver: str) -> None:
    # logits in the thousands: reported probabilities are clipped at epsilon
    X, y = samples("multiclass")
    for target in (y, y > 0):
        params = {"max_iter": 3, "solver": solver, "random_state": 0, "learning_rate_init": 1e-6}
        ours, theirs = (cls(**params).fit(1e4 * X, target) for cls in PAIRS["multiclass"])
        assert theirs.loss_curve_[0] > 5
        assert_same(ours, theirs)


def test_random_state_instance_goes_on() -> None:
    X, y = samples("multiclass")
    states = np.random.RandomState(7), np.random.RandomState(7)
    for cls, state in zip(PAIRS["multiclass"], states, strict=True):
        cls(max_iter=3, random_state=state, early_stopping=True).fit(X, y)
    assert states[0].randint(2**31) == states[1].randint(2**31)


def test_verbose_prints_alike(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = samples("multiclass")
    printed = []
    for cls, options in itertools.product(
        PAIRS["multiclass"],
        [
            {"early_stopping": True, "tol": 0.5, "n_iter_no_change": 2},
            {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1},
            {"tol": 1.0, "n_iter_no_change": 2},
        ],
    ):
        cls(max_iter=60, random_state=0, verbose=True, **options).fit(X, y)
        printed.append(capsys.readouterr().out)
    assert printed[:3] == printed[3:]
    assert "Setting learning rate to" in printed[1]


def test_warnings_are_alike() -> None:
    X, y = samples("multiclass")
    for options in (
        {"max_iter": 2},
        {"batch_size": 1000, "max_iter": 2},
        {"solver": "lbfgs", "max_iter": 2},
    ):
        found = []
        for cls in PAIRS["multiclass"]:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                cls(random_state=0, **options).fit(X, y)
            found.append([(w.category, str(w.message)) for w in caught])
        assert found[0] == found[1]
        assert any(category is ConvergenceWarning for category, _ in found[0])
