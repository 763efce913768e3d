"""From a module, a loss and an optimizer to one native program: `mlpeak.compile`.

`capture` runs the model on sample data and writes down what it does (`traced`, `record`), compares
two such runs of different batch sizes (`merge`), and returns a `Graph` (`graph`).
"""

from mlpeak.compiler.api import compile
from mlpeak.compiler.capture import capture_forward, capture_training
from mlpeak.compiler.errors import CompileError
from mlpeak.compiler.graph import BatchScalar, Call, Graph, RandomStep, Spec, Value

__all__ = [
    "BatchScalar",
    "Call",
    "CompileError",
    "Graph",
    "RandomStep",
    "Spec",
    "Value",
    "compile",
    "capture_forward",
    "capture_training",
]
