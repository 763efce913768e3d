"""What happens to gradients that wait for their update: sums over steps, clipping, averages.

Everything from `Lowering.first_update_stage` on runs once in `accumulate` steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlpeak._types import Array
from mlpeak.compiler.gradients import Update, update_array
from mlpeak.compiler.layout import Home

if TYPE_CHECKING:
    from mlpeak.compiler.lower import Lowering

__all__ = ["average", "finish"]

#: Elements whose squares are added into one number, as the native ``kSumChunk``.
SUM_CHUNK = 4096


def finish(low: Lowering) -> None:
    """Emit the update of all parameters from gradients in arrays, in stages of their own."""
    updates = {id(update.tensor): update for update in low.updates}
    gradients: list[tuple[Home, Update]] = []
    for tensor, _ in low.graph.gradients:
        update = updates.get(id(tensor))
        if update is None or low.home_of(tensor) is None:
            continue
        home = low.gradient_homes[id(tensor)]
        if low.accumulate > 1:
            home = _sum(low, home, low.sums[id(tensor)])
        gradients.append((home, update))
    stage = low.last_stage() + 1
    low.first_update_stage = stage
    if low.clip_norm is not None:
        stage = _clip(low, [(home, u.tensor.numel()) for home, u in gradients], stage)
    for home, update in gradients:
        home.stage = stage
        update_array(low, home, update)
    average(low)


def _sum(low: Lowering, gradient: Home, array: Array) -> Home:
    """Emit the sum of a gradient over the steps that share an update, in `array`."""
    total = low.new_home(False, array.size, gradient.stage + 1)
    low.arrays.append((total, array))
    low.whole(gradient.stage, (gradient,), "gradient_sum", gradient, array.size, total)
    return total


def _clip(low: Lowering, gradients: list[tuple[Home, int]], stage: int) -> int:
    """Emit the scaling of all gradients by one factor; return the stage after it."""
    sizes = [-(-size // SUM_CHUNK) for _, size in gradients]
    partials = [low.new_home(False, size, stage + 1) for size in sizes]
    for (home, size), partial in zip(gradients, partials, strict=True):
        low.whole(stage, (home,), "square_sums", home, size, partial)
    factor = low.new_home(False, 1, stage + 2)
    low.whole(stage + 1, tuple(partials), "clip_factor", partials, sizes, low.clip_norm, factor)
    for home, size in gradients:
        low.whole(stage + 2, (factor,), "scale", home, size, factor)
    return stage + 3


def average(low: Lowering) -> None:
    """Emit the moving averages of the parameters, after all updates."""
    if low.ema is None:
        return
    stage = low.last_stage() + 1
    for update in low.updates:
        home = low.home_of(update.tensor)
        if home is None:
            continue
        array = low.averages[id(update.tensor)]
        kept = low.new_home(False, array.size, 0)
        low.arrays.append((kept, array))
        low.whole(stage, (home,), "moving_average", home, array.size, kept, low.ema)
