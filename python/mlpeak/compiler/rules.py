"""How each call becomes an instruction: the layers, activations and losses of a network.

A rule takes the `Lowering` and the call. It may take in later calls that it fuses with (`done`).
Rules of shapes, arithmetic and sums are in `rules_arithmetic`, those of norms in `rules_norms`.
"""

from __future__ import annotations

from collections.abc import Callable

from mlpeak.compiler import gradients, rules_updates
from mlpeak.compiler.along import emit_along, emit_product
from mlpeak.compiler.graph import Call, RandomStep, Value
from mlpeak.compiler.layout import NOWHERE, Home, is_rows
from mlpeak.compiler.lower import Lowering
from mlpeak.compiler.maps import map_value
from mlpeak.ops.activations import ACTIVATIONS

__all__ = ["RULES", "finish", "rule"]

Rule = Callable[[Lowering, Call], None]
RULES: dict[str, Rule] = {}


#: The calls that take all dimensions before the last for one: a sample has several rows to them.
REPEATED = frozenset(
    [f"linear{part}" for part in ("", "_backward_input", "_backward_weight", "_backward_bias")]
    + [f"{n}{b}" for n in ("layer_norm", "rms_norm", "batch_norm", "softmax", "log_softmax")
       for b in ("", "_backward")]
)  # fmt: skip


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of calls with these names."""

    def add(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return add


#: The activations that run on any piece of a row, and so can be fused.
POINTWISE = {n: a for n, a in ACTIVATIONS.items() if n not in ("softmax", "log_softmax")}


def _params(call: Call, name: str) -> list[float]:
    return [float(call.params[key]) for key in ACTIVATIONS[name].defaults]


# Layers.


def _is_layer(x: Value, w: Value) -> bool:
    """Whether a product is of samples and a parameter, whose packed copies it can use."""
    return is_rows(x.shape) and w.kind in ("parameter", "buffer")


@rule("linear")
def _linear(low: Lowering, call: Call) -> None:
    x, w, b = call.inputs
    (y,) = call.outputs
    assert x is not None
    assert w is not None
    assert y is not None
    if not _is_layer(x, w):
        _linear_as_product(low, call)
        return
    source = low.rows(x, call, adjacent=False)
    weight = low.weight(w, call)
    weight.forward = True
    bias = None if b is None else low.array(b, call)
    stage = low.stage_of(source, weight.home, bias)
    name, params, pre = "identity", [], NOWHERE
    users = low.users.get(y.id, [])
    fused = next((n for n in users if low.graph.calls[n].name in POINTWISE), None)
    if call.params.get("activation", "identity") != "identity":
        raise low.error(call, "has an activation of its own")
    if fused is not None and fused not in low.done:
        follower = low.graph.calls[fused]
        name = follower.name
        params = _params(follower, name)
        low.done.add(fused)
        if len(users) > 1 or y.id in low.wanted:
            pre = low.result(y, stage)
        (z,) = follower.outputs
        assert z is not None
        home = low.result(z, stage)
        if pre is not NOWHERE:  # both are written by one tile, with one distance of rows
            low.tied.append((pre, home))
    else:
        home = low.result(y, stage)
    low.emit_rows(
        stage,
        (source, weight.home, bias),
        lambda p: p.linear(
            stage,
            weight.number,
            source.number,
            home.number,
            -1 if bias is None else bias.number,
            pre.number,
            name,
            params,
        ),
    )


def _linear_as_product(low: Lowering, call: Call) -> None:
    """Emit the product with a weight that is computed, then the sum with the bias."""
    x, w, b = call.inputs
    (y,) = call.outputs
    assert x is not None
    assert w is not None
    assert y is not None
    repeat, low.repeat = low.repeat, 1
    emit_product(low, call, x, w, y, transpose_b=True, layer=True)
    if b is not None:
        before = low.places.pop(y.id)
        map_value(low, call, "add", y, [(before, y.shape), (low.place(b, call), b.shape)])
    low.repeat = repeat


@rule("linear_backward_input")
def _linear_backward_input(low: Lowering, call: Call) -> None:
    g, w = call.inputs
    (gx,) = call.outputs
    assert g is not None
    assert w is not None
    assert gx is not None
    if not _is_layer(g, w):
        emit_product(low, call, g, w, gx)
        return
    grad = low.rows(g, call, adjacent=False)
    weight = low.weight(w, call)
    weight.backward = True
    name, params, saved = "identity", [], NOWHERE
    out = gx
    users = low.users.get(gx.id, [])
    if len(users) == 1 and gx.id not in low.wanted and users[0] not in low.done:
        follower = low.graph.calls[users[0]]
        base = follower.name.removesuffix("_backward")
        if follower.name.endswith("_backward") and base in POINTWISE and follower.inputs[0] is gx:
            kept = follower.inputs[1]
            assert kept is not None
            saved = low.rows(kept, follower, adjacent=False)
            name, params = base, _params(follower, base)
            low.done.add(users[0])
            assert follower.outputs[0] is not None
            out = follower.outputs[0]
    stage = low.stage_of(grad, weight.home, saved)
    home = low.result(out, stage)
    low.emit_rows(
        stage,
        (grad, weight.home, saved),
        lambda p: p.linear_backward_input(
            stage, weight.number, grad.number, home.number, saved.number, name, params
        ),
    )


@rule("linear_backward_weight")
def _linear_backward_weight(low: Lowering, call: Call) -> None:
    g, x = call.inputs
    (gw,) = call.outputs
    assert g is not None
    assert x is not None
    assert gw is not None
    if not is_rows(g.shape):
        emit_product(low, call, g, x, gw, transpose_a=True)
        return
    grad, source = low.rows(g, call, adjacent=False), low.rows(x, call, adjacent=False)
    weight = gradients.weight_of(low, gw)

    def emit(stage: int, gradient: Home, update: gradients.Update | None) -> None:
        low.emit_whole(
            stage,
            (grad, source),
            lambda p: p.linear_backward_weight(
                stage,
                weight.number,
                grad.number,
                source.number,
                gradient.number,
                *gradients.destination(low, update),
            ),
        )

    gradients.emit_gradient(low, gw, low.stage_of(grad, source), emit)


@rule("linear_backward_bias")
def _linear_backward_bias(low: Lowering, call: Call) -> None:
    (g,) = call.inputs
    (gb,) = call.outputs
    assert g is not None
    assert gb is not None
    if not is_rows(g.shape):
        emit_along(low, call, "sum", 0)
        return
    grad = low.rows(g, call, adjacent=False)

    def emit(stage: int, gradient: Home, update: gradients.Update | None) -> None:
        low.emit_whole(
            stage,
            (grad,),
            lambda p: p.linear_backward_bias(
                stage, grad.number, gradient.number, *gradients.destination(low, update)
            ),
        )

    gradients.emit_gradient(low, gb, low.stage_of(grad), emit)


# Activations and dropout.


def _activation(low: Lowering, call: Call) -> None:
    backward = call.name.endswith("_backward")
    name = call.name.removesuffix("_backward")
    adjacent = name not in POINTWISE
    first = call.inputs[0]
    kept = call.inputs[1] if backward else first
    assert first is not None
    assert kept is not None
    rows = is_rows(first.shape)
    if not rows and adjacent:
        axis = len(first.shape) - 1
        emit_along(low, call, call.name, axis, second=kept if backward else None)
        return
    x = low.rows(kept, call, adjacent) if rows else low.standard(kept, call)
    grad = NOWHERE
    if backward:
        grad = low.rows(first, call, adjacent) if rows else low.standard(first, call)
    stage = low.stage_of(x, grad)
    (result,) = call.outputs
    assert result is not None
    y = low.result(result, stage, whole=not rows)
    y.adjacent = y.adjacent or adjacent
    params = _params(call, name)
    low.once = 0 if rows else 2 if y.rows else 1
    emit = low.emit_rows if rows else low.emit_whole
    emit(
        stage,
        (x, grad),
        lambda p: p.activation(stage, name, params, backward, x.number, grad.number, y.number),
    )
    low.once = 0


for _name in ACTIVATIONS:
    RULES[_name] = RULES[f"{_name}_backward"] = _activation


@rule("dropout", "dropout_backward")
def _dropout(low: Lowering, call: Call) -> None:
    (value,) = call.inputs
    (result,) = call.outputs
    assert value is not None
    assert result is not None
    x = low.rows(value, call, adjacent=False)
    stage = x.stage
    y = low.result(result, stage)
    step = call.params["step"]
    assert isinstance(step, RandomStep)
    probability = float(call.params["p"])
    low.emit_rows(
        stage,
        (x,),
        lambda p: p.dropout(stage, probability, step.offset, x.number, y.number),
    )


def finish(low: Lowering) -> None:
    """Emit the updates: those that a gradient's own instruction does, then those of arrays."""
    gradients.settle(low)
    if low.update_once:
        rules_updates.finish(low)
        return
    updates = {id(update.tensor): update for update in low.updates}
    for value, stage, emit, repeat in low.pending:
        update = updates[id(low.tensor_of[value.id])]
        _, home = low.tensors[id(update.tensor)]
        gradients.states_of(low, update)
        low.repeat = repeat
        emit(low.update_stage(home, stage), NOWHERE, update)
        low.repeat = 1
        del updates[id(update.tensor)]
    for tensor, _ in low.graph.gradients:
        remaining = updates.get(id(tensor))
        if remaining is None:
            continue
        gradients.update_array(low, low.gradient_homes[id(tensor)], remaining)
    rules_updates.average(low)
