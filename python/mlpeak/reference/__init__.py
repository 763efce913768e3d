"""The kernels in plain NumPy: the oracle of the tests, and the backend ``MLPEAK_BACKEND=numpy``.

Each function is the formula, to be checked by eye. Sums accumulate in float64 and the result is
rounded once to the input's dtype.
"""

from mlpeak.reference import (
    activations,
    elementary,
    embedding,
    linear,
    losses,
    norms,
    optimizers,
    random,
    reductions,
)
from mlpeak.reference.activations import *
from mlpeak.reference.elementary import *
from mlpeak.reference.embedding import *
from mlpeak.reference.linear import *
from mlpeak.reference.losses import *
from mlpeak.reference.norms import *
from mlpeak.reference.optimizers import *
from mlpeak.reference.random import *
from mlpeak.reference.reductions import *

__all__ = [
    *activations.__all__,
    *elementary.__all__,
    *embedding.__all__,
    *linear.__all__,
    *losses.__all__,
    *norms.__all__,
    *optimizers.__all__,
    *random.__all__,
    *reductions.__all__,
]
