"""From a module, a loss and an optimizer to one native program: `mlpeak.compile`.

`capture` runs the model on sample data and writes down what it does (`traced`, `record`), compares
two such runs of different batch sizes (`merge`), and returns a `Graph` (`graph`). `lower` makes a
program of it, `bound` ties that to the tensors, `step` and `run` call it, `fit` trains for epochs.
"""

from mlpeak.compiler.api import compile, load_step
from mlpeak.compiler.callbacks import Callback, EverySteps, Progress, Schedule
from mlpeak.compiler.capture import capture_forward, capture_training
from mlpeak.compiler.errors import CompileError, NonFiniteLossError
from mlpeak.compiler.graph import BatchScalar, Call, Graph, RandomStep, Spec, Value
from mlpeak.compiler.history import History

__all__ = [
    "BatchScalar",
    "Call",
    "Callback",
    "CompileError",
    "EverySteps",
    "Graph",
    "History",
    "NonFiniteLossError",
    "Progress",
    "RandomStep",
    "Schedule",
    "Spec",
    "Value",
    "capture_forward",
    "capture_training",
    "compile",
    "load_step",
]
