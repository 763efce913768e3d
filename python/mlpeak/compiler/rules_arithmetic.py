"""How arithmetic becomes instructions: NumPy's ufuncs, `where`, the elementary functions."""

from __future__ import annotations

import numpy as np

from mlpeak.compiler.graph import Call, RandomStep, Value
from mlpeak.compiler.layout import ZERO, Home, Place, is_rows
from mlpeak.compiler.lower import Lowering
from mlpeak.compiler.maps import map_value
from mlpeak.compiler.rules import rule

UFUNCS = {
    f"np.{name}": name
    for name in (
        "add", "subtract", "multiply", "divide", "maximum", "minimum", "negative", "absolute",
        "sign", "square", "sqrt", "reciprocal", "less", "less_equal", "greater", "greater_equal",
        "equal", "not_equal", "floor", "ceil", "trunc", "rint", "remainder", "isnan", "isinf",
        "isfinite", "signbit",
    )
}  # fmt: skip
LOGICAL = {
    f"np.{prefix}_{name}": f"bitwise_{name}"
    for prefix in ("bitwise", "logical")
    for name in ("and", "or", "xor")
}
NOT = {"np.invert": "invert", "np.logical_not": "invert"}
COMPARISONS = frozenset(["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"])


def operands(low: Lowering, call: Call) -> list[tuple[Place, tuple[int, ...]]]:
    """Return the inputs as operands of a map."""
    return [(low.place(v, call), v.shape) for v in call.inputs if v is not None]


def result_of(call: Call) -> Value:
    """Return the only result of a call."""
    (value,) = call.outputs
    assert value is not None
    return value


@rule(*UFUNCS)
def _ufunc(low: Lowering, call: Call) -> None:
    name, value = UFUNCS[call.name], result_of(call)
    wide = any(v is not None and v.dtype.kind in "iu" and v.dtype.itemsize > 1 for v in call.inputs)
    if value.dtype.kind in "iu" or (wide and name not in COMPARISONS and value.dtype.kind != "b"):
        raise low.error(call, f"computes in {value.dtype}; expected {low.dtype}, cast first")
    map_value(low, call, name, value, operands(low, call))


@rule(*LOGICAL, *NOT)
def _logical(low: Lowering, call: Call) -> None:
    value = result_of(call)
    if any(v is not None and v.dtype.kind != "b" for v in call.inputs) or value.dtype.kind != "b":
        raise low.error(call, "is on integers; expected truth values")
    map_value(low, call, {**LOGICAL, **NOT}[call.name], value, operands(low, call))


@rule("np.where")
def _where(low: Lowering, call: Call) -> None:
    map_value(low, call, "where", result_of(call), operands(low, call))


@rule("np.astype")
def _astype(low: Lowering, call: Call) -> None:
    (value,) = call.inputs
    assert value is not None
    result = result_of(call)
    place = low.place(value, call)
    if result.dtype.kind == "b" and value.dtype.kind != "b":
        zero = Place(low.constant(np.zeros(1)), ())
        map_value(low, call, "not_equal", result, [(place, value.shape), (zero, ())])
    elif result.dtype.kind in "iu" and value.dtype.kind == "f":
        map_value(low, call, "trunc", result, [(place, value.shape)])
    else:
        low.places[result.id] = place


@rule("np.copy")
def _copy(low: Lowering, call: Call) -> None:
    map_value(low, call, "copy", result_of(call), operands(low, call))


@rule("np.full")
def _full(low: Lowering, call: Call) -> None:
    value = result_of(call)
    fill = call.params["fill"]
    home = low.constant(np.full(1, fill))
    low.places[value.id] = Place(home, (ZERO,) * len(value.shape))


def flat(low: Lowering, value: Value, call: Call) -> Home:
    """Return the home of a value whose elements a row instruction takes in any grouping."""
    return low.rows(value, call) if is_rows(value.shape) else low.standard(value, call)


def group(low: Lowering, value: Value) -> None:
    """Say how row instructions that follow run on a value of that shape."""
    home = low.places[value.id].home
    low.once = 0 if is_rows(value.shape) else 2 if home.rows else 1


@rule("exp", "log", "log1p", "expm1", "erf", "pow")
def _elementary(low: Lowering, call: Call) -> None:
    value = call.inputs[0]
    assert value is not None
    result = result_of(call)
    x = flat(low, value, call)
    rows = is_rows(value.shape)
    stage = low.stage_for(result, x)
    y = low.result(result, stage, whole=not rows)
    exponent = float(call.params.get("exponent", 1.0))
    name = call.name
    group(low, value)
    emit = low.emit_rows if rows else low.emit_whole
    emit(stage, (x,), lambda p: p.elementary(stage, name, exponent, x.number, y.number))
    low.once = 0


@rule("random_normal", "random_uniform")
def _random(low: Lowering, call: Call) -> None:
    result = result_of(call)
    if not is_rows(result.shape):
        raise low.error(call, f"draws an array of shape {result.shape}; expected the samples first")
    step = call.params["step"]
    assert isinstance(step, RandomStep)
    normal = call.name == "random_normal"
    names = ("mean", "std") if normal else ("low", "high")
    first, second = (float(call.params[name]) for name in names)
    y = low.result(result, 0)
    y.adjacent = True
    stream = int(call.params["stream"])
    low.emit_rows(
        0, (), lambda p: p.random(0, normal, first, second, step.offset, stream, y.number)
    )
