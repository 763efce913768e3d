"""What changes between two compiled steps is noticed."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
from compiled_steps import SIZES, bits, eager_step, network, samples, state_bits
from mlpeak import nn, optim
from mlpeak.optim.optimizer import Optimizer


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda step: pickle.loads(pickle.dumps(step))], ids=["copy", "pickle"]
)
def test_a_copied_step_goes_on_by_itself(copied: Callable[[Any], Any]) -> None:
    model = network((6, 5, 3))
    optimizer = optim.Adam(model.parameters())
    step = mlpeak.compile(model, nn.CrossEntropyLoss(), optimizer, accumulate=2, ema=0.9)
    x, y = samples((6, 5, 3), 30)
    for _ in range(3):  # the third one waits for its update
        step(x, y)
    other = copied(step)
    before = bits(model)
    for _ in range(3):
        other(x, y)
    assert bits(model) == before
    assert bits(other.model) != before
    for _ in range(3):
        step(x, y)
    assert bits(other.model) == bits(model)
    assert state_bits(other.optimizer) == state_bits(optimizer)
    for name, average in step.ema_state_dict().items():
        np.testing.assert_array_equal(other.ema_state_dict()[name], average, err_msg=name)


def test_a_copied_run_has_a_model_of_its_own() -> None:
    run = mlpeak.compile(network((6, 5, 3)))
    x, _ = samples((6, 5, 3), 5)
    want = run(x)
    for copied in (copy.deepcopy(run), pickle.loads(pickle.dumps(run))):
        np.testing.assert_array_equal(copied(x), want)
        assert copied.model is not run.model
    alias = copy.copy(run)
    assert alias.model is run.model
    np.testing.assert_array_equal(alias(x), want)


def test_replaced_parameter_starts_its_own_average_and_sum() -> None:
    sizes = (4, 3)
    model = network(sizes)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    step = mlpeak.compile(model, nn.CrossEntropyLoss(), optimizer, accumulate=2, ema=0.5)
    x, y = samples(sizes, 8)
    step(x, y)
    step(x, y)
    ids = set()
    for t in range(20):  # a tensor that is gone leaves its id to the next of its size
        new = nn.Parameter(mlpeak.from_numpy(np.full((3, 4), t, np.float32)))
        assert id(new) not in ids, "an average is kept by an id that is free again"
        ids.add(id(new))
        model[0].weight = new
        optimizer.param_groups[0]["params"] = list(model.parameters())
        optimizer.state.clear()
        del new
        gc.collect()
        step(x, y)
        step(x, y)
        now = model[0].weight._array
        found = step.ema_state_dict()["0.weight"]._array
        np.testing.assert_allclose(found, 0.5 * t + 0.5 * now, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("accumulate", "back"), [(2, 5), (2, 7), (3, 10)])
def test_a_layer_that_comes_back_brings_no_old_gradient(accumulate: int, back: int) -> None:
    """It is frozen after the first update and comes back between two others."""
    loss, sizes = nn.CrossEntropyLoss(), (4, 3, 3)
    pairs = []
    for _ in range(2):
        mlpeak.manual_seed(1)
        model = network(sizes)
        pairs.append((model, optim.SGD(model.parameters(), lr=0.1, momentum=0.9)))
    (model, optimizer), (eager, other) = pairs
    step = mlpeak.compile(model, loss, optimizer, accumulate=accumulate)
    for t in range(4 * accumulate):
        for each in (model, eager):
            each[0].weight.requires_grad_(not accumulate <= t < back)
        x, y = samples(sizes, 8 + t)
        step(x, y)
        loss(eager(mlpeak.from_numpy(x)), mlpeak.from_numpy(y)).backward()
        if (t + 1) % accumulate == 0:
            for p in eager.parameters():
                if p.grad is not None:
                    p.grad = mlpeak.from_numpy(p.grad._array / np.float32(accumulate))
            other.step()
            other.zero_grad()
    assert bits(model) == bits(eager)


def changed(what: Callable[[nn.Sequential, Optimizer], None]) -> None:
    """Train three steps, change something, train three more: compiled as eagerly."""
    sizes, loss = SIZES["edges"], nn.CrossEntropyLoss()
    x, y = samples(sizes, 30)
    pairs = []
    for _ in range(2):
        mlpeak.manual_seed(1)
        model = network(sizes)
        model.insert(1, nn.Dropout(0.3))
        pairs.append((model, optim.Adam(model.parameters(), lr=0.01)))
    (model, optimizer), (eager, other) = pairs
    step = mlpeak.compile(model, loss, optimizer)
    generator = mlpeak.get_rng_state()
    for t in range(6):
        if t == 3:
            what(model, optimizer)
        step(x, y)
    mlpeak.set_rng_state(generator)
    for t in range(6):
        if t == 3:
            what(eager, other)
        eager_step(eager, loss, other, x, y)
    assert bits(model) == bits(eager)
    assert state_bits(optimizer) == state_bits(other)


def _freeze(model: nn.Sequential, optimizer: Optimizer) -> None:
    for p in model[0].parameters():
        p.requires_grad_(False)


def _fill(model: nn.Sequential, optimizer: Optimizer) -> None:
    nn.init.ones_(model[0].weight)


def _through_data(model: nn.Sequential, optimizer: Optimizer) -> None:
    model[0].weight.data.mul_(0.5)


def _load(model: nn.Sequential, optimizer: Optimizer) -> None:
    other = copy.deepcopy(model)
    nn.init.constant_(other[0].weight, 0.1)
    model.load_state_dict(other.state_dict())


def _rate(model: nn.Sequential, optimizer: Optimizer) -> None:
    optimizer.param_groups[0]["lr"] = 0.1


def _schedule(model: nn.Sequential, optimizer: Optimizer) -> None:
    optim.lr_scheduler.StepLR(optimizer, 1, 0.5).step()


def _evaluate(model: nn.Sequential, optimizer: Optimizer) -> None:
    model.eval()


def _dropout(model: nn.Sequential, optimizer: Optimizer) -> None:
    model[1].p = 0.6


def _replace(model: nn.Sequential, optimizer: Optimizer) -> None:
    model[2] = nn.ReLU()


def _restore(model: nn.Sequential, optimizer: Optimizer) -> None:
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    optimizer.state[model[0].weight]["step"] = 7


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize(
    "what",
    [
        _freeze,
        _fill,
        _through_data,
        _load,
        _rate,
        _schedule,
        _evaluate,
        _dropout,
        _replace,
        _restore,
    ],
)
def test_change_between_steps_is_seen(what: Callable[[nn.Sequential, Optimizer], None]) -> None:
    changed(what)


def test_two_steps_on_one_model_see_each_other() -> None:
    sizes = SIZES["edges"]
    x, y = samples(sizes, 30)
    model, eager = network(sizes), network(sizes)
    optimizer, other = (optim.SGD(m.parameters(), lr=0.1) for m in (model, eager))
    loss = nn.CrossEntropyLoss()
    steps = [mlpeak.compile(model, loss, optimizer) for _ in range(2)]
    run = mlpeak.compile(model)
    for t in range(6):
        steps[t % 2](x, y)
        eager_step(eager, loss, other, x, y)
        assert run(x).tobytes() == eager(mlpeak.from_numpy(x))._array.tobytes(), f"step {t}"
    assert bits(model) == bits(eager)


def test_saved_graph_notices_a_compiled_step() -> None:
    sizes = SIZES["edges"]
    x, y = samples(sizes, 8)
    model = network(sizes)
    step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    step(x, y)
    inputs = mlpeak.from_numpy(x).requires_grad_()
    total = model(inputs).sum()
    step(x, y)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


def test_ignored_classes_change_the_mean() -> None:
    sizes, loss = SIZES["edges"], nn.CrossEntropyLoss(ignore_index=3)
    x, y = samples(sizes, 30)
    model, eager = network(sizes), network(sizes)
    optimizer, other = (optim.Adam(m.parameters()) for m in (model, eager))
    step = mlpeak.compile(model, loss, optimizer)
    for targets in (np.where(y == 3, 2, y), y, np.where(y == 3, 2, y)):
        assert step(x, targets) == eager_step(eager, loss, other, x, targets)
    assert bits(model) == bits(eager)
