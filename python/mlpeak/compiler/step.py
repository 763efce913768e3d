"""`CompiledStep`: a whole training step as one native call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlpeak._types import Array
from mlpeak.compiler.arguments import arrays_of, check_batch, interpretations, kind_of
from mlpeak.compiler.bound import Bound, Options, bind_training, model_dtype
from mlpeak.compiler.checks import check_integers, named
from mlpeak.compiler.errors import CompileError
from mlpeak.compiler.explain import explain
from mlpeak.compiler.updates import check_optimizer
from mlpeak.nn.module import Module
from mlpeak.optim.optimizer import Optimizer

__all__ = ["CompiledStep"]

#: Programs that are kept: for training and evaluation mode, with and without weights.
_KEPT = 8


class CompiledStep:
    """A training step in one native call; made by `mlpeak.compile`.

    The model's parameters and the optimizer's state are the step's own: what one changes, the other
    sees. Changes made through tensors, modules and optimizers are noticed by the next step; one
    made to a NumPy view of a parameter is not, unless ``tensor.bump_version()`` tells of it.

    Parameters
    ----------
    model, loss, optimizer, clip_norm, accumulate, ema
        As in `mlpeak.compile`.
    """

    def __init__(
        self,
        model: Module,
        loss: Any,
        optimizer: Optimizer,
        *,
        clip_norm: float | None = None,
        accumulate: int = 1,
        ema: float | None = None,
    ) -> None:
        check_optimizer(optimizer)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.options = Options(clip_norm, accumulate, ema)
        self._kept: list[tuple[Any, Bound]] = []
        self._call: Any = None
        self._batch = 0
        self._current: Bound | None = None
        optimizer.follow(self)

    def __call__(self, x: Any, y: Any = (), sample_weight: Any = None) -> float:
        """Run one step: forward, loss, backward and update.

        Parameters
        ----------
        x : array_like or tuple of array_like
            The model's inputs, (batch, ...). Floating arrays and bytes are numbers, converted to
            the model's dtype; int32 and int64 are indices where the model takes them.
        y : array_like or tuple of array_like
            The targets, in the form the loss takes; () for none.
        sample_weight : array_like, optional
            The weight of each sample, (batch,), for a loss that takes ``sample_weight``.

        Returns
        -------
        float
            The loss before the update.

        Raises
        ------
        TypeError, ValueError
            If an array's dtype, shape or a class is not what the model and the loss take. Nothing
            has been written then.
        CompileError
            If the step cannot be compiled.
        """
        if self._call is not None:
            loss = self._call(x, y, sample_weight)
            if loss is not None:
                return loss  # type: ignore[no-any-return]
        inputs, targets = arrays_of("x", x), arrays_of("y", y)
        weight = () if sample_weight is None else arrays_of("sample_weight", sample_weight)
        bound = self.prepare(inputs, targets, weight)
        loss = bound.step.call(inputs, targets, weight[0] if weight else None)
        if loss is None:
            raise RuntimeError("step: the model was changed by another thread meanwhile")
        return loss  # type: ignore[no-any-return]

    def prepare(
        self, inputs: tuple[Array, ...], targets: tuple[Array, ...], weight: tuple[Array, ...] = ()
    ) -> Bound:
        """Return the program for arrays of this kind, checked, ready to run.

        Parameters
        ----------
        inputs, targets, weight : tuple of ndarray
            As `mlpeak.compiler.arguments.arrays_of` returns them; `weight` has one or none.
        """
        given = named("x", inputs) + named("y", targets) + named("sample_weight", weight)
        check_batch(given)
        if weight and weight[0].ndim != 1:
            raise ValueError(f"step: sample_weight has shape {weight[0].shape}; expected (batch,)")
        kinds = tuple(kind_of(array) for _, array in given), len(inputs), bool(weight)
        bound = self._bound(kinds, inputs, targets, bool(weight), ignored=False)
        if check_integers(bound.expected, given):
            bound = self._bound(kinds, inputs, targets, bool(weight), ignored=True)
        bound.refresh()
        if self._current is not None:
            bound.step.phase = self._current.step.phase
        self._current, self._call = bound, bound.step.call
        self._batch = given[0][1].shape[0]
        return bound

    def _bound(
        self,
        kinds: Any,
        inputs: Sequence[Array],
        targets: Sequence[Array],
        weighted: bool,
        ignored: bool,
    ) -> Bound:
        """Return a program that fits, an old one or a new one."""
        self.flush()
        key = kinds, ignored
        for position, (other, bound) in enumerate(self._kept):
            if other == key and bound.is_current():
                self._kept.append(self._kept.pop(position))
                return bound
        error: Exception | None = None
        for specs in interpretations(inputs, targets, model_dtype(self.model)):
            try:
                bound = bind_training(
                    self.model, self.loss, self.optimizer, *specs, weighted, ignored, self.options
                )
            except (CompileError, TypeError) as found:
                error = error or found
                continue
            self._kept = [*self._kept[1 - _KEPT :], (key, bound)]
            return bound
        assert error is not None
        raise error

    def flush(self) -> None:
        """Enter the updates made into the optimizer's state; the optimizer asks for it."""
        for _, bound in self._kept:
            if bound.updates is not None:
                bound.updates.commit(bound.step.updates)

    @contextmanager
    def profile(self) -> Iterator[None]:
        """Measure the time in each instruction of the steps in a ``with`` block, for `explain`.

        Raises
        ------
        RuntimeError
            If no step was made yet.
        """
        program = self._program()
        program.set_profiling(True)
        try:
            yield
        finally:
            program.set_profiling(False)

    def _program(self) -> Any:
        if self._current is None:
            raise RuntimeError("explain: no step was made; call step(x, y) first")
        return self._current.program

    def explain(self) -> str:
        """Return the program of the last step as a table: what runs, its work, the time it took.

        Raises
        ------
        RuntimeError
            If no step was made yet: its arrays decide what the program is.
        """
        self._program()
        assert self._current is not None
        return explain(self._current, self._batch)
