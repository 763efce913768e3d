"""Inside scikit-learn's tools, in worker processes, threads and forks, beside other libraries."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlpeak
from mlpeak import _core
from mlpeak.sklearn import MLPClassifier
from mlpeak.sklearn.threads import share_of_threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SECONDS = 120


@pytest.fixture
def iris() -> tuple[Any, Any]:
    X, y = load_iris(return_X_y=True)
    return X, y


def model(**params: Any) -> MLPClassifier:
    return MLPClassifier((16,), max_iter=60, random_state=0, learning_rate_init=0.01, **params)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_searches(backend: str, iris: Any) -> None:
    X, y = iris
    columns = ColumnTransformer([("scaled", StandardScaler(), [0, 1, 2, 3])])
    pipe = make_pipeline(columns, model())
    grid = {"mlpclassifier__alpha": [1e-4, 1e-1]}
    alone = GridSearchCV(pipe, grid, cv=3).fit(X, y)
    with joblib.parallel_backend(backend, n_jobs=2):
        together = GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(X, y)
        scores = cross_val_score(pipe, X, y, cv=3, n_jobs=2)
    np.testing.assert_array_equal(
        alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"]
    )
    assert scores.mean() > 0.85


def test_calibration_bagging_importance(iris: Any) -> None:
    X, y = iris
    assert CalibratedClassifierCV(model(), cv=3).fit(X, y).score(X, y) > 0.8
    assert BaggingClassifier(model(), 3, random_state=0).fit(X, y).score(X, y) > 0.8
    importance = permutation_importance(model().fit(X, y), X, y, n_repeats=2, random_state=0)
    assert importance.importances_mean.max() > 0.1


def threads_of_a_worker() -> int:
    with share_of_threads(None):
        return _core.get_num_threads()


def test_a_worker_process_uses_its_share() -> None:
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        found = joblib.Parallel()(joblib.delayed(mlpeak.get_num_threads)() for _ in range(4))
    assert found == [1, 1, 1, 1]


def test_threads_share() -> None:
    mlpeak.set_num_threads(4)
    with share_of_threads(None):
        assert _core.get_num_threads() == 4
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(threads_of_a_worker).result(SECONDS) == 2
        with share_of_threads(3):
            assert _core.get_num_threads() == 3
        assert _core.get_num_threads() == 4
    assert _core.get_num_threads() == 4


def test_fits_in_threads_are_those_of_one_thread(iris: Any) -> None:
    X, y = iris
    expected = model().fit(X, y)
    with ThreadPoolExecutor(4) as pool:
        fits = [pool.submit(lambda: model().fit(X, y)) for _ in range(8)]
        for fit in fits:
            np.testing.assert_array_equal(fit.result(SECONDS).coefs_[0], expected.coefs_[0])


def test_predictions_of_one_model_in_threads(iris: Any) -> None:
    X, y = iris
    fitted = model().fit(X, y)
    expected = fitted.predict_proba(X)
    with ThreadPoolExecutor(4) as pool:
        for proba in pool.map(lambda _: fitted.predict_proba(X), range(50), timeout=SECONDS):
            np.testing.assert_array_equal(proba, expected)


FORK = """
    import os, sys, warnings
    import numpy as np
    {first}
    import mlpeak
    from sklearn.datasets import make_classification
    from mlpeak.sklearn import MLPClassifier
    warnings.simplefilter("ignore")
    mlpeak.set_num_threads(2)
    X, y = make_classification(1000, 200, n_informative=20, random_state=0)
    def fit():
        return MLPClassifier((256,), max_iter=2, random_state=0).fit(X, y)
    before = fit()
    {second}
    child = os.fork()
    if child == 0:
        same = np.array_equal(fit().coefs_[0], before.coefs_[0])
        same &= np.array_equal(before.predict(X), fit().predict(X))
        os._exit(0 if same else 3)
    _, status = os.waitpid(child, 0)
    again = np.array_equal(fit().coefs_[0], before.coefs_[0])
    sys.exit(os.waitstatus_to_exitcode(status) or (0 if again else 4))
"""

TORCH = ("import torch", "torch.ones(300, 300) @ torch.ones(300, 300)")
SKLEARN = (
    "from sklearn.neural_network import MLPClassifier as Theirs",
    "Theirs((50,), max_iter=2).fit(X, y)",
)


@pytest.mark.parametrize(
    "beside", [("", ""), SKLEARN, TORCH], ids=["alone", "scikit-learn", "torch"]
)
def test_fork_after_training(beside: tuple[str, str]) -> None:
    if beside is TORCH and not find_spec("torch"):
        pytest.skip("torch is not installed")
    script = textwrap.dedent(FORK).format(first=beside[0], second=beside[1])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
