"""The compiled engine against the one of kernel calls, and its bits on every tier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from mlpeak.sklearn import MLPClassifier, MLPRegressor, base
from mlpeak.sklearn.compiled import CompiledEngine
from mlpeak.sklearn.engine import KernelEngine

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def samples(kind: str) -> tuple[Any, Any]:
    rng = np.random.RandomState(0)
    X = rng.randn(117, 9)
    return X, {
        "binary": X[:, 0] > 0,
        "multiclass": np.arange(117) % 5,
        "multilabel": (X[:, :3] > 0.3).astype(int),
        "regression": X[:, :2] + 0.1 * rng.randn(117, 2),
        "counts": rng.poisson(2.0, 117).astype(float),
    }[kind]


MODELS: dict[str, tuple[str, Any]] = {
    "binary": ("binary", MLPClassifier()),
    "multiclass, smoothing": ("multiclass", MLPClassifier(label_smoothing=0.1)),
    "labels, smoothing": ("multilabel", MLPClassifier(label_smoothing=0.1)),
    "squared error": ("regression", MLPRegressor()),
    "poisson": ("counts", MLPRegressor("poisson")),
    "absolute error": ("regression", MLPRegressor("absolute_error")),
    "huber": ("regression", MLPRegressor("huber", huber_delta=0.3)),
    "sgd": ("multiclass", MLPClassifier(solver="sgd")),
    "momentum of none": ("multiclass", MLPClassifier(solver="sgd", momentum=0.0)),
    "lbfgs": ("multiclass", MLPClassifier(solver="lbfgs")),
    "adamw": ("multiclass", MLPClassifier(solver="adamw", weight_decay=0.1)),
    "no penalty": ("multiclass", MLPClassifier(alpha=0.0)),
    "dropout": ("multiclass", MLPClassifier((12, 7), dropout=[0.3, 0.5])),
    "dropout of one": ("multiclass", MLPClassifier((12, 8), dropout=[0.0, 0.5])),
    "gelu": ("multiclass", MLPClassifier((12, 7), activation=["gelu", "elu"])),
    "gelu with dropout": ("multiclass", MLPClassifier((12, 7), activation="gelu", dropout=0.2)),
    "no hidden layer": ("multiclass", MLPClassifier(())),
    "layer norm": ("multiclass", MLPClassifier((12, 7), layer_norm=True)),
    "layer norm, gelu": (
        "regression",
        MLPRegressor("squared_error", (12, 7), layer_norm=True, activation="gelu"),
    ),
    "batch norm": ("multiclass", MLPClassifier((12, 7), batch_norm=True)),
    "batch norm of 70, sgd": ("binary", MLPClassifier((70,), batch_norm=True, solver="sgd")),
    "batch norm, no penalty": (
        "regression",
        MLPRegressor("squared_error", (9, 8), batch_norm=True, alpha=0.0),
    ),
    "batch norm, lbfgs": (
        "regression",
        MLPRegressor("squared_error", (9, 8), batch_norm=True, solver="lbfgs"),
    ),
    "batch norm, identity": (
        "counts",
        MLPRegressor("poisson", (9, 8), "identity", batch_norm=True, dropout=0.2),
    ),
    "layer norm, silu, dropout": (
        "multiclass",
        MLPClassifier((12, 7), "silu", layer_norm=True, dropout=[0.0, 0.3]),
    ),
}


def fit(name: str, weighted: bool, **params: Any) -> Any:
    kind, model = MODELS[name]
    X, y = samples(kind)
    model.set_params(max_iter=4, random_state=0, batch_size=25, **params)
    weight = np.random.RandomState(1).uniform(0.1, 2, len(X)) if weighted else None
    return model.fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", MODELS)
def test_engines_agree(name: str, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[type[Any]] = []
    for engine in (CompiledEngine, KernelEngine):
        monkeypatch.setattr(engine, "__init__", _noting(used, engine))
    compiled = fit(name, weighted)
    coefs, intercepts = compiled.coefs_, compiled.intercepts_
    loss = compiled.loss_
    monkeypatch.setattr(base, "can_compile", lambda *_: False)
    kernels = fit(name, weighted)
    assert used == [CompiledEngine, KernelEngine]
    # 20 steps of sums in another order; lbfgs has 4 searches along a line. The gradient of a bias
    # before a batch norm is 0 but for rounding, 1e-16, which Adam divides by its eps, 1e-8.
    tolerance = 1e-9 if compiled.batch_norm else 1e-10
    norms = [[a for norm in model._norms for a in norm.arrays()] for model in (compiled, kernels)]
    ours = coefs + intercepts + norms[0]
    for a, b in zip(ours, kernels.coefs_ + kernels.intercepts_ + norms[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())
    assert loss == pytest.approx(kernels.loss_, rel=1e-10)


def _noting(used: list[type[Any]], engine: type[Any]) -> Any:
    original = engine.__init__

    def init(self: Any, *arguments: Any, **options: Any) -> None:
        used.append(engine)
        original(self, *arguments, **options)

    return init


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_on_every_tier(dtype: Any, tier: str) -> None:
    from mlpeak import _core

    X, y = samples("multiclass")
    weight = np.random.RandomState(1).uniform(0.1, 2, len(X))
    for params in (
        {"alpha": 0.1},
        {"solver": "sgd"},
        {"dropout": 0.3, "solver": "adamw"},
        {"batch_norm": True},
        {"layer_norm": True},
    ):
        bits = []
        for one in (tier, "scalar"):
            _core.select_tier(one)
            model = MLPClassifier((17,), max_iter=3, random_state=0, batch_size=30, **params)
            bits.append(model.fit(X.astype(dtype), y, sample_weight=weight))
        assert bits[0].loss_curve_ == bits[1].loss_curve_
        for a, b in zip(bits[0].coefs_, bits[1].coefs_, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_are_those_of_dense(solver: str) -> None:
    X, y = samples("multiclass")
    X[np.abs(X) < 0.7] = 0
    X[3] = 0
    models = [
        MLPClassifier(solver=solver, max_iter=4, random_state=0).fit(x, y)
        for x in (X, sparse.csr_matrix(X), sparse.csc_array(X))
    ]
    for model in models[1:]:
        np.testing.assert_array_equal(model.coefs_[0], models[0].coefs_[0])


def test_sparse_duplicates_add_up() -> None:
    X = sparse.csr_matrix(
        (np.array([1.0, 2.0, 3.0]), np.array([1, 1, 0]), np.array([0, 2, 2, 3])), shape=(3, 2)
    )
    a, b = (MLPRegressor(max_iter=2, random_state=0).fit(x, [1.0, 2, 3]) for x in (X, X.toarray()))
    np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])


def test_wrong_sparse_positions_are_refused() -> None:
    X = sparse.csr_matrix(np.eye(4))
    X.indices[2] = 400
    with pytest.raises(ValueError, match=r"indices|index"):
        MLPRegressor(max_iter=2).fit(X, np.arange(4.0))


def test_memory_of_coefficients_is_that_of_the_training() -> None:
    X, y = samples("multiclass")
    model = MLPClassifier(max_iter=1).fit(X, y)
    before, copy = model.coefs_[0], model.coefs_[0].copy()
    model.partial_fit(X, y)
    assert np.shares_memory(before, model.coefs_[0])
    assert np.abs(before - copy).max() > 0


def test_numpy_backend_trains_the_same(backend: str) -> None:
    X, y = samples("multiclass")
    model = MLPClassifier((6,), max_iter=2, random_state=0).fit(X, y)
    expected = MLPClassifier((6,), max_iter=2, random_state=0)
    expected.set_params(n_threads=1).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0], expected.coefs_[0], rtol=1e-9)


@pytest.mark.parametrize("loss", ["log_loss", "focal"], ids=["compiled", "kernels"])
def test_batch_norm_refuses_a_batch_of_one_before_the_first(loss: str) -> None:
    """117 samples in batches of 4 leave one: its statistics would divide by nothing."""
    X, y = samples("multiclass")
    model = MLPClassifier(loss=loss, batch_norm=True, batch_size=4, max_iter=1, random_state=0)
    with pytest.raises(ValueError, match="117 samples in batches of 4 leave a batch of one"):
        model.fit(X, y)
    untrained = MLPClassifier(batch_norm=True, batch_size=5, max_iter=1, random_state=0)
    untrained.set_params(learning_rate_init=1e-300)
    for a, b in zip(model.coefs_, untrained.fit(X, y).coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_and_states_begin_with_a_cache_line() -> None:
    X, y = samples("multiclass")
    model = MLPClassifier((3, 4, 5, 6, 7), max_iter=2, random_state=0).fit(X, y)
    states = [array for state in model._optimizer.states for array in state]
    assert {array.ctypes.data % 64 for array in (*model.coefs_, *states)} == {0}
