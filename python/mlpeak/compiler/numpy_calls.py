"""What NumPy's ufuncs, functions and methods do with traced arrays: record, or refuse.

The functions are those that tensor operations use. Each brings its arguments into the one form that
`mlpeak.compiler.graph.Call` describes, computes on the sample data, and records the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlpeak.compiler.indexing import constant_key, copy_into, getitem
from mlpeak.compiler.record import current
from mlpeak.compiler.traced import Traced, plain, refuse_owned, value_of, view, wrap, write

Axis = int | Sequence[int] | None


def _record(name: str, arrays: Sequence[Any], result: Any, **params: Any) -> Traced:
    """Record that `name` of `arrays` gave the new array `result`; return it traced."""
    array = np.asarray(result)
    values = [value_of(a) for a in arrays]
    return wrap(array, current().emit_one(name, values, array, **params))


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes in ascending order, counted from the front; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    chosen = axis if isinstance(axis, Sequence) else (axis,)
    return tuple(sorted(int(a) % ndim for a in chosen))


# ufuncs

# the keywords of each method that have a meaning here
_LEGAL = {
    "__call__": frozenset[str](),
    "at": frozenset[str](),
    "reduce": frozenset({"axis", "dtype", "keepdims"}),
    "accumulate": frozenset({"axis", "dtype"}),
}


def _array_ufunc(x: Traced, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    (out,) = kwargs.pop("out", (None,))
    # NumPy's own methods pass these along without a meaning
    for key, idle in (("where", True), ("initial", np._NoValue), ("dtype", None)):
        if kwargs.get(key, ...) is idle:
            del kwargs[key]
    if ufunc.nout != 1 or not kwargs.keys() <= _LEGAL.get(method, {""}) or method not in _LEGAL:
        with_what = ", ".join(kwargs) or "this number of outputs"
        raise current().error(f"{name} with {with_what} cannot be compiled")
    if method == "at":
        return _at(ufunc, name, *inputs)
    if out is not None:
        refuse_owned(out)
    result = getattr(ufunc, method)(*map(plain, inputs), **kwargs)
    if method == "__call__":
        made = _record(name, _operands(inputs), result)
    else:
        made = _record(name, inputs[:1], result, **_reduction(method, *inputs, **kwargs))
    if out is None:
        return made
    copy_into(out, Ellipsis, made)
    return out


def _operands(inputs: tuple[Any, ...]) -> list[Any]:
    """The inputs, Python's numbers as arrays of the dtype in which NumPy takes them."""
    dtypes = [x.dtype for x in inputs if isinstance(x, (np.ndarray, np.generic))]
    for x in inputs:
        if not isinstance(x, (np.ndarray, np.generic, bool, int, float)):
            raise current().error(f"an operand is {type(x).__name__}")
    return [x if hasattr(x, "dtype") else np.asarray(x, np.result_type(*dtypes, x)) for x in inputs]


def _reduction(
    method: str, x: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False
) -> dict[str, Any]:
    """The arguments of ``ufunc.reduce`` or ``ufunc.accumulate`` in one form."""
    params: dict[str, Any] = {"dtype": None if dtype is None else np.dtype(dtype)}
    if method == "reduce":
        return {"axis": _axes(axis, x.ndim), "keepdims": bool(keepdims), **params}
    return {"axis": int(axis) % x.ndim, **params}


def _at(ufunc: Any, name: str, target: Any, key: Any, *sources: Any) -> None:
    refuse_owned(target)
    key = constant_key(key, target.shape)
    values = [value_of(target), *map(value_of, sources)]
    ufunc.at(plain(target), key, *map(plain, sources))
    write(target, current().emit_one(name, values, plain(target), key=key))


# methods that only move elements


def _reshape(x: Traced, *shape: Any, order: str = "C") -> Traced:
    if order != "C":
        raise current().error(f"reshape in order {order!r}")
    array = plain(x).reshape(*shape)
    return view(x, "np.reshape", array, shape=array.shape)


def _transpose(x: Traced, *axes: Any) -> Traced:
    order: Any = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    if order is None or len(order) == 0:
        order = range(x.ndim)[::-1]
    found = tuple(int(a) % x.ndim for a in order)
    return view(x, "np.transpose", plain(x).transpose(found), axes=found)


