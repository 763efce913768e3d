"""Loss and metrics of a model on data held out, by its compiled forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mlpeak._from_data import from_numpy
from mlpeak._types import Array
from mlpeak.compiler.bound import Bound
from mlpeak.compiler.checks import check_integers, named
from mlpeak.compiler.data import Data, data_of
from mlpeak.compiler.interrupts import Interrupts
from mlpeak.compiler.metrics import METRICS, metrics_of
from mlpeak.compiler.run import CompiledRun
from mlpeak.grad_mode import no_grad
from mlpeak.nn.module import Module

if TYPE_CHECKING:
    from mlpeak.compiler.step import CompiledStep

__all__ = ["Evaluation", "evaluation_mode", "evaluation_of"]

#: Samples of one forward pass: enough to fill the threads, few enough for the caches.
_BATCH = 1024


@contextmanager
def evaluation_mode(*roots: Any) -> Iterator[None]:
    """Set all modules to evaluation mode, and those that were in training mode back afterwards."""
    training = [
        module
        for root in roots
        if isinstance(root, Module)
        for module in root.modules()
        if module.training
    ]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


class Evaluation:
    """What `fit` measures after each epoch.

    Parameters
    ----------
    step : CompiledStep
    data : Data
        Held out.
    metrics : str or sequence
        As `fit` takes them.
    bound : Bound
        The training program, which knows what the integers among the targets mean.
    scale : float
        Of bytes.
    """

    def __init__(
        self, step: CompiledStep, data: Data, metrics: Any, bound: Bound, scale: float
    ) -> None:
        self._step, self._data, self._scale = step, data, scale
        self._run = CompiledRun(step.model)
        self.metrics = metrics_of(metrics, step.loss)
        count = len(data.inputs)
        expected = bound.expected[: count + len(data.targets)]
        given = named("validation_data[0]", data.inputs) + named("validation_data[1]", data.targets)
        for (name, array), wanted in zip(given, expected, strict=True):
            if list(array.shape[1:]) != wanted["shape"]:
                raise ValueError(
                    f"fit: {name} has shape {array.shape}; expected "
                    f"{('samples', *wanted['shape'])}, as the training data has".replace("'", "")
                )
            if wanted["integer"] and array.dtype.kind == "f":
                raise TypeError(f"fit: {name} has dtype {array.dtype}; expected integers")
        check_integers("fit", expected, given)
        self._targets = [
            np.array(array, np.int64 if wanted["integer"] else bound.dtype)
            for array, wanted in zip(data.targets, expected[count:], strict=True)
        ]
        self._weight: Array | None = None
        self._further: dict[str, Any] = {}
        if data.weight:
            self._weight = data.weight[0]
            if len(data.weight) > 1:
                raise ValueError(
                    f"fit: validation_data[2] is {len(data.weight)} arrays; expected one"
                )
            if self._weight.ndim != 1:
                raise ValueError(
                    f"fit: validation_data[2] has shape {self._weight.shape}; expected (samples,)"
                )
            self._further["sample_weight"] = from_numpy(np.array(self._weight, bound.dtype))
        self._try()

    def _try(self) -> None:
        """Raise for what would fail after the first epoch.

        The model runs on two samples, the loss on all targets, with those two outputs in turns.
        """
        inputs = tuple(array[:2] for array in self._data.inputs)
        with evaluation_mode(self._step.model, self._step.loss), no_grad():
            output = self._run.predict(inputs, scale=self._scale)
            parts = output if isinstance(output, tuple) else (output,)
            samples = len(self._data.inputs[0])
            turns = tuple(np.resize(part, (samples, *part.shape[1:])) for part in parts)
            self._loss(turns if isinstance(output, tuple) else turns[0])
        target = self._target(2)
        for name, metric in self.metrics.items():
            if name not in METRICS:
                continue
            if isinstance(output, tuple) or isinstance(target, tuple):
                raise ValueError(
                    f"fit: metrics holds {name!r}, but there are several outputs or targets; "
                    "expected a function of (output, target), tuples of arrays"
                )
            metric(output, target, None)

    def _target(self, samples: int | None = None) -> Any:
        """Return the targets as metrics take them: of all samples or of the first ones."""
        targets = tuple(target[:samples] for target in self._targets)
        return targets[0] if len(targets) == 1 else targets

    def _loss(self, output: Any) -> float:
        """Return the loss of the model's output for all samples."""
        parts = output if isinstance(output, tuple) else (output,)
        tensors = tuple(map(from_numpy, parts))
        given: Any = tensors if isinstance(output, tuple) else tensors[0]
        targets = map(from_numpy, self._targets)
        return float(self._step.loss(given, *targets, **self._further))

    def __call__(self, interrupts: Interrupts) -> tuple[float, dict[str, float]]:
        """Return the loss and the metrics; the model's mode is as before afterwards."""
        step, data = self._step, self._data
        with evaluation_mode(step.model, step.loss), no_grad():
            with interrupts.allowed():
                output = self._run.predict(data.inputs, batch_size=_BATCH, scale=self._scale)
            loss = self._loss(output)
        target = self._target()
        found = {
            name: metric(output, target, self._weight) for name, metric in self.metrics.items()
        }
        return loss, found


def evaluation_of(
    step: CompiledStep,
    validation_data: Any,
    metrics: str | Sequence[Any],
    scale: float | None,
    bound: Bound,
) -> Evaluation | None:
    """Return what to measure after each epoch, or None without validation data.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as `fit` describes it.
    """
    if validation_data is None:
        if metrics:
            raise ValueError("fit: metrics are given without validation_data; expected both")
        return None
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise TypeError(
            "fit: validation_data is no tuple of two or three; expected (X, y) or "
            "(X, y, sample_weight)"
        )
    x, y, *weight = validation_data
    names = ("validation_data[0]", "validation_data[1]", "validation_data[2]")
    data = data_of(names, x, y, weight[0] if weight else None, scale)
    return Evaluation(step, data, metrics, bound, 1.0 if scale is None else scale)
