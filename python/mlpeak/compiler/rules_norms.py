"""How the normalisations become instructions.

Row norms run by rows; the gradients of their weights are sums over all rows that follow. Batch norm
takes its statistics from all rows first, so what reads its result is a stage later.
"""

from __future__ import annotations

import numpy as np

from mlpeak.compiler import gradients
from mlpeak.compiler.graph import Call, Value
from mlpeak.compiler.layout import NOWHERE, Home
from mlpeak.compiler.lower import Lowering
from mlpeak.compiler.rules import rule


def _array(low: Lowering, value: Value | None, call: Call) -> Home:
    return NOWHERE if value is None else low.array(value, call)


def _rows(low: Lowering, value: Value | None, call: Call) -> Home:
    return NOWHERE if value is None else low.rows(value, call)


def _needed(low: Lowering, value: Value | None) -> bool:
    return value is not None and (value.id in low.users or value.id in low.wanted)


def _sum_home(low: Lowering, value: Value | None, stage: int) -> Home:
    """Return where a gradient of a weight goes; nowhere if nobody wants it."""
    if value is None or not _needed(low, value):
        return NOWHERE
    return low.result(value, stage)


# Row norms.


@rule("layer_norm", "rms_norm")
def _row_norm(low: Lowering, call: Call) -> None:
    x = _rows(low, call.inputs[0], call)
    weight = _array(low, call.inputs[1], call)
    layer = call.name == "layer_norm"
    bias = _array(low, call.inputs[2], call) if layer else NOWHERE
    given = call.params["eps"]
    eps = float(np.finfo(low.dtype).eps if given is None else given)
    stage = low.stage_of(x, weight, bias)
    homes = []
    for value in call.outputs:
        assert value is not None
        homes.append(low.result(value, stage))
        homes[-1].adjacent = True
    y, mean, rstd = homes if layer else (homes[0], NOWHERE, homes[1])
    low.emit_rows(
        stage,
        (x, weight, bias),
        lambda p: p.row_norm(
            stage, False, eps, x.number, -1, weight.number, bias.number, mean.number, rstd.number,
            y.number,
        ),
    )  # fmt: skip


@rule("layer_norm_backward", "rms_norm_backward")
def _row_norm_backward(low: Lowering, call: Call) -> None:
    layer = call.name == "layer_norm_backward"
    grad, x = (_rows(low, value, call) for value in call.inputs[:2])
    weight = _array(low, call.inputs[2], call)
    mean = _rows(low, call.inputs[3], call) if layer else NOWHERE
    rstd = _rows(low, call.inputs[-1], call)
    stage = low.stage_of(grad, x, weight, mean, rstd)
    if _needed(low, call.outputs[0]):
        assert call.outputs[0] is not None
        grad_x = low.result(call.outputs[0], stage)
        grad_x.adjacent = True
        low.emit_rows(
            stage,
            (grad, x, weight, mean, rstd),
            lambda p: p.row_norm(
                stage, True, 0.0, x.number, grad.number, weight.number, -1, mean.number,
                rstd.number, grad_x.number,
            ),
        )  # fmt: skip
    values = [v for v in call.outputs[1:] if v is not None and _needed(low, v)]
    if not values:
        return
    homes: dict[int, tuple[Home, gradients.Update | None]] = {}

    def emit(stage: int, gradient: Home, update: gradients.Update | None) -> None:
        for _, other in homes.values():
            if other is not None:
                stage = low.update_stage(low.tensors[id(other.tensor)][1], stage)
        low.emit_whole(
            stage,
            (grad, x, mean, rstd),
            lambda p: p.row_norm_sums(
                stage, x.number, grad.number, mean.number, rstd.number,
                *(_destination(low, v, homes) for v in (*call.outputs[1:], None)[:2]),
            ),
        )  # fmt: skip

    if all(gradients.updates_at_once(low, value) for value in values):
        for number, value in enumerate(values):
            homes[value.id] = NOWHERE, gradients.update_of(low, value)
            # the first one's instruction is that of both
            gradients.emit_gradient(low, value, stage, emit if number == 0 else lambda *_: None)
        return
    for value in values:
        homes[value.id] = low.result(value, stage), None
    emit(stage, NOWHERE, None)


