"""`mlpeak.data` under the name that torch gives it."""

from mlpeak.data import *
from mlpeak.data import __all__ as __all__
