"""Patching scikit-learn, running scripts patched, and converting models both ways."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.neural_network
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier as SklearnClassifier
from sklearn.neural_network import MLPRegressor as SklearnRegressor

import mlpeak.sklearn
from mlpeak.sklearn import MLPClassifier, MLPRegressor, from_sklearn, patch, to_sklearn, unpatch

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SECONDS = 60


def imported() -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier


def test_patch_and_unpatch() -> None:
    original = imported()
    assert original is not MLPClassifier
    patch()
    patch()
    assert imported() is MLPClassifier
    assert sklearn.neural_network.MLPRegressor is MLPRegressor
    unpatch()
    assert imported() is original
    unpatch()


def test_a_context_ends_its_own_patch_alone() -> None:
    original = imported()
    with patch():
        assert imported() is MLPClassifier
        with patch():
            assert imported() is MLPClassifier
        assert imported() is MLPClassifier
    assert imported() is original


def test_pickles_of_scikit_learn_stay_its_own() -> None:
    X, y = load_iris(return_X_y=True)
    model = SklearnClassifier(max_iter=2).fit(X, y)
    with patch():
        copy = pickle.loads(pickle.dumps(model))
    assert type(copy) is SklearnClassifier
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))


SCRIPT = """
import sys
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier
print(__name__, sys.argv[1:], MLPClassifier.__module__)
model = MLPClassifier(max_iter=3, tol=10.0, n_iter_no_change=1).fit(*load_iris(return_X_y=True))
print(model.n_iter_)
"""


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlpeak.sklearn", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=cwd)


def test_script(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    for how in (("train.py",), ("-m", "train")):
        done = run(*how, "--lr", "3", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        first, second = done.stdout.splitlines()
        assert first == "__main__ ['--lr', '3'] mlpeak.sklearn.classifier"
        assert second == "3"


def test_script_errors(tmp_path: Path) -> None:
    assert run("missing.py", cwd=tmp_path).returncode == 2
    assert "usage:" in run(cwd=tmp_path).stderr
    (tmp_path / "fails.py").write_text("raise SystemExit(7)")
    assert run("fails.py", cwd=tmp_path).returncode == 7


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(MLPClassifier, SklearnClassifier), (MLPRegressor, SklearnRegressor)]
)
def test_conversion_both_ways(ours: Any, theirs: Any, solver: str) -> None:
    X, y = load_iris(return_X_y=True)
    params = {"hidden_layer_sizes": (6, 5), "max_iter": 4, "random_state": 0, "solver": solver}
    model = theirs(**params).fit(X, y)
    converted = from_sklearn(model)
    assert type(converted) is ours
    np.testing.assert_allclose(converted.predict(X), model.predict(X), rtol=1e-12)
    back = to_sklearn(converted)
    assert type(back) is theirs
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    assert back.get_params() == model.get_params()
    assert {n for n in vars(model) if not n.endswith("_indptr")} <= set(vars(back))
    if solver == "lbfgs":
        return
    # all three go on alike, moments included
    for each in (model, converted, back):
        each.partial_fit(X, y).partial_fit(X, y)
    for a, b, c in zip(model.coefs_, converted.coefs_, back.coefs_, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(c, a, rtol=1e-9, atol=1e-12)


def test_converted_models_share_no_memory() -> None:
    X, y = load_iris(return_X_y=True)
    model = MLPClassifier(max_iter=2).fit(X, y)
    copy = to_sklearn(model)
    before = copy.coefs_[0].copy()
    model.coefs_[0][...] = 0
    np.testing.assert_array_equal(copy.coefs_[0], before)


def test_unfitted_models_convert() -> None:
    assert to_sklearn(MLPRegressor("poisson", (3,))).get_params()["loss"] == "poisson"
    assert from_sklearn(SklearnClassifier(alpha=0.5)).alpha == 0.5


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (MLPClassifier(activation="gelu"), "activation is 'gelu'"),
        (MLPClassifier((3, 3), ["relu", "tanh"]), "activation is"),
        (MLPClassifier(batch_norm=True), "no norm"),
        (MLPRegressor("gaussian_nll"), "no deviation"),
    ],
)
def test_what_scikit_learn_has_not(model: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        to_sklearn(model)


def test_other_estimators_are_refused() -> None:
    for function in (to_sklearn, from_sklearn):
        with pytest.raises(TypeError, match="LogisticRegression"):
            function(LogisticRegression())
    assert mlpeak.sklearn.__all__
