"""What mlpeak.sklearn offers beyond scikit-learn's parameters."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.datasets import load_iris, make_classification

from mlpeak.sklearn import MLPClassifier, MLPRegressor
from mlpeak.sklearn.arrays import hold_arrays
from mlpeak.sklearn.engine import forward
from mlpeak.sklearn.network import HIDDEN_ACTIVATIONS, Network, native_name
from mlpeak.sklearn.objectives import make_objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def iris() -> tuple[Any, Any]:
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def wave(n: int = 400) -> tuple[Any, Any]:
    rng = np.random.RandomState(0)
    x = rng.uniform(-2, 2, (n, 1))
    return x, np.sin(2 * x[:, 0]) + (0.05 + 0.3 * (x[:, 0] > 0)) * rng.randn(n)


LOSSES = {
    "log_loss": ("softmax", {"label_smoothing": 0.2}),
    "focal": ("softmax", {"focal_gamma": 1.7}),
    "log_loss of labels": ("logistic", {"label_smoothing": 0.2}),
    "focal of labels": ("logistic", {"focal_gamma": 1.7}),
    "poisson": ("exp", {}),
    "huber": ("identity", {"huber_delta": 0.5}),
    "absolute_error": ("identity", {}),
    "quantile": ("identity", {"quantile": 0.2}),
    "squared_error": ("identity", {}),
    "gaussian_nll": ("identity", {}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_slopes_are_derivatives(name: str) -> None:
    out, options = LOSSES[name]
    objective = make_objective(name.split(" ")[0], out, options)
    rng = np.random.RandomState(0)
    outputs = 3 if out in ("softmax", "logistic") else 1
    z = rng.randn(20, outputs * objective.widen)
    if out == "softmax":
        y = np.eye(3, dtype=bool)[rng.randint(3, size=20)]
    elif out == "logistic":
        y = rng.rand(20, 3) > 0.5
    else:
        y = np.abs(rng.randn(20, 1))
    target = objective.target(y, z.dtype)

    def loss(flat: Any) -> float:
        return float(objective.values(flat.reshape(z.shape), target).sum())

    def gradient(flat: Any) -> Any:
        return objective.slopes(flat.reshape(z.shape), target).ravel()

    # forward differences with a step of 1e-8 are right to about 1e-7 an entry
    assert check_grad(loss, gradient, z.ravel()) < 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_slopes_keep_the_dtype(name: str, dtype: Any) -> None:
    out, options = LOSSES[name]
    objective = make_objective(name.split(" ")[0], out, options)
    z = np.linspace(-1, 1, 6 * objective.widen, dtype=dtype).reshape(3, -1)
    y = np.eye(3, 2, dtype=bool) if out in ("softmax", "logistic") else np.ones((3, 2), dtype)
    target = objective.target(y, z.dtype)
    assert objective.slopes(z, target).dtype == dtype
    assert objective.values(z, target).dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", ["poisson", "quantile", "gaussian_nll"])
def test_losses_train_in_the_dtype_of_x(loss: str, dtype: Any) -> None:
    X, y = wave(100)
    model = MLPRegressor(loss, random_state=0, max_iter=3).fit(X.astype(dtype), np.abs(y))
    assert {c.dtype for c in model.coefs_} == {np.dtype(dtype)}
    assert model.predict(X.astype(dtype)).dtype == dtype


def test_focal_without_focus_is_the_log_loss(iris: Any) -> None:
    a = MLPClassifier(loss="focal", focal_gamma=0.0, max_iter=5, random_state=0).fit(*iris)
    b = MLPClassifier(max_iter=5, random_state=0).fit(*iris)
    np.testing.assert_allclose(a.predict_proba(iris[0]), b.predict_proba(iris[0]), rtol=1e-9)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile", "gaussian_nll"])
def test_losses_learn(loss: str) -> None:
    X, y = wave()
    model = MLPRegressor(loss, random_state=0, max_iter=400, learning_rate_init=0.01).fit(X, y)
    assert model.score(X, y) > 0.8
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_quantiles_cover_their_share() -> None:
    X, y = wave()
    for quantile in (0.1, 0.9):
        model = MLPRegressor("quantile", quantile=quantile, random_state=0, max_iter=600,
                             learning_rate_init=0.01).fit(X, y)  # fmt: skip
        assert abs(np.mean(y < model.predict(X)) - quantile) < 0.06


def test_standard_deviation_follows_the_noise() -> None:
    X, y = wave(1000)
    model = MLPRegressor("gaussian_nll", random_state=0, max_iter=300, learning_rate_init=0.01)
    model.fit(X, y)
    mean, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(X))
    assert std.shape == y.shape
    assert std[X[:, 0] > 0.3].mean() > 3 * std[X[:, 0] < -0.3].mean()
    assert model.coefs_[-1].shape[1] == 2
    assert model.n_outputs_ == 1


def test_standard_deviation_needs_its_loss(iris: Any) -> None:
    model = MLPRegressor(max_iter=2).fit(*iris)
    with pytest.raises(ValueError, match="return_std=True needs loss='gaussian_nll'"):
        model.predict(iris[0], return_std=True)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
def test_every_activation(activation: str, iris: Any) -> None:
    X, y = iris
    model = MLPClassifier(
        activation=activation, max_iter=60, random_state=0, learning_rate_init=0.01
    )
    assert model.fit(X, y).score(X, y) > 0.9


def test_an_activation_a_layer(iris: Any) -> None:
    X, y = iris
    model = MLPClassifier((5, 6), ["tanh", "relu"], max_iter=20, random_state=0).fit(X, y)
    one = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    two = np.maximum(one @ model.coefs_[1] + model.intercepts_[1], 0)
    z = two @ model.coefs_[2] + model.intercepts_[2]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(model.predict_proba(X), p / p.sum(axis=1, keepdims=True), rtol=1e-10)
    assert native_name("logistic") == "sigmoid"


def test_class_weights_multiply_sample_weights(iris: Any) -> None:
    X, y = iris
    weights = {0: 1.0, 1: 5.0, 2: 0.5}
    a = MLPClassifier(class_weight=weights, max_iter=5, random_state=0).fit(X, y, 1.0 + y)
    by_hand = (1.0 + y) * np.array([weights[c] for c in y])
    b = MLPClassifier(max_iter=5, random_state=0).fit(X, y, by_hand)
    np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])
    part = MLPClassifier(class_weight=weights).partial_fit(X[:60], y[:60], classes=[0, 1, 2])
    assert part.n_outputs_ == 3


def test_balanced_classes_find_the_rare_one() -> None:
    X, y = make_classification(600, weights=[0.95], class_sep=0.5, random_state=0)
    recall = [
        MLPClassifier((8,), class_weight=w, max_iter=300, random_state=0)
        .fit(X, y)
        .predict(X[y == 1])
        .mean()
        for w in (None, "balanced")
    ]
    assert recall[1] > recall[0] + 0.2


def test_dropout_is_random_in_training_alone(iris: Any) -> None:
    X, y = iris
    a, b, c = (
        MLPClassifier(dropout=p, max_iter=5, random_state=0).fit(X, y) for p in (0.5, 0.5, 0.0)
    )
    np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])
    assert np.abs(a.coefs_[0] - c.coefs_[0]).max() > 0
    np.testing.assert_array_equal(a.predict_proba(X), a.predict_proba(X))
    layers = MLPClassifier((5, 5), dropout=[0.0, 0.9], max_iter=5, random_state=0).fit(X, y)
    assert np.isfinite(layers.loss_)


@pytest.mark.parametrize("norm", ["batch_norm", "layer_norm"])
def test_norms(norm: str, iris: Any) -> None:
    X, y = iris
    model = MLPClassifier(
        (8, 8), max_iter=200, random_state=0, learning_rate_init=0.01, **{norm: True}
    ).fit(100 * X, y)
    assert model.score(100 * X, y) > 0.95
    one_by_one = [model.predict_proba(100 * X[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(one_by_one, model.predict_proba(100 * X[:5]), rtol=1e-9)
    model.partial_fit(100 * X, y)


def test_gradients_of_a_network_with_norms(iris: Any) -> None:
    X, y = iris
    model = MLPRegressor(
        hidden_layer_sizes=(4,), layer_norm=True, max_iter=1, random_state=0, activation="tanh"
    )
    model.fit(X, y)
    network = Network(hold_arrays(model), model.intercepts_, ["tanh"], model._norms)
    engine = model._make_engine(network, X, y.reshape(-1, 1).astype(float), None)
    _, grads = engine.loss_and_gradient()
    for parameter, grad in zip(network.parameters(), grads, strict=True):
        index = (0,) * parameter.ndim
        values = []
        for step in (1e-6, -1e-6):
            parameter[index] += step
            values.append(engine.loss_and_gradient()[0])
            parameter[index] -= step
        # central differences: 1e-12 from curvature, 1e-16 / 1e-6 from rounding
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(grad[index], rel=1e-5, abs=1e-8)
    assert forward(network, X).shape == (150, 1)


def test_adamw_shrinks_weights_beside_the_gradient(iris: Any) -> None:
    X, y = iris
    params: dict[str, Any] = {"max_iter": 1, "batch_size": 150, "random_state": 0, "alpha": 0.0}
    plain = MLPClassifier(**params).fit(X, y)
    decayed = MLPClassifier(solver="adamw", weight_decay=0.1, **params).fit(X, y)
    start = MLPClassifier(**params, learning_rate_init=1e-300).fit(X, y)
    for a, b, w in zip(decayed.coefs_, plain.coefs_, start.coefs_, strict=True):
        np.testing.assert_allclose(a, b - 1e-3 * 0.1 * w, atol=1e-12)
    np.testing.assert_allclose(decayed.intercepts_[0], plain.intercepts_[0], atol=1e-12)


def test_validation_data(iris: Any) -> None:
    X, y = iris
    held = X[::5], y[::5]
    seen = MLPClassifier(max_iter=7, random_state=0).fit(X, y, validation_data=held)
    alone = MLPClassifier(max_iter=7, random_state=0).fit(X, y)
    np.testing.assert_array_equal(seen.coefs_[0], alone.coefs_[0])
    assert len(seen.validation_loss_curve_) == 7
    p = seen.predict_proba(held[0])[np.arange(len(held[1])), held[1]]
    assert seen.validation_loss_curve_[-1] == pytest.approx(-np.log(p).mean(), rel=1e-12)

    stopped = MLPClassifier(early_stopping=True, max_iter=50, random_state=0, n_iter_no_change=3)
    stopped.fit(X, y, validation_data=held)
    assert stopped.t_ == stopped.n_iter_ * len(y)
    assert stopped.best_validation_score_ == stopped.score(*held)
    regressor = MLPRegressor(max_iter=3).fit(X, y, validation_data=held)
    assert len(regressor.validation_loss_curve_) == 3


@pytest.mark.parametrize(
    ("held", "text"),
    [
        (3, "must be a tuple"),
        ((np.zeros((2, 4)), np.array([7, 8])), "classes that `y` has not"),
        ((np.zeros((2, 3)), np.array([0, 1])), "3 features"),
    ],
)
def test_wrong_validation_data(held: Any, text: str, iris: Any) -> None:
    with pytest.raises(ValueError, match=text):
        MLPClassifier(max_iter=2).fit(*iris, validation_data=held)


def test_callbacks(iris: Any) -> None:
    seen: list[tuple[int, float]] = []

    def note(model: Any) -> None:
        seen.append((model.n_iter_, model.loss_curve_[-1]))

    model = MLPClassifier(max_iter=9, callbacks=[note, lambda m: m.n_iter_ == 4]).fit(*iris)
    assert [n for n, _ in seen] == [1, 2, 3, 4] == list(range(1, model.n_iter_ + 1))
    assert [loss for _, loss in seen] == model.loss_curve_
    lbfgs = MLPClassifier(solver="lbfgs", callbacks=lambda m: m.n_iter_ == 2).fit(*iris)
    assert lbfgs.n_iter_ == 2


def test_an_interrupt_keeps_what_was_learnt(iris: Any) -> None:
    def interrupt(model: Any) -> None:
        if model.n_iter_ == 3:
            raise KeyboardInterrupt

    model = MLPClassifier(max_iter=9, callbacks=interrupt)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(*iris)
    assert len(model.loss_curve_) == model.n_iter_ == 3
    assert model.predict(iris[0]).shape == (150,)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_time_budget(solver: str, iris: Any) -> None:
    model = MLPClassifier(
        solver=solver, max_iter=10**6, max_fun=10**9, tol=0.0, n_iter_no_change=10**6, max_time=0.2
    )
    begin = time.perf_counter()
    model.fit(*iris)
    assert time.perf_counter() - begin < 5


def test_precision(iris: Any) -> None:
    X, y = iris
    single = MLPClassifier(precision="fp32", max_iter=3).fit(X, y)
    assert {c.dtype for c in single.coefs_} == {np.dtype(np.float32)}
    double = MLPClassifier(precision="fp64", max_iter=3).fit(X.astype(np.float32), y)
    assert {c.dtype for c in double.coefs_} == {np.dtype(np.float64)}


@pytest.mark.parametrize("norm", ["batch_norm", "layer_norm"])
def test_a_float32_model_with_norms_predicts_for_float64(iris: Any, norm: str) -> None:
    X, y = iris
    model = MLPClassifier(precision="fp32", max_iter=3, **{norm: True}).fit(X, y)
    single = model.predict_proba(X.astype(np.float32))
    np.testing.assert_allclose(model.predict_proba(X), single, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"layer_norm": True}, {"loss": "focal"}], ids=["compiled", "norms", "kernels"]
)
def test_training_in_bf16(iris: Any, options: dict[str, Any]) -> None:
    X, y = iris
    params: dict[str, Any] = {"random_state": 0, "max_iter": 60, "learning_rate_init": 0.01}
    half = MLPClassifier(precision="bf16", **params, **options).fit(X, y)
    single = MLPClassifier(precision="fp32", **params, **options).fit(X, y)
    assert {c.dtype for c in half.coefs_} == {np.dtype(np.float32)}
    assert not np.array_equal(half.coefs_[0], single.coefs_[0])
    assert half.loss_ == pytest.approx(single.loss_, rel=0.05)
    assert abs(half.score(X, y) - single.score(X, y)) <= 0.02


def test_bf16_is_not_for_lbfgs(iris: Any) -> None:
    with pytest.raises(ValueError, match="precision='bf16' is for the stochastic solvers"):
        MLPRegressor(precision="bf16", solver="lbfgs").fit(*iris)


def test_kept_optimizer_state(iris: Any) -> None:
    X, y = iris
    params: dict[str, Any] = {"random_state": 0, "shuffle": False, "warm_start": True}
    kept = MLPClassifier(max_iter=2, keep_optimizer_state=True, **params).fit(X, y).fit(X, y)
    through = MLPClassifier(max_iter=4, **params).fit(X, y)
    np.testing.assert_array_equal(kept.coefs_[0], through.coefs_[0])
    lost = MLPClassifier(max_iter=2, **params).fit(X, y).fit(X, y)
    assert np.abs(lost.coefs_[0] - through.coefs_[0]).max() > 0


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_threads_change_no_bit(kind: str) -> None:
    from scipy.sparse import csr_matrix

    X, y = make_classification(500, 40, n_informative=10, n_classes=3, random_state=0)
    X = csr_matrix(X) if kind == "sparse" else X
    models = [
        MLPClassifier((64,), max_iter=3, random_state=0, n_threads=n).fit(X, y) for n in (1, 2, 3)
    ]
    for model in models[1:]:
        for a, b in zip(model.coefs_, models[0].coefs_, strict=True):
            np.testing.assert_array_equal(a, b)


def test_bar(iris: Any, capsys: pytest.CaptureFixture[str]) -> None:
    MLPClassifier(max_iter=3, verbose="bar", early_stopping=True).fit(*iris)
    out = capsys.readouterr().out
    assert "epoch 3/3" in out
    assert "Iteration" not in out
