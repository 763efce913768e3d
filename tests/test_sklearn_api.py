"""What scikit-learn asks of an estimator, and its errors."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn import config_context, set_config
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier as SklearnClassifier
from sklearn.neural_network import MLPRegressor as SklearnRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from mlpeak.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PAIRS = [(MLPClassifier, SklearnClassifier), (MLPRegressor, SklearnRegressor)]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        MLPClassifier(max_iter=100),
        MLPRegressor(max_iter=100),
        # of classifiers, scikit-learn's own fails with lbfgs: its probabilities reach 1
        MLPRegressor(solver="lbfgs"),
        MLPClassifier(max_iter=100, layer_norm=True, activation=["gelu"]),
    ]
)
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture
def data() -> tuple[Any, Any]:
    rng = np.random.RandomState(0)
    X = rng.randn(60, 4)
    return X, (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_parameters_and_defaults(ours: Any, theirs: Any) -> None:
    mine, expected = ours().get_params(), theirs().get_params()
    assert {name: mine[name] for name in expected} == expected
    assert list(mine) != list(expected)
    import inspect

    names = list(inspect.signature(theirs.__init__).parameters)
    assert list(inspect.signature(ours.__init__).parameters)[: len(names)] == names


WRONG: list[dict[str, Any]] = [
    {"hidden_layer_sizes": -1},
    {"hidden_layer_sizes": (3, -1)},
    {"solver": "newton"},
    {"alpha": -1},
    {"batch_size": 0},
    {"learning_rate": "fast"},
    {"learning_rate_init": 0},
    {"max_iter": 0},
    {"shuffle": "yes"},
    {"tol": -1},
    {"momentum": 2},
    {"validation_fraction": 1},
    {"beta_1": 1},
    {"epsilon": 0},
    {"n_iter_no_change": 0},
    {"max_fun": -1},
    {"early_stopping": 3},
    {"random_state": "seed"},
    {"early_stopping": True, "validation_fraction": 0.01},
]


def error_of(call: Any) -> tuple[type[BaseException], str]:
    with pytest.raises(Exception) as info:
        call()
    return info.type, str(info.value)


@pytest.mark.parametrize("params", WRONG, ids=str)
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_wrong_parameters(ours: Any, theirs: Any, params: dict[str, Any], data: Any) -> None:
    X, y = data
    kind, text = error_of(lambda: theirs(**params).fit(X, y))
    found, our_text = error_of(lambda: ours(**params).fit(X, y))
    assert found.__name__ == kind.__name__
    if "solver" in params:  # ours has more of them
        assert our_text.split(" must ")[0] == text.split(" must ")[0]
    else:
        # sets of legal values come in any order
        assert sorted(our_text) == sorted(text)


NEW_WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (MLPClassifier, {"loss": "hinge"}, "'loss' parameter of MLPClassifier must be a str among"),
    (MLPRegressor, {"loss": "hinge"}, "'loss' parameter of MLPRegressor must be a str among"),
    (MLPClassifier, {"activation": "step"}, "'activation' parameter"),
    (MLPClassifier, {"activation": ["relu", "tanh"]}, "an entry for each of the 1 hidden layers"),
    (MLPClassifier, {"activation": ["step"]}, "must hold names among"),
    (MLPClassifier, {"dropout": 1.0}, "'dropout' parameter"),
    (MLPClassifier, {"dropout": [1.5]}, "must hold floats in the range"),
    (MLPClassifier, {"dropout": 0.1, "solver": "lbfgs"}, "dropout needs a stochastic solver"),
    (MLPClassifier, {"batch_norm": True, "layer_norm": True}, "cannot both be True"),
    (MLPClassifier, {"class_weight": "even"}, "'class_weight' parameter"),
    (MLPClassifier, {"label_smoothing": 1.0}, "'label_smoothing' parameter"),
    (MLPClassifier, {"focal_gamma": -1}, "'focal_gamma' parameter"),
    (MLPClassifier, {"max_time": 0}, "'max_time' parameter"),
    (MLPClassifier, {"n_threads": 0}, "'n_threads' parameter"),
    (MLPClassifier, {"precision": "fp8"}, "'precision' parameter"),
    (MLPClassifier, {"callbacks": 3}, "'callbacks' parameter"),
    (MLPClassifier, {"keep_optimizer_state": 3}, "'keep_optimizer_state' parameter"),
    (MLPClassifier, {"weight_decay": -1}, "'weight_decay' parameter"),
    (MLPRegressor, {"quantile": 1.0}, "'quantile' parameter"),
    (MLPRegressor, {"huber_delta": 0}, "'huber_delta' parameter"),
]


@pytest.mark.parametrize(("cls", "params", "text"), NEW_WRONG)
def test_wrong_new_parameters(cls: Any, params: dict[str, Any], text: str, data: Any) -> None:
    with pytest.raises(ValueError, match=text):
        cls(**params).fit(*data)


def misuses() -> dict[str, Any]:
    rng = np.random.RandomState(0)
    X, y = rng.randn(30, 3), np.arange(30) % 3

    def poisoned() -> Any:
        bad = X.copy()
        bad[2, 1] = np.nan
        return bad

    return {
        "not fitted": lambda c: c().predict(X),
        "features": lambda c: c(max_iter=2).fit(X, y).predict(X[:, :2]),
        "features of a refit": lambda c: c(max_iter=2).fit(X, y).partial_fit(X[:, :2], y),
        "one dimension": lambda c: c(max_iter=2).fit(X[:, 0], y),
        "lengths": lambda c: c(max_iter=2).fit(X, y[:-1]),
        "NaN": lambda c: c(max_iter=2).fit(poisoned(), y),
        "NaN in predict": lambda c: c(max_iter=2).fit(X, y).predict(poisoned()),
        "empty": lambda c: c(max_iter=2).fit(X, y).predict(X[:0]),
        "no y": lambda c: c(max_iter=2).fit(X, None),
        "weights": lambda c: c(max_iter=2).fit(X, y, sample_weight=y[:-1]),
        "weights of zero": lambda c: c(max_iter=2).fit(X, y, sample_weight=0.0 * y),
        "overflow": lambda c: c(
            max_iter=5, solver="sgd", learning_rate_init=1e300, random_state=0
        ).fit(1e9 * X, y),
        "early stopping in partial_fit": lambda c: c(early_stopping=True).partial_fit(
            X, y, **({"classes": [0, 1, 2]} if hasattr(c, "predict_proba") else {})
        ),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", misuses())
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_misuse(name: str, ours: Any, theirs: Any) -> None:
    call = misuses()[name]
    kind, text = error_of(lambda: call(theirs))
    assert error_of(lambda: call(ours)) == (kind, text)


def test_misuse_of_classes(data: Any) -> None:
    X, y = data
    calls: list[Any] = [
        lambda c: c().partial_fit(X, y),
        lambda c: c().partial_fit(X, y, classes=[0, 1]).partial_fit(X, y, classes=[1, 2]),
        lambda c: c().partial_fit(X, y, classes=[0, 1]).partial_fit(X, y + 1),
        lambda c: c(max_iter=2, warm_start=True).fit(X, y).fit(X, y + 1),
        lambda c: c(solver="lbfgs").partial_fit,
        lambda c: c(max_iter=2, early_stopping=True).fit(X, np.arange(60) // 59),
    ]
    for call in calls:
        assert error_of(lambda: call(MLPClassifier)) == error_of(lambda: call(SklearnClassifier))  # noqa: B023


def test_balanced_weights_need_all_data(data: Any) -> None:
    with pytest.raises(ValueError, match="not supported for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(*data, classes=[0, 1])


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_fitted_attributes(ours: Any, theirs: Any, data: Any) -> None:
    for params in ({}, {"early_stopping": True}, {"solver": "sgd"}, {"solver": "lbfgs"}):
        a, b = (cls(max_iter=2, random_state=0, **params).fit(*data) for cls in (ours, theirs))
        expected = {n for n in vars(b) if not n.endswith("_indptr")}
        assert expected - set(vars(a)) == set()


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_pickle_clone_and_going_on(ours: Any, theirs: Any, data: Any) -> None:
    X, y = data
    model = ours(random_state=0, hidden_layer_sizes=(5,)).partial_fit(
        X, y, **({"classes": [0, 1]} if ours is MLPClassifier else {})
    )
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    for each in (copy, model):
        each.partial_fit(X, y)
    for a, b in zip(copy.coefs_, model.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    fresh = clone(model)
    assert not hasattr(fresh, "coefs_")
    assert fresh.get_params() == model.get_params()


def test_replaced_coefficients_are_used(data: Any) -> None:
    X, y = data
    models = [c(max_iter=2, random_state=0, warm_start=True).fit(X, y) for c in PAIRS[0]]
    for model in models:
        model.coefs_ = [np.ascontiguousarray(0.5 * c) for c in model.coefs_]
        model.intercepts_[0] += 1
        model.fit(X, y)
    np.testing.assert_allclose(models[0].predict_proba(X), models[1].predict_proba(X), rtol=1e-9)


def test_names_of_features_and_repr(data: Any) -> None:
    import polars

    X, y = data
    frame = polars.DataFrame(X, schema=["a", "b", "c", "d"])
    model = MLPClassifier(max_iter=2).fit(frame, y)
    assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename({"a": "z"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    assert "MLPClassifier" in model._repr_html_()


def test_metadata_routing(data: Any) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X, y = data
    weight = np.linspace(0.1, 2, len(y))
    set_config(enable_metadata_routing=True)
    try:
        model = MLPClassifier(max_iter=3, random_state=0).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, model).fit(X, y, sample_weight=weight)
    finally:
        set_config(enable_metadata_routing=False)
    direct = MLPClassifier(max_iter=3, random_state=0).fit(routed[0].transform(X), y, weight)
    np.testing.assert_array_equal(direct.coefs_[0], routed[-1].coefs_[0])


def test_skipped_validation(data: Any) -> None:
    with config_context(skip_parameter_validation=True, assume_finite=True):
        assert MLPClassifier(max_iter=2).fit(*data).predict(data[0]).shape == (60,)
