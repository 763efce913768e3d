"""What `mlpeak bench sklearn` fits: data sets, estimators, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

__all__ = ["QUICK", "Fit", "make_fits", "timed"]

#: Names of the few that show that all of it works.
QUICK = ("defaults, digits", "predict, digits, one row")


@dataclass(frozen=True)
class Fit:
    """One thing to measure, by mlpeak and by scikit-learn.

    Attributes
    ----------
    group, title : str
        Together its name.
    data : str
        A data set's name, see `_DATA`; "mnist" needs a folder.
    params : mapping
        Of the estimator.
    what : str
        "fit", "one row" or "all rows" to predict, or "search": a grid of 24 candidates, 5 folds.
    dtype : str
    """

    group: str
    title: str
    data: str
    params: Mapping[str, Any] = field(default_factory=dict)
    what: str = "fit"
    dtype: str = "float64"

    @property
    def name(self) -> str:
        """Group and title."""
        return f"{self.group}, {self.title}"


def make_fits(mnist: bool) -> list[Fit]:
    """Return all fits; those of MNIST if there is a folder of it."""
    fits = [
        Fit("defaults", "digits", "digits"),
        Fit("defaults", "breast cancer", "breast cancer"),
        Fit("defaults", "diabetes", "diabetes"),
        Fit("settings", "digits, float32", "digits", dtype="float32"),
        Fit("settings", "digits, (256, 128)", "digits", {"hidden_layer_sizes": (256, 128)}),
        Fit("settings", "digits, sgd", "digits", {"solver": "sgd", "max_iter": 50}),
        Fit("settings", "digits, early stopping", "digits", {"early_stopping": True}),
        Fit("settings", "digits, lbfgs", "digits", {"solver": "lbfgs"}),
        Fit("settings", "breast cancer, tanh", "breast cancer", {"activation": "tanh"}),
        Fit("settings", "diabetes, batches of 32", "diabetes", {"batch_size": 32, "max_iter": 50}),
        Fit("settings", "diabetes, lbfgs", "diabetes", {"solver": "lbfgs"}),
        Fit("large", "100k x 50, 5 epochs", "synthetic", {"max_iter": 5}),
        Fit("predict", "digits, one row", "digits", {"max_iter": 5}, "one row"),
        Fit("predict", "digits, all rows", "digits", {"max_iter": 5}, "all rows"),
        Fit("search", "digits, 24 candidates x 5 folds", "digits", {"max_iter": 50}, "search"),
    ]
    if mnist:
        params = {"hidden_layer_sizes": (256,), "max_iter": 5}
        fits.insert(12, Fit("large", "MNIST-10k, (256,), 5 epochs", "mnist", params))
    return fits


def timed(fit: Fit, library: str, mnist: str | None) -> tuple[float, float]:
    """Return the seconds of a fit or a prediction, and the score on a quarter held out.

    Parameters
    ----------
    fit : Fit
    library : {"mlpeak", "sklearn"}
    mnist : str or None
        The folder of MNIST.
    """
    import warnings

    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split

    warnings.simplefilter("ignore", ConvergenceWarning)
    X, y = _DATA[fit.data](mnist)
    X = X.astype(fit.dtype)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    model = _estimator(library, regression=np.asarray(y).dtype.kind == "f", params=fit.params)
    if fit.what == "search":
        return _timed_search(model, X_train, y_train, X_test, y_test)
    begin = perf_counter()
    model.fit(X_train, y_train)
    seconds = perf_counter() - begin
    if fit.what in ("one row", "all rows"):
        rows = X[:1] if fit.what == "one row" else X
        calls = 2000 if fit.what == "one row" else 20
        model.predict(rows)
        begin = perf_counter()
        for _ in range(calls):
            model.predict(rows)
        seconds = (perf_counter() - begin) / calls
    return seconds, float(model.score(X_test, y_test))


def _estimator(library: str, regression: bool, params: Mapping[str, Any]) -> Any:
    module = import_module("mlpeak.sklearn" if library == "mlpeak" else "sklearn.neural_network")
    cls = module.MLPRegressor if regression else module.MLPClassifier
    return cls(random_state=0, **params)


def _timed_search(model: Any, X: Any, y: Any, X_test: Any, y_test: Any) -> tuple[float, float]:
    """Return the seconds and the score of a search by two workers that have started."""
    from joblib import parallel_config
    from joblib.externals.loky import get_reusable_executor
    from sklearn.model_selection import GridSearchCV

    grid = {
        "hidden_layer_sizes": [(50,), (100,), (50, 50)],
        "alpha": [1e-4, 1e-2],
        "learning_rate_init": [1e-3, 1e-2],
        "batch_size": [100, 200],
    }
    # one thread in each worker
    with parallel_config("loky", inner_max_num_threads=1):
        GridSearchCV(model, {"max_iter": [1, 2]}, cv=5, n_jobs=2).fit(X, y)
        search = GridSearchCV(model, grid, cv=5, n_jobs=2)
        begin = perf_counter()
        search.fit(X, y)
        seconds = perf_counter() - begin
        # a process of a pool ends without telling its own workers
        get_reusable_executor().shutdown(wait=True)
    return seconds, float(search.score(X_test, y_test))


def mnist_files(folder: str) -> tuple[Path, Path]:
    """Return the files of images and labels in a folder of MNIST.

    Raises
    ------
    FileNotFoundError
        If one is not there.
    """
    images = Path(folder) / "t10k-images-idx3-ubyte.gz"
    labels = Path(folder) / "t10k-labels-idx1-ubyte.gz"
    for file in (images, labels):
        if not file.is_file():
            raise FileNotFoundError(f"mnist: is {folder!r}; there is no {file.name} in it")
    return images, labels


def _mnist(folder: str | None) -> tuple[Any, Any]:
    from mlpeak.data.idx import read_idx

    if folder is None:
        raise ValueError("mnist: is not given; expected a folder with the t10k files")
    images, labels = map(read_idx, mnist_files(folder))
    return images.reshape(len(images), -1) / 255.0, labels


def _synthetic(folder: str | None) -> tuple[Any, Any]:
    import numpy as np

    rng = np.random.RandomState(0)
    X = rng.standard_normal((100_000, 50))
    return X, (X[:, :5].sum(axis=1) + rng.standard_normal(100_000) > 0).astype(int)


def _of_sklearn(name: str) -> Callable[[str | None], tuple[Any, Any]]:
    def load(folder: str | None) -> tuple[Any, Any]:
        from sklearn import datasets

        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return X, y

    return load


_DATA = {
    "digits": _of_sklearn("digits"),
    "breast cancer": _of_sklearn("breast_cancer"),
    "diabetes": _of_sklearn("diabetes"),
    "mnist": _mnist,
    "synthetic": _synthetic,
}
