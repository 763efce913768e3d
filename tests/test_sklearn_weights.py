"""Sample weights that are negative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier as SklearnClassifier

from mlpeak.sklearn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.RandomState(0).randn(60, 4)
Y = X[:, 0]
BINARY = (Y > 0).astype(int)
CLASSES = np.digitize(Y, [-1, 1])
LABELS = (X[:, :3] > 0).astype(int)


@pytest.mark.parametrize("y", [BINARY, CLASSES, LABELS], ids=["binary", "classes", "labels"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_negative_weights_report_the_loss_of_scikit_learn(y: Any, solver: str) -> None:
    weight = np.where(np.arange(60) % 10 == 0, -0.5, 1.0)
    params: dict[str, Any] = {"random_state": 0, "max_iter": 4, "solver": solver}
    ours = MLPClassifier(**params).fit(X, y, weight)
    theirs = SklearnClassifier(**params).fit(X, y, weight)
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    assert ours.n_iter_ == theirs.n_iter_
