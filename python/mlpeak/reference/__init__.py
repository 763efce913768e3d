"""The kernels in plain NumPy: the oracle of the tests, and the backend ``MLPEAK_BACKEND=numpy``.

Each function is the formula, to be checked by eye. Sums accumulate in float64 and the result is
rounded once to the input's dtype.
"""

from mlpeak.reference.activations import *
from mlpeak.reference.activations import __all__ as _activations
from mlpeak.reference.class_losses import *
from mlpeak.reference.class_losses import __all__ as _class_losses
from mlpeak.reference.elementary import *
from mlpeak.reference.elementary import __all__ as _elementary
from mlpeak.reference.embedding import *
from mlpeak.reference.embedding import __all__ as _embedding
from mlpeak.reference.linear import *
from mlpeak.reference.linear import __all__ as _linear
from mlpeak.reference.losses import *
from mlpeak.reference.losses import __all__ as _losses
from mlpeak.reference.norms import *
from mlpeak.reference.norms import __all__ as _norms
from mlpeak.reference.optimizers import *
from mlpeak.reference.optimizers import __all__ as _optimizers
from mlpeak.reference.random import *
from mlpeak.reference.random import __all__ as _random
from mlpeak.reference.reductions import *
from mlpeak.reference.reductions import __all__ as _reductions

__all__ = [
    *_activations,
    *_class_losses,
    *_elementary,
    *_embedding,
    *_linear,
    *_losses,
    *_norms,
    *_optimizers,
    *_random,
    *_reductions,
]