def _swapaxes(x: Traced, first: int, second: int) -> Traced:
    axes = list(range(x.ndim))
    axes[first], axes[second] = axes[second], axes[first]
    return _transpose(x, axes)


def _moveaxis(x: Traced, source: Axis, destination: Axis) -> Traced:
    axes = np.moveaxis(np.empty(tuple(range(1, x.ndim + 1))), source, destination)  # type: ignore
    return _transpose(x, [n - 1 for n in axes.shape])


def _squeeze(x: Traced, axis: Axis = None) -> Traced:
    return _reshape(x, plain(x).squeeze(axis).shape)


def _expand_dims(x: Traced, axis: Axis) -> Traced:
    return _reshape(x, np.expand_dims(plain(x), axis).shape)  # type: ignore[arg-type]


def _ravel(x: Traced, order: str = "C") -> Traced:
    return _reshape(x, -1, order=order)


def _flatten(x: Traced, order: str = "C") -> Traced:
    return _ravel(_copy(x), order)


def _astype(x: Traced, dtype: Any, order: str = "K", copy: bool = True, **kwargs: Any) -> Traced:
    array = plain(x).astype(dtype, order, copy=copy, **kwargs)
    if not copy and array.dtype == x.dtype:
        return x
    return view(x, "np.astype", array, dtype=array.dtype)


def _copy(x: Traced, order: str = "C", subok: bool = True) -> Traced:
    value = value_of(x)
    array = np.array(plain(x), order=order)  # type: ignore[call-overload]
    if value.kind == "buffer":  # which may be updated in place later
        return _record("np.copy", (x,), array)
    return wrap(array, value)


def _broadcast_to(x: Traced, shape: Any, subok: bool = False) -> Traced:
    array = np.broadcast_to(plain(x), shape)
    return view(x, "np.broadcast_to", array, shape=array.shape)


def _broadcast_arrays(*arrays: Any, subok: bool = False) -> tuple[Any, ...]:
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    return tuple(np.broadcast_to(a, shape) for a in arrays)


# functions that make an array


def _filled(fill: Any) -> Callable[..., Traced]:
    def like(
        x: Traced,
        *value: Any,
        dtype: Any = None,
        order: str = "K",
        subok: bool = True,
        shape: Any = None,
    ) -> Traced:
        number = value[0] if value else fill
        array = np.full_like(plain(x), number, dtype, order, shape=shape)  # type: ignore
        params = {"shape": array.shape, "dtype": array.dtype, "fill": array.dtype.type(number)}
        return _record("np.full", (), array, **params)

    return like


def _where(condition: Any, *choices: Any) -> Traced:
    if len(choices) != 2:
        raise current().error("where() with the condition alone needs its values")
    arrays = [condition, *_operands(choices)]
    return _record("np.where", arrays, np.where(*map(plain, arrays)))


def _joined(function: Any) -> Callable[..., Traced]:
    name = f"np.{function.__name__}"

    def join(arrays: Sequence[Any], axis: int = 0) -> Traced:
        result = function([plain(a) for a in arrays], axis=axis)
        return _record(name, arrays, result, axis=int(axis) % result.ndim)

    return join


def _split(x: Traced, parts: Any, axis: int = 0) -> list[Traced]:
    pieces, start = [], 0
    for piece in np.split(plain(x), parts, axis):
        stop = start + piece.shape[axis]
        key = (slice(None),) * (axis % x.ndim) + (slice(start, stop),)
        pieces.append(getitem(x, key))
        start = stop
    return pieces


def _flip(x: Traced, axis: Axis = None) -> Traced:
    axes = _axes(axis, x.ndim)
    return view(x, "np.flip", np.flip(plain(x), axes), axis=axes)


def _tile(x: Traced, reps: Any) -> Traced:
    return _record("np.tile", (x,), np.tile(plain(x), reps), reps=tuple(reps))


def _triangle(function: Any) -> Callable[..., Traced]:
    def triangle(x: Traced, k: int = 0) -> Traced:
        return _record(f"np.{function.__name__}", (x,), function(plain(x), k), k=k)

    return triangle


