"""Whether operations are recorded for backward: `no_grad` and its relatives."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class _Mode(threading.local):
    """One flag per thread."""

    enabled = True


mode = _Mode()


def is_grad_enabled() -> bool:
    """Return whether operations are recorded in this thread."""
    return mode.enabled


class _GradMode:
    """Set the mode while a ``with`` block or a decorated function runs."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(mode.enabled)
        mode.enabled = self._enabled

    def __exit__(self, *exception: object) -> None:
        mode.enabled = self._before.pop()

    def __call__(self, function: Function) -> Function:
        enabled = self._enabled
        if inspect.isgeneratorfunction(function):
            return _in_mode(function, enabled)  # type: ignore[no-any-return]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with _GradMode(enabled):
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


def _in_mode(function: Callable[..., Generator[Any, Any, Any]], enabled: bool) -> Any:
    """Return a generator function whose body runs in the mode, and what it yields to does not."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with _GradMode(enabled):
            generator = function(*args, **kwargs)
        resume: Callable[[], Any] = functools.partial(next, generator)
        try:
            while True:
                with _GradMode(enabled):
                    item = resume()
                try:
                    sent = yield item
                except GeneratorExit:
                    raise
                except BaseException as error:
                    resume = functools.partial(generator.throw, error)
                else:
                    resume = functools.partial(generator.send, sent)
        except StopIteration as stop:
            return stop.value
        finally:
            with _GradMode(enabled):
                generator.close()

    return wrapped


class _Plain(_GradMode):
    """A mode without arguments, which decorates with and without parentheses."""

    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        """Decorate directly when used without parentheses."""
        return super().__new__(cls) if function is None else cls()(function)


class no_grad(_Plain):
    """Record nothing: a ``with`` block or a decorator.

    Examples
    --------
    >>> import mlpeak
    >>> x = mlpeak.ones(2, requires_grad=True)
    >>> with mlpeak.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Plain):
    """Record again inside a `no_grad` block: a ``with`` block or a decorator."""

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_GradMode):
    """Record nothing if `mode` is true; the same as `no_grad` here.

    PyTorch also forbids later use of the results in recorded operations; mlpeak has no such
    tensors, so the results are ordinary ones without a gradient.
    """

    def __new__(cls, mode: Any = True) -> Any:
        """Decorate directly when used without parentheses."""
        return cls()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)


class set_grad_enabled(_GradMode):
    """Switch recording on or off, at once and until the end of the ``with`` block, if it is one.

    As a decorator it switches while the function runs, and not before.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._at_call = globals()["mode"].enabled
        globals()["mode"].enabled = mode

    def __enter__(self) -> None:
        self._before.append(self._at_call)
        globals()["mode"].enabled = self._enabled

    def __call__(self, function: Function) -> Function:
        """Take the switch back, and set the mode while `function` runs."""
        mode.enabled = self._at_call
        return super().__call__(function)
