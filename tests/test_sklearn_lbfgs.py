"""The solver lbfgs: what it leaves, and how it is stopped."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from mlpeak.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.RandomState(0).randn(60, 4)
Y = X[:, 0]
CLASSES = np.digitize(Y, [-1, 1])


@pytest.mark.parametrize("stop", [{"callbacks": lambda m: m.n_iter_ == 3}, {"max_time": 1e-9}])
def test_lbfgs_that_was_stopped_does_not_warn(stop: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = MLPRegressor(solver="lbfgs", random_state=0, **stop).fit(X, Y)
    assert model.n_iter_ == (3 if "callbacks" in stop else 1)


@pytest.mark.parametrize("scale", [1.0, 50.0])
@pytest.mark.parametrize("sizes", [(20,), (9, 8)], ids=str)
def test_lbfgs_leaves_the_statistics_of_its_network(scale: float, sizes: Any) -> None:
    data = X * scale + 10 * scale
    losses = []

    def look(model: Any) -> None:
        p = model.predict_proba(data)[np.arange(60), CLASSES]
        losses.append((-np.log(p).mean(), model.loss_))

    model = MLPClassifier(sizes, solver="lbfgs", batch_norm=True, alpha=0.0, callbacks=look,
                          max_iter=40, random_state=0).fit(data, CLASSES)  # fmt: skip
    look(model)
    for shown, reported in losses:
        # a reported log loss is at most that of a probability of epsilon
        assert shown == pytest.approx(reported, rel=1e-6, abs=1e-9)
