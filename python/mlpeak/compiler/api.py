"""`compile`: the one door to compiled training and inference; `load_step` opens it again."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, overload

import numpy as np

from mlpeak.compiler.bound import model_dtype
from mlpeak.compiler.checkpoint import PathLike, options_in, restore
from mlpeak.compiler.run import CompiledRun
from mlpeak.compiler.step import CompiledStep
from mlpeak.nn.module import Module
from mlpeak.optim.optimizer import Optimizer

__all__ = ["compile", "load_step"]

_PRECISIONS = ("fp32", "bf16")


@overload
def compile(model: Module, *, precision: str = "fp32") -> CompiledRun: ...
@overload
def compile(
    model: Module,
    loss: Callable[..., Any],
    optimizer: Optimizer,
    *,
    precision: str = "fp32",
    clip_norm: float | None = None,
    accumulate: int = 1,
    ema: float | None = None,
) -> CompiledStep: ...
def compile(
    model: Module,
    loss: Callable[..., Any] | None = None,
    optimizer: Optimizer | None = None,
    *,
    precision: str = "fp32",
    clip_norm: float | None = None,
    accumulate: int = 1,
    ema: float | None = None,
) -> CompiledStep | CompiledRun:
    """Turn a model, its loss and its optimizer into one native program, or a model alone.

    The first call runs the model and the loss on symbolic data and compiles what they do; any
    module whose forward is made of supported operations compiles. In "fp32", results have the bits
    of the eager step ``loss.backward(); optimizer.step()``; in either precision they are the same
    on every instruction set and any number of threads.

    Parameters
    ----------
    model : nn.Module
    loss : nn.Module or callable, optional
        Takes the model's output, then the targets; returns one number. Left out together with
        `optimizer` for a forward pass.
    optimizer : optim.Optimizer, optional
        SGD, Adam, AdamW, RMSprop or Adagrad over the model's parameters.
    precision : {"fp32", "bf16"}
        "bf16" rounds what enters the products of linear layers to bfloat16 (8 bits of precision)
        and sums in float32; parameters, states and all else stay float32. A processor with
        AVX512-BF16 multiplies so twice as fast; others get the same bits, more slowly. Only for
        float32 models. A float64 model computes in float64 under "fp32".
    clip_norm : float, optional
        Before each update, scale all gradients by one factor so that their joint norm is at most
        this, as `nn.utils.clip_grad_norm_` does.
    accumulate : int
        Update once in so many steps, by the mean of their gradients.
    ema : float, optional
        Keep a moving average of the parameters, ``average += (parameter - average) (1 - ema)``
        after each update, from which ``step.ema_state_dict()`` is made.

    Returns
    -------
    CompiledStep or CompiledRun
        ``step(x, y)`` trains one step and returns the loss; ``step.fit(X, y, ...)`` trains whole
        epochs; ``run(x)`` is the model's output.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the optimizer has no parameter of the model or the
        loss.
    CompileError
        At the first call, if the model, the loss or the optimizer cannot be compiled.

    Examples
    --------
    >>> import mlpeak, numpy as np
    >>> from mlpeak import nn, optim
    >>> model = nn.Linear(2, 1)
    >>> step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    >>> x = np.ones((4, 2), np.float32)
    >>> losses = [step(x, np.ones((4, 1), np.float32)) for _ in range(10)]
    >>> losses[-1] < losses[0]
    True
    """
    if not isinstance(model, Module):
        raise TypeError(f"compile: model is {type(model).__name__}; expected an nn.Module")
    if precision not in _PRECISIONS:
        legal = ", ".join(map(repr, _PRECISIONS))
        raise ValueError(f"compile: precision is {precision!r}; expected one of {legal}")
    if precision == "bf16" and model_dtype(model) != np.float32:
        raise ValueError("compile: precision is 'bf16'; expected 'fp32' for a float64 model")
    if loss is None and optimizer is None:
        return CompiledRun(model, precision)
    if loss is None or optimizer is None:
        missing = "loss" if loss is None else "optimizer"
        raise TypeError(f"compile: {missing} is missing; expected both a loss and an optimizer")
    if not callable(loss):
        raise TypeError(f"compile: loss is {type(loss).__name__}; expected a function of tensors")
    if clip_norm is not None and not 0 < float(clip_norm) < math.inf:
        raise ValueError(f"compile: clip_norm is {clip_norm}; expected a positive number or None")
    if operator.index(accumulate) < 1:
        raise ValueError(f"compile: accumulate is {accumulate}; expected an integer of at least 1")
    if ema is not None and not 0 <= float(ema) < 1:
        raise ValueError(f"compile: ema is {ema}; expected a number in [0, 1) or None")
    return CompiledStep(
        model,
        loss,
        optimizer,
        clip_norm=clip_norm,
        accumulate=operator.index(accumulate),
        ema=ema,
        precision=precision,
    )


def load_step(
    path: PathLike, model: Module, loss: Callable[..., Any], optimizer: Optimizer, **options: Any
) -> CompiledStep:
    """Return a compiled step that goes on with the bits of the one that was saved.

    Parameters
    ----------
    path : path
        A file that ``step.save`` or ``step.fit(checkpoint=...)`` wrote.
    model, loss, optimizer
        Made as those of the saved step were; they take over the parameters, buffers and state, and
        the default generator takes over the random state. Schedules over the optimizer are made
        before: some, as `LambdaLR`, set its learning rate to their first one when they are made.
    **options
        Of `compile`, where they differ from those of the saved step.

    Returns
    -------
    CompiledStep
        ``step.fit(..., resume=True)`` goes on with the training the file was written in.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no checkpoint, is damaged, or is of another model or optimizer. Nothing is changed
        then.

    Examples
    --------
    >>> import mlpeak, numpy as np, pathlib, tempfile
    >>> from mlpeak import nn, optim
    >>> def parts():
    ...     model = nn.Linear(2, 1)
    ...     return model, nn.MSELoss(), optim.Adam(model.parameters())
    >>> step = mlpeak.compile(*parts())
    >>> x, y = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    >>> _ = step(x, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "step.safetensors"
    ...     step.save(path)
    ...     again = mlpeak.load_step(path, *parts())
    >>> again(x, y) == step(x, y)
    True
    """
    step: CompiledStep = compile(model, loss, optimizer, **{**options_in(path), **options})
    restore(step, path)
    return step
