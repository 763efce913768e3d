"""From a module and a loss to a flat list of kernel calls: the front half of `mlpeak.compile`.

`capture` runs the model on sample data and writes down what it does (`traced`, `record`), compares
two such runs of different batch sizes (`merge`), and returns a `Graph` (`graph`).
"""

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
    "capture_forward",
    "capture_training",
]
