"""`CompiledStep`: a whole training step as one native call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlpeak._from_data import from_numpy
from mlpeak._types import Array
from mlpeak.compiler.arguments import arrays_of, check_batch, interpretations, kind_of
from mlpeak.compiler.bound import Bound, Options, bind_training, model_dtype
from mlpeak.compiler.callbacks import callbacks_of
from mlpeak.compiler.checkpoint import PathLike, save
from mlpeak.compiler.checks import check_integers, named
from mlpeak.compiler.data import data_of
from mlpeak.compiler.explain import explain
from mlpeak.compiler.fit import Fit, Settings
from mlpeak.compiler.history import History
from mlpeak.compiler.kept import Kept
from mlpeak.compiler.position import Position
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
    model, loss, optimizer, clip_norm, accumulate, ema, precision
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
        precision: str = "fp32",
    ) -> None:
        check_optimizer(optimizer, model, loss)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.options = Options(clip_norm, accumulate, ema, precision)
        self._kept = Kept(_KEPT)
        self._call: Any = None
        self._current: Bound | None = None
        self._phase = 0
        #: Updates that the present program had made when it was taken.
        self._made = 0
        #: Where the last `fit` stands, for ``resume=True`` and `save`.
        self.position: Position | None = None
        optimizer.follow(self)

    def __getstate__(self) -> dict[str, Any]:
        self.flush()
        own = {"_kept": Kept(_KEPT), "_call": None, "_current": None, "_made": 0}
        return self.__dict__ | own | {"_phase": self.phase}  # a copy makes its programs

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.optimizer.follow(self)

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
        inputs, targets = arrays_of("step", "x", x), arrays_of("step", "y", y)
        weight = () if sample_weight is None else arrays_of("step", "sample_weight", sample_weight)
        bound = self.prepare(inputs, targets, weight)
        loss = bound.step.call(inputs, targets, weight[0] if weight else None)
        if loss is None:
            raise RuntimeError("step: the model was changed by another thread meanwhile")
        return loss  # type: ignore[no-any-return]

    def prepare(
        self,
        inputs: tuple[Array, ...],
        targets: tuple[Array, ...],
        weight: tuple[Array, ...] = (),
        ignored: bool | None = None,
        *,
        function: str = "step",
        names: tuple[str, str, str] = ("x", "y", "sample_weight"),
    ) -> Bound:
        """Return the program for arrays of this kind, checked, ready to run.

        Parameters
        ----------
        inputs, targets, weight : tuple of ndarray
            As `mlpeak.compiler.arguments.arrays_of` returns them; `weight` has one or none.
        ignored : bool, optional
            Whether targets are the loss's ``ignore_index``, if the integers were checked before.
        function, names : str, tuple of str
            What was called, and its arguments, for errors.
        """
        given = named(names[0], inputs) + named(names[1], targets) + named(names[2], weight)
        check_batch(function, given)
        if len(weight) > 1:
            raise ValueError(f"{function}: {names[2]} is {len(weight)} arrays; expected one")
        if weight and weight[0].ndim != 1:
            raise ValueError(
                f"{function}: {names[2]} has shape {weight[0].shape}; expected (batch,)"
            )
        kinds = tuple(kind_of(array) for _, array in given), len(inputs), bool(weight)
        bound = self._bound(kinds, inputs, targets, bool(weight), ignored=bool(ignored))
        if ignored is None and check_integers(function, bound.expected, given):
            bound = self._bound(kinds, inputs, targets, bool(weight), ignored=True)
        bound.refresh()
        if bound is not self._current:
            self._forget_sums(bound)
            self._made = bound.step.updates
        bound.step.phase = self.phase
        self._current, self._call = bound, bound.step.call
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
        return self._kept.find(
            (kinds, ignored),
            interpretations(inputs, targets, model_dtype(self.model)),
            lambda specs: bind_training(
                self.model, self.loss, self.optimizer, specs, weighted, ignored, self.options
            ),
        )

    def _forget_sums(self, following: Bound) -> None:
        """Drop the sums of gradients that are from before the last update.

        After an update a program starts the sums of its own parameters anew, but not those of
        others, as of a layer that is frozen meanwhile, to which a later program may add.
        """
        current = self._current
        if current is None or current.updates is None or following.updates is None:
            return
        begun = self.phase > 0
        if begun and current.step.updates == self._made:
            return
        started = current.updates if begun else following.updates
        own = {id(param) for param, _, _ in started.members}
        for param, total in self.options.sums.items():
            if id(param) not in own:
                total[...] = 0

    @property
    def phase(self) -> int:
        """Steps made since the last update, with ``accumulate``."""
        return self._phase if self._current is None else int(self._current.step.phase)

    @phase.setter
    def phase(self, value: int) -> None:
        self._phase = value
        if self._current is not None:
            self._current.step.phase = value

    def fit(
        self,
        X: Any,
        y: Any = (),
        *,
        epochs: int,
        batch_size: int,
        shuffle: bool = True,
        sample_weight: Any = None,
        validation_data: Any = None,
        metrics: str | Sequence[Any] = (),
        patience: int | None = None,
        restore_best: bool = True,
        max_seconds: float | None = None,
        callbacks: Any = (),
        progress: bool = True,
        scale: float | None = None,
        resume: bool = False,
        checkpoint: PathLike | None = None,
        every: int | None = None,
    ) -> History:
        """Train for whole epochs, each a native call.

        Parameters
        ----------
        X : array_like or tuple of array_like
            The model's inputs, (samples, ...): float32, float64, integers, bytes. A C-contiguous
            array is used where it is, so it may be a ``np.memmap`` larger than memory; others are
            copied once, maps refused. It must not change meanwhile.
        y : array_like or tuple of array_like
            The targets, (samples, ...), in the form the loss takes; () for none.
        epochs : int
            Passes over the samples, those of a training that is resumed included.
        batch_size : int
            Samples of a step; an epoch's last step has what is left.
        shuffle : bool
            Draw a new order each epoch, the one that `data.DataLoader` draws.
        sample_weight : array_like, optional
            (samples,), for a loss that takes it.
        validation_data : tuple, optional
            ``(X, y)`` or ``(X, y, sample_weight)``, evaluated after each epoch in evaluation mode.
        metrics : str or sequence of str or callable
            Measured on `validation_data`: "accuracy", "mae", "mse", "r2", "rmse", or functions
            ``(output, target) -> float`` of arrays.
        patience : int, optional
            Stop after so many epochs without a lower validation loss, or without validation data a
            lower training loss.
        restore_best : bool
            At the end, take back parameters and buffers of the epoch with the lowest validation
            loss; without validation data only if `patience` is given, by the training loss.
        max_seconds : float, optional
            Stop after the step at which so much time has gone by.
        callbacks : sequence of Callback or callable
            Functions are called after each epoch with a `Progress`.
        progress : bool
            Show a bar if standard error is a terminal.
        scale : float, optional
            What bytes in `X` are multiplied by, as 1 / 255.
        resume : bool
            Go on where `checkpoint` was written if there is such a file, else where the last `fit`
            of this step was cut short, if it was; else start.
        checkpoint : path, optional
            Where to `save` while training.
        every : int, optional
            Steps between two checkpoints; by default one an epoch.

        Returns
        -------
        History

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described. Nothing has been written then.
        NonFiniteLossError
            If a loss is NaN or infinite. Parameters, buffers and optimizer state are then those of
            the start of the last good epoch (or an earlier one, at most 64 steps before).
        KeyboardInterrupt
            At Ctrl-C, between two steps; the model is as the last step left it.

        Examples
        --------
        >>> import mlpeak, numpy as np
        >>> from mlpeak import nn, optim
        >>> _ = mlpeak.manual_seed(0)
        >>> x = np.random.default_rng(0).random((100, 3), np.float32)
        >>> model = nn.Linear(3, 1)
        >>> step = mlpeak.compile(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.1))
        >>> history = step.fit(x, x.sum(axis=1, keepdims=True), epochs=50, batch_size=20)
        >>> len(history.loss), history.steps, history.loss[-1] < 0.01
        (50, 250, True)
        """
        settings = Settings(
            epochs, batch_size, shuffle, patience, restore_best, max_seconds, resume, checkpoint,
            every,
        )  # fmt: skip
        data = data_of(("X", "y", "sample_weight"), X, y, sample_weight, scale)
        validation = validation_data, metrics, scale
        return Fit(self, data, settings, validation, callbacks_of(callbacks), progress).run()

    def save(self, path: PathLike) -> None:
        """Write a checkpoint: all that `load_step` needs to go on with the same bits.

        It holds parameters, buffers, optimizer state, moving averages, gradients accumulated, the
        random state, and where the last `fit` stands. The file is a safetensors file; a crash
        leaves the one that was there or the new one, never a part.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        save(self, path)

    def ema_state_dict(self) -> dict[str, Any]:
        """Return the model's `state_dict` with the moving averages in place of the parameters.

        Raises
        ------
        RuntimeError
            If `mlpeak.compile` was not told to keep averages (``ema``).
        """
        if self.options.ema is None:
            raise RuntimeError("ema_state_dict: no averages are kept; compile(..., ema=0.999) does")
        averages = self.options.averages
        state: dict[str, Any] = self.model.state_dict(keep_vars=True)
        for name, tensor in state.items():
            state[name] = from_numpy(averages.get(tensor, tensor._array).copy())
        return state

    def flush(self) -> None:
        """Enter the updates made into the optimizer's state; the optimizer asks for it."""
        for bound in self._kept:
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
        if self._current is None or not self._current.step.batch:
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
        return explain(self._current, self._current.step.batch)
