"""Operands that are spread over others, or lie apart, in compiled steps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpeak
from capture_cases import Y3
from compiled_steps import check_steps
from mlpeak import nn
from mlpeak.compiler import Spec

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


class Spread(nn.Module):
    def __init__(self, spread: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.spread = spread

    def forward(self, x: Any) -> Any:
        return self.spread(self.layer(x))


SPREADS: dict[str, Callable[[Any], Any]] = {
    "minus the first column": lambda v: v - v[:, :1],
    "minus the second column": lambda v: v - v[:, 1:2],
    "by the first column": lambda v: v[:, :1] * v,
    "the first column by itself": lambda v: v * (v[:, :1] * v[:, :1]),
    "by the first of each row": lambda v: (v.reshape(-1, 3, 1) * v.reshape(-1, 1, 3)).sum(2),
}


@DTYPES
@pytest.mark.parametrize("name", SPREADS)
def test_a_column_is_spread_over_the_others(name: str, dtype: Any) -> None:
    check_steps(lambda: Spread(SPREADS[name]), nn.MSELoss, [Spec((3,))], [Y3], dtype=dtype)


DEEPER = """
import numpy as np, mlpeak
from mlpeak import nn, optim
mlpeak.set_num_threads(1)
for columns in (200, 1000):
    for samples in (513, 1025, 813):
        model = nn.Linear(4, 2)
        optimizer = optim.SGD(model.parameters(), lr=1e-3)
        step = mlpeak.compile(
            model, lambda out, y: out.square().mean() * (y.t() @ y).mean(), optimizer
        )
        x, y = np.ones((samples, 4), np.float32), np.ones((samples, columns), np.float32)
        step.fit(x, y, epochs=2, batch_size=513, shuffle=False)
"""


def test_a_product_over_a_smaller_last_batch_has_room_for_its_deeper_blocks(tier: str) -> None:
    # 513 samples are two blocks of 272, 512 and 300 are one: 240 rows more of a packed matrix
    done = subprocess.run(
        [sys.executable, "-c", DEEPER], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(mlpeak.__file__).parents[1]), "MLPEAK_ISA": tier},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


class Total(nn.Module):
    """A loss whose gradient is the same number everywhere."""

    def __init__(self, mean: bool) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, output: Any) -> Any:
        return output.mean() if self.mean else output.sum()


@DTYPES
@pytest.mark.parametrize("mean", [True, False], ids=["mean", "sum"])
@pytest.mark.parametrize(("rows", "out"), [(14, 2), (5, 4), (3, 4), (2, 3)])
def test_constant_gradient_of_several_rows_a_sample(
    rows: int, out: int, mean: bool, dtype: Any
) -> None:
    check_steps(lambda: nn.Linear(8, out), Total(mean), [Spec((rows, 8))], [], dtype=dtype)


class Unread(nn.Module):
    """A layer that reads one of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Any, unread: Any) -> Any:
        return self.layer(x)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_what_nobody_reads_may_be_of_any_dtype(dtype: Any) -> None:
    model = Unread()
    step = mlpeak.compile(
        model, lambda o, y: (o * o).mean(), mlpeak.optim.SGD(model.parameters(), lr=0.1)
    )
    x, other = np.ones((6, 3), np.float32), np.ones((6, 2), dtype)
    losses = [step((x, other), other) for _ in range(3)]
    assert losses[0] > losses[1] > losses[2]
    history = step.fit(
        (x, other), other, epochs=2, batch_size=4, validation_data=((x, other), other),
        progress=False,
    )  # fmt: skip
    assert len(history.validation_loss) == 2
