"""Arrays of a fitted estimator that were replaced, left by another fit, or are read-only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mlpeak import _core
from mlpeak.sklearn import MLPClassifier, MLPRegressor
from mlpeak.sklearn.compiled import CompiledEngine
from mlpeak.sklearn.engine import Data
from mlpeak.sklearn.network import Network, Norm
from mlpeak.sklearn.objectives import make_objective
from mlpeak.sklearn.optimizers import AdamOptimizer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.RandomState(0).randn(60, 4)
X32 = X.astype(np.float32)
Y = X[:, 0]
Y3 = X[:, :3]


def dtypes(model: Any) -> set[Any]:
    arrays = [*model.coefs_, *model.intercepts_]
    return {array.dtype for array in arrays + [a for n in model._norms for a in n.arrays()]}


def regressor(units: int = 8, **params: Any) -> MLPRegressor:
    params = {"hidden_layer_sizes": (units,), "max_iter": 3, "random_state": 0, **params}
    return MLPRegressor(**params)


@pytest.mark.parametrize("step", [2, -1])
def test_a_sparse_matrix_whose_data_are_apart_is_read_in_order(step: int) -> None:
    x = csr_matrix(np.where(X > 0.5, X, 0))
    apart = x.copy()
    apart.data = np.empty(len(x.data) * abs(step))[::step]
    apart.data[...] = x.data
    assert apart.data.strides == (8 * step,)
    fitted = [regressor().fit(data, Y).coefs_[0].tobytes() for data in (x, apart)]
    assert fitted[0] == fitted[1]


# ---- the dtype of all arrays ----


@pytest.mark.parametrize("norm", ["batch_norm", "layer_norm"])
@pytest.mark.parametrize("given", ["float32", "fp32"])
def test_lbfgs_with_norms_computes_in_float64(norm: str, given: str) -> None:
    params: dict[str, Any] = {norm: True, "precision": "fp32" if given == "fp32" else None}
    data = X if given == "fp32" else X32
    model = regressor(300, solver="lbfgs", **params).fit(data, Y)
    assert dtypes(model) == {np.dtype(np.float64)}
    double = regressor(300, solver="lbfgs", **{norm: True}).fit(X32.astype(float), Y)
    assert model.loss_ == pytest.approx(double.loss_, rel=1e-2)


def test_a_float32_model_with_norms_goes_on_by_lbfgs() -> None:
    model = regressor(300, layer_norm=True, warm_start=True).fit(X32, Y)
    before = model.loss_
    model.set_params(solver="lbfgs", max_iter=30).fit(X32, Y)
    assert model.loss_ < before
    assert dtypes(model) == {np.dtype(np.float64)}


@pytest.mark.parametrize("norm", [{}, {"layer_norm": True}], ids=["plain", "layer norm"])
def test_the_optimizer_follows_the_dtype_of_the_weights(norm: dict[str, Any]) -> None:
    model = regressor(300, warm_start=True, **norm).fit(X32, Y)
    model.set_params(solver="lbfgs").fit(X32, Y)
    model.set_params(solver="adam").partial_fit(X32, Y)
    assert {s.dtype for states in model._optimizer.states for s in states} == dtypes(model)
    assert np.isfinite(model.loss_)


def test_precision_decides_the_dtype_of_a_warm_start() -> None:
    model = regressor(warm_start=True, batch_norm=True, precision="fp32").fit(X, Y)
    model.set_params(precision="fp64").fit(X, Y)
    assert dtypes(model) == {np.dtype(np.float64)}
    assert {s.dtype for states in model._optimizer.states for s in states} == dtypes(model)


@pytest.mark.parametrize("which", ["all", "one", "integers"])
@pytest.mark.parametrize("warm", [True, False], ids=["fit", "partial_fit"])
def test_replaced_arrays_may_have_another_dtype(which: str, warm: bool) -> None:
    model = regressor(300, warm_start=True).fit(X32, Y)
    expected = regressor(300, warm_start=True).fit(X32, Y)
    if which == "integers":
        model.coefs_[0] = np.ones((4, 300), int)
        expected.coefs_[0] = np.ones((4, 300))
    else:
        model.coefs_[-1] = model.coefs_[-1].astype(float)
    if which == "all":
        model.coefs_ = [c.astype(float) for c in model.coefs_]
        model.intercepts_ = [b.astype(float) for b in model.intercepts_]
    expected.coefs_ = [c.astype(float) for c in expected.coefs_]
    for each in (model, expected):
        each.fit(X32, Y) if warm else each.partial_fit(X32, Y)
    assert dtypes(model) == {np.dtype(np.float64)}
    assert model.loss_ == expected.loss_


def test_integer_weights_predict_for_integers() -> None:
    model = regressor().fit(X, Y)
    model.coefs_ = [np.ones(c.shape, int) for c in model.coefs_]
    whole = np.arange(8).reshape(2, 4)
    np.testing.assert_allclose(model.predict(whole), model.predict(whole.astype(float)))


def test_extended_precision_predicts_in_float64() -> None:
    model = regressor().fit(X.astype(np.longdouble), Y)
    assert model.predict(X.astype(np.longdouble)).dtype == np.float64


# ---- shapes ----


@pytest.mark.parametrize("keep", [False, True])
def test_an_optimizer_of_other_shapes_is_not_used(keep: bool) -> None:
    wide = np.tile(X, (1, 500))
    model = regressor(100, keep_optimizer_state=keep).fit(X, Y)
    model.set_params(solver="lbfgs").fit(wide, Y)
    model.set_params(solver="adam").partial_fit(wide, Y)
    assert model._optimizer.t == 1
    assert model._optimizer.ms[0].shape == (2000, 100)


def wider(model: Any) -> None:
    model.coefs_ = [np.ones((4, 5000)), np.ones((5000, 1))]
    model.intercepts_ = [np.ones(5000), np.ones(1)]


def replace(name: str, index: int, array: Any) -> Any:
    def change(model: Any) -> None:
        getattr(model, name)[index] = array

    return change


def shorten(model: Any) -> None:
    model.intercepts_ = model.intercepts_[:1]


MISFITS = {
    "short intercepts": (
        replace("intercepts_", 0, np.zeros(1)),
        r"intercepts_\[0\] has shape \(1,\); expected \(8,\)",
    ),
    "wider": (wider, r"coefs_\[0\] has shape \(4, 5000\); expected \(4, 8\)"),
    "one wider": (replace("coefs_", 1, np.ones((99, 1))), r"coefs_\[1\] has shape \(99, 1\)"),
    "other outputs": (replace("coefs_", 1, np.ones((8, 2))), "y needs a last layer of 1 units"),
    "other features": (replace("coefs_", 0, np.ones((5, 8))), "X has 4 features"),
    "no matrix": (replace("coefs_", 0, np.ones(32)), r"coefs_\[0\] has 1 dimensions; expected 2"),
    "text": (replace("coefs_", 0, np.full((4, 8), "a")), r"coefs_\[0\] has dtype <U1"),
    "complex": (replace("intercepts_", 0, np.ones(8, complex)), "has dtype complex128"),
    "too few": (shorten, "intercepts_ has 1 arrays; expected 2"),
}


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("name", MISFITS)
def test_replaced_arrays_must_fit(name: str, solver: str) -> None:
    model = regressor(warm_start=True, solver=solver).fit(X, Y)
    change, text = MISFITS[name]
    change(model)
    with pytest.raises(ValueError, match=text):
        model.fit(X, Y)


def test_wider_arrays_train_with_their_hidden_layer_sizes() -> None:
    model = regressor().partial_fit(X, Y)
    wider(model)
    model.set_params(hidden_layer_sizes=(5000,)).partial_fit(X, Y)
    assert model.coefs_[0].shape == (4, 5000)
    assert np.isfinite(model.loss_)


@pytest.mark.parametrize("sizes", [(), (8, 8), (9,)], ids=str)
def test_a_warm_start_has_the_layers_of_before(sizes: Any) -> None:
    model = regressor(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        model.set_params(hidden_layer_sizes=sizes).fit(X, Y)


@pytest.mark.parametrize("before", [{}, {"batch_norm": True}], ids=["none", "batch"])
def test_a_warm_start_has_the_norms_of_before(before: dict[str, Any]) -> None:
    model = regressor(warm_start=True, **before).fit(X, Y)
    with pytest.raises(ValueError, match="layer_norm is True, but the fitted network has"):
        model.set_params(batch_norm=False, layer_norm=True).fit(X, Y)


@pytest.mark.parametrize(("first", "second"), [(Y, Y3), (Y3, Y)], ids=["1 to 3", "3 to 1"])
@pytest.mark.parametrize("how", ["partial_fit", "adam", "lbfgs"])
def test_the_outputs_of_y_stay(first: Any, second: Any, how: str) -> None:
    model = regressor(warm_start=True, solver="lbfgs" if how == "lbfgs" else "adam")
    train = model.partial_fit if how == "partial_fit" else model.fit
    train(X, first)
    outputs, shape = model.n_outputs_, model.predict(X).shape
    with pytest.raises(ValueError, match="y needs a last layer of"):
        train(X, second)
    assert model.n_outputs_ == outputs
    assert model.predict(X).shape == shape


@pytest.mark.parametrize("losses", [("gaussian_nll", "squared_error"), ("huber", "gaussian_nll")])
def test_a_loss_needs_its_last_layer(losses: tuple[str, str]) -> None:
    model = regressor(loss=losses[0], warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="y needs a last layer of"):
        model.set_params(loss=losses[1]).fit(X, Y)


def test_a_fit_that_failed_leaves_no_network_for_other_data() -> None:
    model = MLPClassifier((5,), max_iter=3).fit(X, np.arange(60) % 3)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, np.arange(60) % 20, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="y needs a last layer of 20 units"):
        model.partial_fit(X, np.arange(60) % 20)
    wide = np.ones((60, 800))
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(wide, np.arange(60) % 3, sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="X has 800 features, but the fitted network takes 4"):
        model.partial_fit(wide, np.arange(60) % 3)


# ---- memory that cannot be written ----


@pytest.mark.parametrize("how", ["partial_fit", "fit"])
def test_a_model_in_mapped_memory_trains_in_a_copy(tmp_path: Path, how: str) -> None:
    joblib = pytest.importorskip("joblib")
    model = regressor(batch_norm=True, warm_start=True, keep_optimizer_state=True).fit(X, Y)
    joblib.dump(model, tmp_path / "model")
    loaded = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not loaded._norms[0].weight.flags.writeable
    getattr(loaded, how)(X, Y)
    getattr(model, how)(X, Y)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


# ---- what is bound to a native program ----


def small_network() -> Network:
    return Network([np.ones((3, 4)), np.ones((1, 3))], [np.ones(3), np.ones(1)], ["relu"],
                   [Norm.new("batch", 3, np.dtype(float))])  # fmt: skip


def read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


BROKEN: dict[str, tuple[Any, str]] = {
    "dtype": (lambda n, o: n.biases.__setitem__(0, np.ones(3, np.float32)), "intercepts_.0. is f"),
    "chain": (lambda n, o: n.weights.__setitem__(1, np.ones((1, 9))), r"coefs_.1. has shape \(9,"),
    "gaps": (lambda n, o: n.weights.__setitem__(0, np.ones((4, 3)).T), "coefs_.0. is read-only or"),
    "read-only": (lambda n, o: n.biases.__setitem__(1, read_only(np.ones(1))), "intercepts_.1. is"),
    "norm": (lambda n, o: setattr(n.norms[0], "var", np.ones(1)), r"_norms.0..var has shape"),
    "state": (lambda n, o: o.states[0].__setitem__(1, np.ones((1, 1))), r"states.0..1. has shape"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_engine_refuses_arrays_that_do_not_fit(name: str) -> None:
    network = small_network()
    optimizer = AdamOptimizer(network.parameters(), 1e-3, 0.9, 0.999, 1e-8)
    change, text = BROKEN[name]
    change(network, optimizer)
    objective = make_objective("squared_error", "identity")
    with pytest.raises(ValueError, match=text):
        CompiledEngine(network, Data(X, Y[:, None], None), objective, 0.0, optimizer)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.ones(6, np.float32), "has dtype float32; expected float64"),
        (np.ones(5), "has 5 elements; expected 6"),
        (np.ones(12)[::2], "is not C-contiguous"),
        (read_only(np.ones(6)), "is read-only"),
    ],
    ids=["dtype", "size", "strides", "read-only"],
)
def test_a_program_refuses_an_array_that_does_not_fit(array: Any, text: str) -> None:
    program: Any = _core.Program("float64")
    value = program.add_array(6)
    with pytest.raises(ValueError, match=text):
        program.set_array(value, array, True)
    program.set_array(value, read_only(np.ones(6)), False)
