"""Running a model so that nothing of it remains: state is noted before and restored after."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from mlpeak import _backend
from mlpeak._tensor import Tensor
from mlpeak.autograd import Node
from mlpeak.compiler.backend import TracingBackend
from mlpeak.compiler.record import Recorder, Where, recording
from mlpeak.nn.module import Module

__all__ = ["patched", "restored", "state_of"]

_REGISTRIES = ("_parameters", "_buffers", "_modules")


def state_of(module: Module) -> list[dict[str, Any]]:
    """Return copies of the module's attributes and of its registries."""
    own = module.__dict__
    return [dict(own), *(dict(own[name]) for name in _REGISTRIES)]


@contextmanager
def restored(modules: Sequence[Module], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Restore modules and tensors after the block, also after an error.

    Of a tensor that is its array (which object it is, not what is in it), its gradient, whether it
    requires one, and its version; the contents of integers too.
    """
    states = [(m, state_of(m)) for m in modules]
    kept = [
        (
            (t, t._array, None if _is_float(t) else t._array.copy()),
            (t._grad, t._version.value, t._leaf_grad),
        )
        for t in tensors
    ]
    try:
        yield
    finally:
        for (tensor, array, contents), (grad, version, leaf_grad) in kept:
            tensor._array, tensor._grad, tensor._leaf_grad = array, grad, leaf_grad
            tensor._version.value = version
            if contents is not None and not np.array_equal(array, contents):
                array[...] = contents
        for module, (own, *registries) in states:
            _refill(module.__dict__, own)
            for name, registry in zip(_REGISTRIES, registries, strict=True):
                _refill(own[name], registry)


def _is_float(tensor: Tensor) -> bool:
    return tensor._array.dtype.kind == "f"


def _refill(target: dict[str, Any], source: Mapping[str, Any]) -> None:
    target.clear()
    target.update(source)


@contextmanager
def patched(recorder: Recorder, names: Mapping[int, str]) -> Iterator[None]:
    """Let kernels, modules and nodes of the tape tell `recorder` what this thread does.

    Parameters
    ----------
    recorder : Recorder
        Of the run.
    names : mapping
        From a module's id to its dotted name.
    """
    real = _backend.impl
    call, init, backward = Module.__call__, Node.__init__, Node.backward
    own = threading.get_ident()

    @functools.wraps(call)
    def traced_call(self: Module, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != own:
            return call(self, *args, **kwargs)
        # a module that forward makes belongs to the one that makes it
        name = names.get(id(self), recorder.here.name)
        with recorder.inside(Where(name, type(self).__name__)):
            return call(self, *args, **kwargs)

    @functools.wraps(init)
    def traced_init(self: Node, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if threading.get_ident() == own:
            recorder.remember(self)

    @functools.wraps(backward)
    def traced_backward(self: Node, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() != own:
            return backward(self, *args, **kwargs)
        with recorder.inside(recorder.origin(self)):
            return backward(self, *args, **kwargs)

    changes: tuple[tuple[Any, str, Any, Any], ...] = (
        (_backend, "impl", TracingBackend(real, recorder), real),
        (Module, "__call__", traced_call, call),
        (Node, "__init__", traced_init, init),
        (Node, "backward", traced_backward, backward),
    )
    try:
        for owner, name, new, _ in changes:
            setattr(owner, name, new)
        with recording(recorder):
            yield
    finally:
        for owner, name, _, old in changes:
            setattr(owner, name, old)