def _destination(
    low: Lowering, value: Value | None, homes: dict[int, tuple[Home, gradients.Update | None]]
) -> tuple[int, int, int, list[int]]:
    """Return where a gradient goes as the program is told it."""
    if value is None or value.id not in homes:
        return -1, -1, -1, []
    home, update = homes[value.id]
    return home.number, *gradients.destination(low, update)


# Batch norm.


@rule("batch_norm")
def _batch_norm(low: Lowering, call: Call) -> None:
    x = _rows(low, call.inputs[0], call)
    weight, bias, running_mean, running_var = (_array(low, v, call) for v in call.inputs[1:5])
    training = bool(call.params["training"])
    eps, momentum = float(call.params["eps"]), call.params["momentum"]
    momentum = 0.0 if momentum is None else float(momentum)
    value, mean_value, rstd_value = call.outputs
    assert value is not None
    assert mean_value is not None
    assert rstd_value is not None
    running = (running_mean, running_var)
    if training:
        stage = low.stage_of(x, *running)
        if running_mean is not NOWHERE:
            stage = max(low.update_stage(home, stage) for home in running)
    else:
        changing = any(running_mean is h or running_var is h for h in low.updated)
        stage = low.stage_of(*running) if changing else -1
    mean, rstd = low.result(mean_value, stage), low.result(rstd_value, stage)
    if training:
        low.least_batch = max(low.least_batch, 1 if low.repeat > 1 else 2)
        low.emit_whole(
            stage,
            (x, *running),
            lambda p: p.batch_statistics(
                stage, x.number, momentum, eps, running_mean.number, running_var.number,
                mean.number, rstd.number,
            ),
        )  # fmt: skip
        for home in running:
            if home is not NOWHERE:
                home.stage = stage + 1  # who reads it from here on reads what it is now
                low.updated.append(home)
    else:
        features = x.columns // low.repeat
        low.emit_whole(
            stage,
            running,
            lambda p: p.running_statistics(
                stage, features, eps, running_mean.number, running_var.number, mean.number,
                rstd.number,
            ),
        )  # fmt: skip
    then = low.stage_of(x, weight, bias, mean, rstd)
    y = low.result(value, then)
    y.adjacent = True
    low.emit_rows(
        then,
        (x, weight, bias, mean, rstd),
        lambda p: p.batch_norm(
            then, False, x.number, -1, weight.number, bias.number, mean.number, rstd.number, -1, -1,
            y.number,
        ),
    )  # fmt: skip


@rule("batch_norm_backward")
def _batch_norm_backward(low: Lowering, call: Call) -> None:
    grad, x = (_rows(low, value, call) for value in call.inputs[:2])
    weight, mean, rstd = (_array(low, value, call) for value in call.inputs[2:5])
    training = bool(call.params["training"])
    stage = low.stage_of(grad, x, mean, rstd)
    grad_weight, grad_bias = (_sum_home(low, value, stage) for value in call.outputs[1:3])
    means = (NOWHERE, NOWHERE)
    value = call.outputs[0]
    if training and _needed(low, value):
        features = x.columns // low.repeat
        means = low.new_home(False, features, stage + 1), low.new_home(False, features, stage + 1)
    if any(home is not NOWHERE for home in (grad_weight, grad_bias, *means)):
        low.emit_whole(
            stage,
            (grad, x, mean, rstd),
            lambda p: p.batch_norm_sums(
                stage, x.number, grad.number, mean.number, rstd.number, grad_weight.number,
                grad_bias.number, means[0].number, means[1].number,
            ),
        )  # fmt: skip
    if not _needed(low, value):
        return
    assert value is not None
    then = low.stage_of(grad, x, weight, mean, rstd, *means)
    grad_x = low.result(value, then)
    grad_x.adjacent = True
    low.emit_rows(
        then,
        (grad, x, weight, mean, rstd),
        lambda p: p.batch_norm(
            then, True, x.number, grad.number, weight.number, -1, mean.number, rstd.number,
            means[0].number, means[1].number, grad_x.number,
        ),
    )  # fmt: skip
