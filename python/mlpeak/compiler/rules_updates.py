"""What happens to gradients that wait for their update: sums over steps, clipping, averages.

Everything from `Lowering.update_stage_of_all` on runs once in `accumulate` steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlpeak._types import Array
from mlpeak.compiler.layout import Home

if TYPE_CHECKING:
    from mlpeak.compiler.lower import Lowering

__all__ = ["average", "finish"]

#: Elements whose squares are added into one number, as the native ``kSumChunk``.
SUM_CHUNK = 4096


def finish(low: Lowering) -> None:
    """Emit the update of all parameters from gradients in arrays, in stages of their own."""
    updates = {id(update.tensor): update for update in low.updates}
    gradients: list[tuple[Home, int, object]] = []
    for tensor, value in low.graph.gradients:
        update = updates.get(id(tensor))
        if update is None or low.home_of(tensor) is None:
            continue
        home, size = low.places[value.id].home, tensor.numel()
        if low.accumulate > 1:
            home = _sum(low, home, low.sums[id(tensor)])
        gradients.append((home, size, update))
    stage = max((stage for stage, _ in low.emitted), default=0) + 1
    low.first_update_stage = stage
    if low.clip_norm is not None:
        stage = _clip(low, [(home, size) for home, size, _ in gradients], stage)
    for home, _, update in gradients:
        home.stage = stage
        low.update_array(home, update)
    average(low)


def _sum(low: Lowering, gradient: Home, array: Array) -> Home:
    """Emit the sum of a gradient over the steps that share an update, in `array`."""
    stage, size = gradient.stage, array.size
    total = low.new_home(False, size, stage + 1)
    low.arrays.append((total, array))
    low.emit_whole(
        stage, (gradient,), lambda p: p.gradient_sum(stage, gradient.number, size, total.number)
    )
    return total


def _clip(low: Lowering, gradients: list[tuple[Home, int]], stage: int) -> int:
    """Emit the scaling of all gradients by one factor; return the stage after it."""
    partials = []
    for home, size in gradients:
        partial = low.new_home(False, -(-size // SUM_CHUNK), stage + 1)
        partials.append(partial)
        low.emit_whole(
            stage,
            (home,),
            lambda p, h=home, n=size, out=partial: p.square_sums(stage, h.number, n, out.number),
        )
    factor = low.new_home(False, 1, stage + 2)
    sizes = [-(-size // SUM_CHUNK) for _, size in gradients]
    low.emit_whole(
        stage + 1,
        tuple(partials),
        lambda p: p.clip_factor(
            stage + 1, [h.number for h in partials], sizes, low.clip_norm, factor.number
        ),
    )
    for home, size in gradients:
        low.emit_whole(
            stage + 2,
            (factor,),
            lambda p, h=home, n=size: p.scale(stage + 2, h.number, n, factor.number),
        )
    return stage + 3


def average(low: Lowering) -> None:
    """Emit the moving averages of the parameters, after all updates."""
    if low.ema is None:
        return
    stage = max((stage for stage, _ in low.emitted), default=0) + 1
    for update in low.updates:
        home = low.home_of(update.tensor)
        if home is None:
            continue
        array = low.averages[id(update.tensor)]
        kept = low.new_home(False, array.size, 0)
        low.arrays.append((kept, array))
        low.emit_whole(
            stage,
            (home,),
            lambda p, h=home, n=array.size, to=kept: p.moving_average(
                stage, h.number, n, to.number, low.ema
            ),
        )
