"""How the losses become instructions.

The gradient of a loss and, over classes, its value are computed by rows; the total is a sum over
all samples that follows. Where a mean's divisor depends on data it is made a stage earlier.
"""

from __future__ import annotations

from typing import Any

from mlpeak.compiler.graph import Call, Value
from mlpeak.compiler.layout import NOWHERE, Home, is_rows
from mlpeak.compiler.lower import Lowering
from mlpeak.compiler.rules import rule
from mlpeak.ops.losses import LOSSES

CLASS_LOSSES = ("cross_entropy", "nll_loss")
ELEMENT_LOSSES = tuple(name for name in LOSSES if name not in CLASS_LOSSES)


def _column(low: Lowering, value: Value | None, call: Call) -> Home:
    return NOWHERE if value is None else low.rows(value, call)


def _upstream(low: Lowering, value: Value | None, call: Call) -> Home:
    """Return where the loss's own gradient stands; nowhere for 1."""
    assert value is not None
    if value.array is not None and value.kind == "constant" and value.array == 1:
        return NOWHERE
    return low.array(value, call)


# Over classes.


def _class_inputs(low: Lowering, call: Call, inputs: tuple[Value | None, ...]) -> dict[str, Any]:
    x, target, weight, sample_weight = inputs
    assert x is not None
    assert target is not None
    integers = target.dtype.kind in "iub"
    return {
        "input": low.rows(x, call),
        "target": low.integer(target, call, x.shape[1], int(call.params["ignore_index"]))
        if integers
        else NOWHERE,
        "probabilities": NOWHERE if integers else low.rows(target, call),
        "class_weight": NOWHERE if weight is None else low.array(weight, call),
        "sample_weight": _column(low, sample_weight, call),
    }


def _class_divisor(
    low: Lowering, call: Call, homes: dict[str, Any], options: dict[str, Any]
) -> Home:
    """Return where the mean's divisor stands; nowhere if it is the batch size."""
    if options["reduction"] != "mean":
        return NOWHERE
    classes = homes["target"] is not NOWHERE
    weighted = homes["sample_weight"] is not NOWHERE
    if not weighted and not (classes and (homes["class_weight"] is not NOWHERE or low.ignored)):
        return NOWHERE
    key = (call.inputs[-3:], options["ignore_index"])
    if key not in low.divisors:
        stage = low.stage_of(*(h for k, h in homes.items() if k != "input"))
        out = low.divisors[key] = low.new_home(False, 2, stage + 1)
        low.emit_whole(
            stage,
            tuple(homes.values()),
            lambda p: p.class_loss_divisor(stage, _native(call, homes, options), out.number),
        )
    return low.divisors[key]


def _class_options(call: Call) -> dict[str, Any]:
    return {
        "ignore_index": int(call.params["ignore_index"]),
        "label_smoothing": float(call.params.get("label_smoothing", 0.0)),
        "reduction": call.params["reduction"],
    }


