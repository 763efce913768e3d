"""`CompiledRun`: a model's forward pass as one native call."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from mlpeak._types import Array
from mlpeak.compiler.arguments import arrays_of, check_batch, interpretations, kind_of
from mlpeak.compiler.bound import Bound, bind_forward, model_dtype
from mlpeak.compiler.checks import check_integers, named
from mlpeak.compiler.data import whole_arrays
from mlpeak.compiler.errors import CompileError
from mlpeak.compiler.kept import Kept
from mlpeak.nn.module import Module

__all__ = ["CompiledRun"]

#: Programs that are kept.
_KEPT = 4


class CompiledRun:
    """A model's forward pass in one native call; made by ``mlpeak.compile(model)``.

    It computes what the model would in its present mode: call ``model.eval()`` for inference.
    Changes of the model are noticed as by `CompiledStep`.

    Parameters
    ----------
    model : nn.Module
    precision : str
        As in `mlpeak.compile`.
    """

    def __init__(self, model: Module, precision: str = "fp32") -> None:
        self.model, self.precision = model, precision
        self._kept = Kept(_KEPT)
        self._call: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": Kept(_KEPT), "_call": None}  # a copy makes its programs

    def __call__(self, x: Any, out: Array | None = None) -> Any:
        """Return the model's output.

        Parameters
        ----------
        x : array_like or tuple of array_like
            The model's inputs, (batch, ...).
        out : ndarray, optional
            Written and returned instead of a new array, for a model with one output. It may be
            `x` itself, but not share a part of its memory.

        Returns
        -------
        ndarray or tuple of ndarray
            Of the model's dtype.

        Raises
        ------
        TypeError, ValueError
            If an array is not as the model takes it. Nothing has been written then.
        CompileError
            If the model cannot be compiled.
        """
        if self._call is not None:
            result = self._call(x, out)
            if result is not None:
                return result
        inputs = arrays_of("run", "x", x)
        return self._run("run", "x", inputs, check_batch("run", named("x", inputs)), out)

    def predict(self, X: Any, *, batch_size: int = 1024, scale: float = 1.0) -> Any:
        """Return the model's output for many samples, in batches.

        Parameters
        ----------
        X : array_like or tuple of array_like
            The inputs, (samples, ...); may be a ``np.memmap`` larger than memory, C-contiguous.
        batch_size : int
            Samples at a time.
        scale : float
            By which the elements of byte arrays are multiplied.

        Returns
        -------
        ndarray or tuple of ndarray
        """
        try:
            batch_size = operator.index(batch_size)
        except TypeError:
            raise TypeError(
                f"predict: batch_size is {type(batch_size).__name__}; expected an integer"
            ) from None
        if batch_size < 1:
            raise ValueError(f"predict: batch_size is {batch_size}; expected at least 1")
        inputs = whole_arrays("predict", "X", X)
        check_batch("predict", named("X", inputs))
        return self._run("predict", "X", inputs, batch_size, None, scale)

    def _run(
        self,
        function: str,
        name: str,
        inputs: tuple[Array, ...],
        batch_size: int,
        out: Array | None,
        scale: float = 1.0,
    ) -> Any:
        bound = self._bound(inputs)
        check_integers(function, bound.expected, named(name, inputs))
        samples = inputs[0].shape[0]
        outputs = bound.graph.outputs
        results: list[Array] = []
        for value in outputs:
            assert value is not None
            rows = bool(value.shape) and value.shape[0] < 0
            if rows and value.shape[0] != -1:
                raise CompileError(
                    f"compile: an output has {-value.shape[0]} rows for each sample; expected one"
                )
            shape = (samples, *value.shape[1:]) if rows else value.shape
            results.append(np.empty(shape, bound.dtype))
        if out is not None:
            _check_out(out, results, inputs)
            results = [out]
        scales = [scale if a.dtype.kind != "f" and a.itemsize < 4 else 1.0 for a in inputs]
        if samples > batch_size and bound.totals():
            raise ValueError(
                f"{function}: output {bound.totals()[0]} is made from all samples of a batch "
                f"together; expected a batch_size of at least {samples}, one batch"
            )
        bound.refresh()
        bound.step.predict(inputs, scales, samples, batch_size, results, True)
        self._call = bound.step.forward
        return results[0] if bound.graph.single_output else tuple(results)

    def _bound(self, inputs: tuple[Array, ...]) -> Bound:
        return self._kept.find(
            tuple(kind_of(a) for a in inputs),
            interpretations(inputs, (), model_dtype(self.model)),
            lambda specs: bind_forward(self.model, specs[0], self.precision),
        )


def _check_out(out: Array, results: list[Array], inputs: tuple[Array, ...]) -> None:
    if len(results) != 1:
        raise ValueError("run: out is given; expected None, for the model has several outputs")
    (like,) = results
    if not isinstance(out, np.ndarray) or out.dtype != like.dtype:
        what = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
        raise TypeError(f"run: out is {what}; expected an array of {like.dtype}")
    if out.shape != like.shape:
        raise ValueError(f"run: out has shape {out.shape}; expected {like.shape}")
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError("run: out is read-only or not C-contiguous; expected one to write to")
    for array in inputs:
        if np.may_share_memory(out, array) and not _is_same(out, array):
            raise ValueError("run: out shares memory with x; expected an array of its own, or x")


def _is_same(one: Array, other: Array) -> bool:
    """Whether contiguous arrays have the same memory, row by row."""
    return one.ctypes.data == other.ctypes.data and one.nbytes == other.nbytes
