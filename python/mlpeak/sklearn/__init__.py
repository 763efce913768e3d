"""scikit-learn's multi-layer perceptrons: the same models, several times faster.

`MLPClassifier` and `MLPRegressor` take the place of those of `sklearn.neural_network`; `patch`
makes unchanged code use them.

base.py says how a fit runs, with stochastic.py and lbfgs.py for the solvers; classifier.py and
regressor.py what each adds; network.py holds parameters, objectives.py the losses, optimizers.py
the solvers' state. compiled.py computes an epoch as one native program, engine.py what that cannot.
"""

from mlpeak._extras import missing_extra

try:
    import scipy  # noqa: F401
    import sklearn  # noqa: F401
except ImportError as error:
    raise missing_extra("scikit-learn", "sklearn", "mlpeak.sklearn") from error

from mlpeak.sklearn.classifier import MLPClassifier
from mlpeak.sklearn.conversion import from_sklearn, to_sklearn
from mlpeak.sklearn.patching import patch, unpatch
from mlpeak.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "from_sklearn", "patch", "to_sklearn", "unpatch"]
