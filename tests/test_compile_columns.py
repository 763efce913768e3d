"""Layers that a team shares by columns leave the bits of one thread and of the eager step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
from capture_cases import CLASS
from compiled_steps import check_steps
from mlpeak import nn, optim
from mlpeak.compiler import Spec

#: From 128 outputs on, two threads share a layer by columns, from 192 on three.
THREADS = [2, 3]


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 3))


def deep() -> nn.Module:
    return nn.Sequential(
        nn.Linear(300, 200), nn.Tanh(), nn.Linear(200, 260), nn.GELU(), nn.Linear(260, 193),
        nn.ReLU(), nn.Linear(193, 3),
    )  # fmt: skip


def narrow() -> nn.Module:
    """Of the second layer only the forward product has enough columns."""
    return nn.Sequential(
        nn.Linear(300, 40), nn.Tanh(), nn.Linear(40, 260), nn.ReLU(), nn.Linear(260, 3)
    )


class Between(nn.Module):
    """Products by columns with norms, dropout and a residual sum by rows between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(300, 240), nn.Linear(240, 240)
        self.norm, self.last = nn.LayerNorm(240), nn.Linear(240, 3, bias=False)

    def forward(self, x: Any) -> Any:
        h = nn.functional.dropout(self.first(x).relu(), 0.2)
        return self.last(self.norm(nn.functional.silu(self.second(h)) + h))


def batch_norm_first() -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(300), nn.Linear(300, 200), nn.Sigmoid(), nn.Linear(200, 3))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "plain": plain,
    "deep": deep,
    "few inputs": narrow,
    "rows between": Between,
    "batch norm first": batch_norm_first,
}


def columns_of(step: Any) -> list[str]:
    """The instructions of a compiled step that its threads share by columns."""
    return [line for line in step.explain().splitlines() if line.split()[1:2] == ["columns"]]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["fp32", "fp64"])
def test_columns_leave_the_bits_of_the_eager_step(name: str, threads: int, dtype: Any) -> None:
    mlpeak.set_num_threads(threads)
    x = Spec((300,))
    # the last batch of each run is smaller, and may be shared by rows
    steps = check_steps(
        MODELS[name],
        nn.CrossEntropyLoss,
        [x],
        [CLASS],
        dtype=dtype,
        sizes=((10, 4), (42, 40), (110, 48)),
    )
    assert "columns" in [line[1] for line in steps.program.lines(48)]


@pytest.mark.parametrize("threads", THREADS)
def test_a_layer_on_several_rows_a_sample(threads: int) -> None:
    def pieces() -> nn.Module:
        return nn.Sequential(
            nn.Linear(75, 200), nn.ReLU(), nn.Linear(200, 192), nn.Flatten(), nn.Linear(4 * 192, 3)
        )

    mlpeak.set_num_threads(threads)
    inputs = [Spec((4, 75))]
    steps = check_steps(pieces, nn.CrossEntropyLoss, inputs, [CLASS], sizes=((10, 4), (110, 48)))
    assert "columns" in [line[1] for line in steps.program.lines(48)]


@pytest.mark.parametrize(
    "options", [{"clip_norm": 0.1}, {"accumulate": 2}], ids=["clip", "accumulate"]
)
def test_gradients_that_are_kept(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 300)).astype(np.float32)
    y = rng.integers(0, 3, 90)
    found = []
    for threads in (1, *THREADS):
        mlpeak.set_num_threads(threads)
        mlpeak.manual_seed(5)
        model = deep()
        step = mlpeak.compile(
            model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-3), **options
        )
        for first in (0, 30, 60, 0):
            step(x[first : first + 30], y[first : first + 30])
        assert bool(columns_of(step)) == (threads > 1)
        found.append([p.detach().numpy().tobytes() for p in model.parameters()])
    assert found[1:] == found[:1] * len(THREADS)


def test_bits_of_many_steps_do_not_depend_on_tier_or_threads(tier: str) -> None:
    """An epoch in one call, gathered and shuffled, on teams that may lend each other units."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 784)).astype(np.float32)
    y = rng.integers(0, 10, 400)
    found = []
    for threads in (1, 2, 3, 4):
        mlpeak.set_num_threads(threads)
        mlpeak.manual_seed(5)
        model = nn.Sequential(
            nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
        )
        step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
        step.fit(x, y, epochs=2, batch_size=48, progress=False)
        found.append([p.detach().numpy().tobytes() for p in model.parameters()])
    assert found[1:] == found[:1] * 3


def test_what_is_shared_by_columns() -> None:
    """Large weights, but neither few columns for a thread nor more activations than weights."""
    cases = {
        # sizes, batch, threads: how many products
        ((784, 128, 10), 32, 2): 1,
        ((784, 128, 10), 32, 1): 0,
        ((784, 128, 10), 32, 3): 0,  # fewer than 64 columns each
        ((784, 512, 512, 10), 128, 2): 3,
        ((784, 512, 512, 10), 4000, 2): 0,
        ((32, 64, 64, 1), 128, 2): 0,
    }
    for (sizes, batch, threads), count in cases.items():
        mlpeak.set_num_threads(threads)
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
        model = nn.Sequential(*(m for layer in layers for m in (layer, nn.ReLU())))
        step = mlpeak.compile(model, nn.MSELoss(), optim.Adam(model.parameters()))
        x = np.zeros((batch, sizes[0]), np.float32)
        step(x, np.zeros((batch, sizes[-1]), np.float32))
        assert len(columns_of(step)) == count, (sizes, batch, threads)