def _sum(x: Traced, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Any:
    reduce: Any = np.add.reduce
    return reduce(x, axis=axis, dtype=dtype, keepdims=keepdims)


def _argsort(x: Traced, axis: int = -1, kind: str = "stable") -> Traced:
    result = np.argsort(plain(x), axis, kind)  # type: ignore[arg-type]
    return _record("np.argsort", (x,), result, axis=axis % x.ndim, kind=kind)


def _position(function: Any) -> Callable[..., Traced]:
    def position(x: Traced, axis: int | None = None, keepdims: bool = False) -> Traced:
        result = function(plain(x), axis=axis, keepdims=keepdims)
        params = {"axis": None if axis is None else axis % x.ndim, "keepdims": bool(keepdims)}
        return _record(f"np.{function.__name__}", (x,), result, **params)

    return position


def _copyto(target: Any, source: Any, casting: str = "same_kind") -> None:
    copy_into(target, Ellipsis, source)


#: What is recorded, by NumPy's function.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.argmax: _position(np.argmax),
    np.argmin: _position(np.argmin),
    np.argsort: _argsort,
    np.broadcast_arrays: _broadcast_arrays,
    np.broadcast_to: _broadcast_to,
    np.concatenate: _joined(np.concatenate),
    np.copy: _copy,
    np.copyto: _copyto,
    np.empty_like: _filled(0),
    np.expand_dims: _expand_dims,
    np.flip: _flip,
    np.full_like: _filled(None),
    np.moveaxis: _moveaxis,
    np.ones_like: _filled(1),
    np.ravel: _ravel,
    np.reshape: _reshape,
    np.split: _split,
    np.squeeze: _squeeze,
    np.stack: _joined(np.stack),
    np.sum: _sum,
    np.swapaxes: _swapaxes,
    np.tile: _tile,
    np.transpose: _transpose,
    np.tril: _triangle(np.tril),
    np.triu: _triangle(np.triu),
    np.where: _where,
    np.zeros_like: _filled(0),
}

#: Functions that ask for nothing but shapes, dtypes and addresses.
PASSIVE = frozenset(
    {np.can_cast, np.may_share_memory, np.ndim, np.result_type, np.shape, np.shares_memory, np.size}
)


def _array_function(x: Traced, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    if function in PASSIVE:
        return function(*map(plain, args), **kwargs)
    if function not in FUNCTIONS:
        raise current().error(f"np.{function.__name__} cannot be compiled")
    return FUNCTIONS[function](*args, **kwargs)


# methods

METHODS: dict[str, Any] = {
    "__array_function__": _array_function,
    "__array_ufunc__": _array_ufunc,
    "__copy__": _copy,
    "__deepcopy__": lambda x, memo: _copy(x),
    "__getitem__": getitem,
    "__setitem__": copy_into,
    "T": property(_transpose),
    "astype": _astype,
    "copy": _copy,
    "flatten": _flatten,
    "ravel": _ravel,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "swapaxes": _swapaxes,
    "transpose": _transpose,
    # NumPy's own, which end in ufuncs
    **{name: getattr(np.ndarray, name) for name in ("all", "any", "max", "min", "prod", "sum")},
}

#: Attributes that tell nothing about the elements.
_HARMLESS = frozenset(
    {"T", "base", "ctypes", "data", "device", "dtype", "flags", "itemsize", "nbytes", "ndim"}
    | {"shape", "size", "strides"}
)
_READING = (
    "__bool__", "__complex__", "__contains__", "__float__", "__index__", "__int__", "__reduce__",
    "__reduce_ex__", "__dlpack__",
)  # fmt: skip
_SAID = {"__bool__": "bool()", "__float__": "float()", "__int__": "int()", "view": ".numpy()"}


def _refusal(name: str) -> Callable[..., Any]:
    said = _SAID.get(name, name if name.startswith("__") else f".{name}()")

    def refuse(x: Traced, *args: Any, **kwargs: Any) -> Any:
        raise current().error(
            f"{said} asks for the values of a tensor, which only exist when the program runs"
        )

    return refuse


def _install() -> None:
    for name, method in METHODS.items():
        setattr(Traced, name, method)
    for name in (*_READING, *(n for n in dir(np.ndarray) if not n.startswith("_"))):
        if name not in METHODS and name not in _HARMLESS:
            refusal = _refusal(name)
            is_method = callable(getattr(np.ndarray, name))
            setattr(Traced, name, refusal if is_method else property(refusal))


_install()