def _native(call: Call, homes: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return what the native instruction is told: homes as numbers."""
    absent = dict.fromkeys(("divisor", "upstream", "grad_output", "loss", "grad"), -1)
    numbers = {name: home.number for name, home in homes.items()}
    return {"name": call.name.removesuffix("_backward"), **absent, **options, **numbers}


@rule(*CLASS_LOSSES)
def _class_loss(low: Lowering, call: Call) -> None:
    options = _class_options(call)
    homes = _class_inputs(low, call, call.inputs)
    (result,) = call.outputs
    assert result is not None
    divisor = _class_divisor(low, call, homes, options)
    reads = tuple(homes.values())
    if options["reduction"] == "none":
        stage = low.stage_of(*reads)
        homes["loss"] = low.result(result, stage)
        low.emit_rows(stage, reads, lambda p: p.class_loss(stage, _native(call, homes, options)))
        return
    homes["divisor"] = divisor
    backward = _matching_backward(low, call)
    if backward is not None:
        number, follower = backward
        upstream = _upstream(low, follower.inputs[0], follower)
        homes["upstream"] = upstream
        low.done.add(number)
    stage = low.stage_of(*homes.values())
    column = homes["loss"] = low.new_home(True, 1, stage)
    if backward is not None:
        (grad,) = backward[1].outputs
        assert grad is not None
        homes["grad"] = low.result(grad, stage)
        homes["grad"].adjacent = True
    low.emit_rows(stage, reads, lambda p: p.class_loss(stage, _native(call, homes, options)))
    out = low.result(result, stage)
    low.emit_whole(
        stage,
        (column, divisor),
        lambda p: p.class_loss_total(
            stage, column.number, options["reduction"], divisor.number, out.number
        ),
    )


def _matching_backward(low: Lowering, call: Call) -> tuple[int, Call] | None:
    """Return the backward call of the same loss on the same operands, whose upstream is known."""
    for number, other in enumerate(low.graph.calls):
        if (
            other.name == f"{call.name}_backward"
            and number not in low.done
            and other.inputs[1:] == call.inputs
            and dict(other.params) == dict(call.params)
            and other.inputs[0] is not None
            and other.inputs[0].kind == "constant"
        ):
            return number, other
    return None


@rule(*(f"{name}_backward" for name in CLASS_LOSSES))
def _class_loss_backward(low: Lowering, call: Call) -> None:
    options = _class_options(call)
    homes = _class_inputs(low, call, call.inputs[1:])
    (result,) = call.outputs
    assert result is not None
    if options["reduction"] == "none":
        homes["grad_output"] = _column(low, call.inputs[0], call)
    else:
        homes["divisor"] = _class_divisor(low, call, dict(homes), options)
        homes["upstream"] = _upstream(low, call.inputs[0], call)
    stage = low.stage_of(*homes.values())
    reads = tuple(homes.values())
    homes["grad"] = low.result(result, stage)
    homes["grad"].adjacent = True
    low.emit_rows(stage, reads, lambda p: p.class_loss(stage, _native(call, homes, options)))


# Element-wise.


def _operands(low: Lowering, call: Call, inputs: tuple[Value | None, ...]) -> dict[str, Any]:
    x, target, *further, sample_weight = inputs
    assert x is not None
    assert target is not None
    found: dict[str, Any] = {
        "name": call.name.removesuffix("_backward"),
        "input": low.rows(x, call),
        "target": low.rows(target, call),
        "extra": NOWHERE,
        "extra_array": NOWHERE,
        "extra_size": 0,
        "sample_weight": _column(low, sample_weight, call),
        "threshold": float(call.params.get("beta", call.params.get("delta", 1.0))),
        "eps": float(call.params.get("eps", 0.0)),
        "full": bool(call.params.get("full", False)),
        "log_input": bool(call.params.get("log_input", True)),
    }
    if further and further[0] is not None:
        if is_rows(further[0].shape):
            found["extra"] = low.rows(further[0], call)
            if found["extra"].columns != found["input"].columns:
                raise low.error(call, "has a variance for each sample, not for each element")
        else:
            found["extra_array"] = low.array(further[0], call)
            found["extra_size"] = found["extra_array"].columns
    return found


def _numbers(described: dict[str, Any]) -> dict[str, Any]:
    return {k: v.number if isinstance(v, Home) else v for k, v in described.items()}


def _homes(described: dict[str, Any]) -> tuple[Home, ...]:
    return tuple(v for v in described.values() if isinstance(v, Home))


def _element_divisor(low: Lowering, call: Call, described: dict[str, Any]) -> Home:
    weight = described["sample_weight"]
    if call.params["reduction"] != "mean" or weight is NOWHERE:
        return NOWHERE
    key = (call.inputs[-1], described["input"].columns)
    if key not in low.divisors:
        stage = weight.stage
        out = low.divisors[key] = low.new_home(False, 2, stage + 1)
        low.emit_whole(
            stage,
            (weight,),
            lambda p: p.elementwise_loss_divisor(stage, _numbers(described), out.number),
        )
    return low.divisors[key]


@rule(*ELEMENT_LOSSES)
def _element_loss(low: Lowering, call: Call) -> None:
    described = _operands(low, call, call.inputs)
    (result,) = call.outputs
    assert result is not None
    stage = low.stage_of(*_homes(described))
    reduction = call.params["reduction"]
    described["reduction"] = reduction
    out = low.result(result, stage)
    if reduction == "none":
        out.adjacent = True
        _emit_elements(low, stage, described, values=out)
        return
    low.emit_whole(
        stage,
        _homes(described),
        lambda p: p.elementwise_loss_total(stage, _numbers(described), out.number),
    )


def _emit_elements(low: Lowering, stage: int, described: dict[str, Any], **homes: Home) -> None:
    absent = ("divisor", "upstream", "grad_output", "values", "grad", "grad_extra")
    told = {**dict.fromkeys(absent, NOWHERE), **described, **homes}
    low.emit_rows(stage, _homes(told), lambda p: p.elementwise_loss(stage, _numbers(told)))


@rule(*(f"{name}_backward" for name in ELEMENT_LOSSES))
def _element_loss_backward(low: Lowering, call: Call) -> None:
    described = _operands(low, call, call.inputs[1:])
    reduction = described["reduction"] = call.params["reduction"]
    if reduction == "none":
        described["grad_output"] = low.rows(_first(call), call)
    else:
        described["divisor"] = _element_divisor(low, call, described)
        described["upstream"] = _upstream(low, call.inputs[0], call)
    stage = low.stage_of(*_homes(described))
    homes = {}
    for name, value in zip(("grad", "grad_extra"), call.outputs, strict=False):
        if value is not None:
            homes[name] = low.result(value, stage)
            homes[name].adjacent = True
    if "grad" not in homes:  # the kernel writes it in any case
        homes["grad"] = low.new_home(True, described["input"].columns, stage)
    _emit_elements(low, stage, described, **homes)


def _first(call: Call) -> Value:
    assert call.inputs[0] is not None
    return call.inputs[0]
