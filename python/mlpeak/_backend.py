"""Which implementation the kernels run on: the compiled one or the NumPy one.

``impl`` is the module in use. It is typed as `mlpeak.reference`, because both backends have the
same names and signatures; `mlpeak.kernels` calls through it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mlpeak import _core

if TYPE_CHECKING:
    from mlpeak import reference

    impl = reference
else:
    impl: Any = _core

BACKENDS = ("native", "numpy")
_name = "native"


def set_backend(name: str) -> None:
    """Choose what runs the kernels from now on.

    Parameters
    ----------
    name : {"native", "numpy"}
        ``"native"`` is the compiled code; ``"numpy"`` is `mlpeak.reference`, plain NumPy that
        accumulates in float64. The environment variable ``MLPEAK_BACKEND`` sets the first choice.
        Compiled programs are native with either.

    Raises
    ------
    ValueError
        If `name` is neither.

    Examples
    --------
    >>> import mlpeak
    >>> mlpeak.set_backend("numpy")
    >>> mlpeak.get_backend()
    'numpy'
    >>> mlpeak.set_backend("native")
    """
    global impl, _name
    if name not in BACKENDS:
        raise ValueError(f"set_backend: name is {name!r}; expected one of {', '.join(BACKENDS)}")
    if name == "numpy":
        from mlpeak import reference

        impl = reference
    else:
        impl = _core
    _name = name


def get_backend() -> str:
    """Return the name of the backend in use, ``"native"`` or ``"numpy"``."""
    return _name


def _from_environment() -> None:
    name = os.environ.get("MLPEAK_BACKEND", "")
    if name:
        if name not in BACKENDS:
            raise ValueError(f"MLPEAK_BACKEND is {name!r}; expected one of {', '.join(BACKENDS)}")
        set_backend(name)
    tier = os.environ.get("MLPEAK_ISA", "")
    if tier:
        _core.select_tier(tier)


_from_environment()
