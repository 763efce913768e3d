"""Running a captured graph call by call, with the kernels and NumPy: what a program must equal."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpeak import _backend, _random, reference
from mlpeak.compiler import BatchScalar, Call, Graph, RandomStep, Value
from mlpeak.compiler.graph import concrete_shape

Array = np.ndarray[Any, Any]


class Interpreter:
    """The values of one run of `graph` for a batch of `batch` samples."""

    def __init__(self, graph: Graph, batch: int) -> None:
        self.graph = graph
        self.batch = batch
        self.seed, self.step = _random.default_generator.get_state()
        self._arrays: dict[int, Array] = {}

    def run(
        self,
        inputs: Sequence[Array],
        targets: Sequence[Array] = (),
        sample_weight: Array | None = None,
    ) -> None:
        """Run all calls, updating the model's buffers, counters and the generator."""
        given = [*zip(self.graph.inputs, inputs, strict=True)]
        given += zip(self.graph.targets, targets, strict=True)
        if self.graph.sample_weight is not None:
            assert sample_weight is not None
            given.append((self.graph.sample_weight, sample_weight))
        for value, array in given:
            self._put(value, array)
        with np.errstate(all="ignore"):
            for call in self.graph.calls:
                self._call(call)
        for tensor, increment in self.graph.counters:
            tensor._array[...] += increment
        state = (self.seed, self.step + self.graph.random_draws)
        _random.default_generator.set_state(state)

    def get(self, value: Value) -> Array:
        """Return the array of a value."""
        if value.kind in ("parameter", "buffer"):
            assert value.tensor is not None
            return value.tensor._array
        if value.kind == "constant":
            if value.scalar is not None:
                return np.asarray(value.scalar.value(self.batch), value.dtype)
            assert value.array is not None
            return value.array
        return self._arrays[value.id]

    def _put(self, value: Value, array: Any) -> None:
        array = np.asarray(array)
        assert array.dtype == value.dtype
        assert array.shape == concrete_shape(value.shape, self.batch)
        self._arrays[value.id] = array

    def _call(self, call: Call) -> None:
        inputs = [None if v is None else self.get(v) for v in call.inputs]
        params = {key: self._bind(key, p) for key, p in call.params.items()}
        if call.name.startswith("np."):
            result = _numpy(call.name[3:], inputs, params)
        else:
            result = self._kernel(call.name, inputs, params)
        results = result if isinstance(result, tuple) else (result,)
        for value, array in zip(call.outputs, results, strict=True):
            assert (value is None) == (array is None)
            if value is not None:
                self._put(value, array)

    def _bind(self, key: str, param: Any) -> Any:
        if key == "shape":
            return concrete_shape(param, self.batch)
        if isinstance(param, BatchScalar):
            return param.value(self.batch)
        if isinstance(param, RandomStep):
            return self.step + param.offset
        if isinstance(param, tuple):
            return tuple(self._bind("", p) for p in param)
        if isinstance(param, slice):
            return slice(*(self._bind("", p) for p in (param.start, param.stop, param.step)))
        return param

    def _kernel(self, name: str, inputs: list[Any], params: dict[str, Any]) -> Any:
        names = list(inspect.signature(getattr(reference, name)).parameters.values())
        arrays = [p.name for p in names if "Array" in str(p.annotation)]
        arrays = [n for n in arrays if n not in ("out", "pre")]
        if "step" in params and "seed" not in params:
            params = {**params, "seed": self.seed}
        if name in ("random_words", "permutation"):
            params = {**params, "n": params.pop("shape")[0]}
            params.pop("dtype")
        kernel = getattr(_backend.impl, name)
        return kernel(**dict(zip(arrays, inputs, strict=True)), **params)


def _numpy(name: str, inputs: list[Any], params: dict[str, Any]) -> Any:
    function, _, method = name.partition(".")
    if method in ("reduce", "accumulate"):
        return getattr(getattr(np, function), method)(inputs[0], **params)
    if method == "at":
        copy = inputs[0].copy()
        getattr(np, function).at(copy, params["key"], *inputs[1:])
        return copy
    if name == "getitem":
        return inputs[0][params["key"]]
    if name == "setitem":
        copy = inputs[0].copy()
        copy[params["key"]] = inputs[1]
        return copy
    if name == "reshape":  # its keyword is newer than the oldest NumPy
        return inputs[0].reshape(params["shape"])
    if name == "full":
        return np.full(params["shape"], params["fill"], params["dtype"])
    if name == "astype":
        return inputs[0].astype(**params)
    if name in ("concatenate", "stack"):
        return getattr(np, name)(inputs, **params)
    return getattr(np, name)(*inputs, **params)
