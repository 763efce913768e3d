"""Making code that imports scikit-learn's classes use those of mlpeak."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any

from sklearn.neural_network import _multilayer_perceptron

from mlpeak.sklearn.classifier import MLPClassifier
from mlpeak.sklearn.regressor import MLPRegressor

__all__ = ["Patch", "patch", "unpatch"]

_REPLACEMENTS: dict[str, type[Any]] = {
    "MLPClassifier": MLPClassifier,
    "MLPRegressor": MLPRegressor,
}
_ORIGINALS = {name: getattr(_multilayer_perceptron, name) for name in _REPLACEMENTS}

# modules that are left alone
KEPT = ("mlpeak.", "sklearn.neural_network._")

# where a name was exchanged
_patched: list[tuple[ModuleType, str]] = []


class Patch:
    """What `patch` returns: a context manager that ends the patch, unless an outer one is on."""

    def __init__(self, undo: Callable[[], None] | None) -> None:
        self._undo = undo

    def __enter__(self) -> Patch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._undo is not None:
            self._undo()


def patch() -> Patch:
    """Let `sklearn.neural_network` have mlpeak's estimators.

    Code that imports them from then on gets mlpeak's, and so does every module that has imported
    them from there already. In a ``with`` statement the patch ends with the block.

    Examples
    --------
    >>> import mlpeak.sklearn
    >>> with mlpeak.sklearn.patch():
    ...     from sklearn.neural_network import MLPClassifier
    >>> MLPClassifier.__module__
    'mlpeak.sklearn.classifier'
    """
    if _patched:
        return Patch(None)
    for module in list(sys.modules.values()):
        # where pickles look for scikit-learn's own classes, these stay
        if not isinstance(module, ModuleType) or module.__name__.startswith(KEPT):
            continue
        for name, original in _ORIGINALS.items():
            # only under its own name: another one is somebody's choice between the two
            if module.__dict__.get(name) is original:
                setattr(module, name, _REPLACEMENTS[name])
                _patched.append((module, name))
    return Patch(unpatch)


def unpatch() -> None:
    """Undo `patch`. Modules that imported the classes while it was on keep mlpeak's."""
    while _patched:
        module, name = _patched.pop()
        if module.__dict__.get(name) is _REPLACEMENTS[name]:
            setattr(module, name, _ORIGINALS[name])
