"""`mlpeak.compile`: one native call a step, with the bits of the eager step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
from compiled_steps import SIZES, bits, eager_step, good_step, network, samples, state_bits
from mlpeak import nn, optim
from mlpeak.optim.optimizer import Optimizer

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adam-decay": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.01),
    "amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: optim.RMSprop(p, momentum=0.5, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.1, lr_decay=0.1),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bits_equal_the_eager_step(name: str, sizes: tuple[int, ...], tier: str) -> None:
    loss = nn.CrossEntropyLoss()
    x, y = samples(sizes, 70)
    compiled, eager = network(sizes), network(sizes)
    optimizer, other = (OPTIMIZERS[name](m.parameters()) for m in (compiled, eager))
    step = mlpeak.compile(compiled, loss, optimizer)
    for t in range(6):
        count = (70, 1, 33)[t % 3]
        got = step(x[:count], y[:count])
        assert got == eager_step(eager, loss, other, x[:count], y[:count]), f"loss of step {t}"
        assert bits(compiled) == bits(eager), f"parameters after step {t}"
    assert state_bits(optimizer) == state_bits(other)


@pytest.mark.parametrize(
    ("sizes", "batch"),
    [
        ((300, 260, 200, 10), 192),
        ((530, 512, 10), 150),
        ((530, 512, 10), 40),
        ((150, 210, 10), 700),
        ((9, 150, 10), 700),
        ((54, 5000, 3), 20),
        ((150, 70, 10), 5000),
        ((2100, 50, 3), 20),
        ((70, 1100, 3), 20),
        ((260, 530, 3), 600),
    ],
    # the second, the third and the sixth weigh more than 1 MiB, the last half of that
    ids=[
        "small",
        "copies past the caches",
        "few rows",
        "blocks of the batch",
        "few inputs",
        "few inputs, copies past",
        "a batch larger than the caches",
        "more inputs than a part has",
        "more outputs than a part has",
        "blocks of the batch, weight beyond L2",
    ],
)
def test_bits_equal_on_every_tier_and_team(sizes: tuple[int, ...], batch: int) -> None:
    x, y = samples(sizes, batch)
    found = {}
    for name in mlpeak._core.tiers():
        for threads in (1, 2, 3, 4):
            mlpeak._core.select_tier(name)
            mlpeak.set_num_threads(threads)
            model = network(sizes)
            step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
            for _ in range(4):
                step(x, y)
            found[name, threads] = bits(model)
    first = next(iter(found.values()))
    assert [key for key, value in found.items() if value != first] == []


@pytest.mark.parametrize("clip_norm", [None, 0.05])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_clipping_and_accumulation_equal_the_eager_loop(
    clip_norm: float | None, accumulate: int
) -> None:
    sizes, loss = SIZES["edges"], nn.CrossEntropyLoss()
    x, y = samples(sizes, 40)
    compiled, eager = network(sizes), network(sizes)
    optimizer, other = (optim.Adam(m.parameters(), lr=0.01) for m in (compiled, eager))
    step = mlpeak.compile(compiled, loss, optimizer, clip_norm=clip_norm, accumulate=accumulate)
    for t in range(9):
        rows = slice(t, t + 20 + t)
        assert step(x[rows], y[rows]) == eager_step(eager, loss, other, x[rows], y[rows], False)
        if (t + 1) % accumulate == 0:
            for p in eager.parameters():
                assert p.grad is not None
                p.grad = mlpeak.from_numpy(p.grad._array / np.float32(accumulate))
            if clip_norm is not None:
                nn.utils.clip_grad_norm_(eager.parameters(), clip_norm)
            other.step()
            other.zero_grad()
        assert bits(compiled) == bits(eager), f"parameters after step {t}"
    assert state_bits(optimizer) == state_bits(other)


def test_moving_average_is_that_of_the_formula() -> None:
    sizes = SIZES["edges"]
    x, y = samples(sizes, 30)
    model = network(sizes)
    step = mlpeak.compile(
        model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), ema=0.9
    )
    wanted = [p._array.copy() for p in model.parameters()]
    for _ in range(5):
        step(x, y)
        for average, p in zip(wanted, model.parameters(), strict=True):
            average += (p._array - average) * np.float32(1 - 0.9)
    got = [step.options.averages[p] for p in model.parameters()]
    assert [a.tobytes() for a in got] == [a.tobytes() for a in wanted]


@pytest.mark.parametrize("dtype", ["float64", "uint8", "int16"])
def test_data_of_another_dtype_is_converted(dtype: str) -> None:
    sizes = (6, 5, 3)
    x = np.random.default_rng(0).integers(0, 100, (20, 6)).astype(dtype)
    _, y = samples(sizes, 20)
    losses = []
    for data in (x, x.astype(np.float32)):
        model = network(sizes)
        step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
        losses.append([step(data, y.astype(np.int8)) for _ in range(3)])
    assert losses[0] == losses[1]


def test_forward_writes_into_out() -> None:
    model = network((6, 5, 3))
    run = mlpeak.compile(model)
    x, _ = samples((6, 5, 3), 9)
    wanted = model(mlpeak.from_numpy(x))._array
    out = np.empty((9, 3), np.float32)
    for _ in range(2):  # by the slow way and by the quick one
        out[...] = 0
        assert run(x, out) is out
        assert out.tobytes() == wanted.tobytes()
    many = np.repeat(x, 50, 0)
    assert run.predict(many, batch_size=64).tobytes() == np.repeat(wanted, 50, 0).tobytes()
    for bad in (np.empty((9, 4), np.float32), np.empty((9, 3)), np.empty((3, 9), np.float32).T):
        with pytest.raises((TypeError, ValueError), match="run: out"):
            run(x, bad)


def test_explain_names_what_runs_and_its_time() -> None:
    step, _, x, y = good_step()
    with pytest.raises(RuntimeError, match="no step was made"):
        step.explain()
    step(x, y)
    assert "linear 6 -> 5 + bias + tanh" in step.explain()
    assert "batch 10," in step.explain()
    step(x[:3], y[:3])
    assert "batch 3," in step.explain()
    assert "us a step" not in step.explain()
    with step.profile():
        for _ in range(5):
            step(x, y)
    assert "of 5 steps" in step.explain()
