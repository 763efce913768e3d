"""The backend of the kernels during a sample run: it runs them and writes the calls down."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

from mlpeak import reference
from mlpeak.compiler.graph import RandomStep
from mlpeak.compiler.record import RawValue, Recorder
from mlpeak.compiler.traced import Traced, plain, value_of, wrap

__all__ = ["TracingBackend"]

#: Kernels without an array argument whose result differs from step to step.
_DRAWS = frozenset({"permutation", "random_normal", "random_uniform", "random_words"})
_UPDATES = frozenset({"adagrad", "adam", "rmsprop", "sgd"})
_OUTPUTS = frozenset({"out", "pre"})


class TracingBackend:
    """What `mlpeak._backend.impl` is during a sample run.

    Calls that have nothing to do with the run go to `real` as they are.
    """

    def __init__(self, real: Any, recorder: Recorder) -> None:
        self._real = real
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self._real, name)
        if threading.get_ident() != self._recorder.thread:
            return kernel
        return functools.partial(_traced_call, self._recorder, name, kernel)


@functools.cache
def _signature(name: str) -> tuple[inspect.Signature, tuple[str, ...]]:
    """The kernel's signature, and which arguments are arrays that it reads."""
    signature = inspect.signature(getattr(reference, name))
    arrays = tuple(
        p.name
        for p in signature.parameters.values()
        if "Array" in str(p.annotation) and p.name not in _OUTPUTS
    )
    return signature, arrays


def _traced_call(
    recorder: Recorder, name: str, kernel: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    given = (*args, *kwargs.values())
    draws = name in _DRAWS and kwargs.get("seed") == recorder.seed
    if not draws and not any(isinstance(a, Traced) for a in given):
        return kernel(*args, **kwargs)
    signature, names = _signature(name)
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    params = dict(bound.arguments)
    arrays = [params.pop(n) for n in names]
    outputs = [params.pop(n) for n in _OUTPUTS if n in params]
    if name in _UPDATES or any(out is not None for out in outputs):
        raise recorder.error(f"kernels.{name} writes into an array that it is given")
    values = [None if a is None else value_of(a) for a in arrays]
    updates = _updates(recorder, dict(zip(names, values, strict=True)), name, params)
    plain_kwargs = {key: plain(a) for key, a in kwargs.items()}
    result = kernel(*map(plain, args), **plain_kwargs)
    results = result if isinstance(result, tuple) else (result,)
    if name in _DRAWS:
        params.pop("n", None)
        params.update(shape=results[0].shape, dtype=results[0].dtype)
    if params.get("seed") == recorder.seed:
        del params["seed"]
        params["step"] = RandomStep(params["step"] - recorder.step)
    made = recorder.emit(name, values, params, results, updates)
    wrapped = tuple(None if v is None else wrap(r, v) for r, v in zip(results, made, strict=True))
    return wrapped if isinstance(result, tuple) else wrapped[0]


def _updates(
    recorder: Recorder, values: dict[str, RawValue | None], name: str, params: dict[str, Any]
) -> tuple[RawValue, ...]:
    """The buffers that the call is going to write: the running statistics of batch_norm."""
    if name != "batch_norm" or not params["training"]:
        return ()
    running = [values["running_mean"], values["running_var"]]
    found = tuple(v for v in running if v is not None)
    if any(v.kind != "buffer" for v in found):
        raise recorder.error("the running statistics are no buffers of the module")
    return found
