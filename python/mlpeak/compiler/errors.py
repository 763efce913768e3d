"""The errors of what cannot be compiled, and of a training that cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlpeak.compiler.history import History

__all__ = ["EAGER", "INSTEAD", "CompileError", "NonFiniteLossError"]

#: What every message ends with: the way that always works.
EAGER = "Or run it eagerly: loss.backward(); optimizer.step()."

_ROWS = "Take rows of a table with nn.Embedding, and use where() or masked_fill() for a mask. "

#: What can be compiled in the place of an operation that cannot.
INSTEAD = {
    "index": _ROWS,
    "getitem": _ROWS,
    "gather": (
        "Take the class of each row with functional.nll_loss(..., reduction='none'), and the "
        "largest of each row with amax(). "
    ),
    "one_hot": "Give cross_entropy the classes, or the step a target of probabilities. ",
}


class CompileError(RuntimeError):
    """A model or a loss cannot become a compiled program.

    The message names the module and the operation, and says what to do instead.
    """


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the network holds its last good parameters.

    Attributes
    ----------
    loss : float
    epoch, step : int
        Where it happened: the epoch, and the step in it, both counted from 1.
    history : History or None
        Of a compiled training, up to there.
    """

    def __init__(self, loss: float, epoch: int, step: int, history: History | None = None) -> None:
        super().__init__(f"the loss became {loss} in epoch {epoch}, step {step}")
        self.loss = loss
        self.epoch = epoch
        self.step = step
        self.history = history
