"""`mlpeak.compile`: one native call a step, with the bits of the eager step."""

from __future__ import annotations

import copy
import gc
import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
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

#: 13 to 18 columns need the edges of a register tile on every tier; 530 inputs two blocks of k, and
#: for 33 or 70 samples, not for one, a forward product that reads the weight as it is;
#: 5 inputs the transposed weight gradient.
SIZES = {"edges": (13, 18, 17, 7), "blocks": (530, 300, 5), "few inputs": (5, 70, 3)}


def network(sizes: tuple[int, ...], seed: int = 1) -> nn.Sequential:
    mlpeak.manual_seed(seed)
    layers: list[nn.Module] = []
    for into, out in itertools.pairwise(sizes):
        layers += [nn.Linear(into, out), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def samples(sizes: tuple[int, ...], count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, sizes[0]), dtype=np.float32)
    return x, rng.integers(0, sizes[-1], count)


def eager_step(
    model: nn.Module, loss: Any, optimizer: Optimizer, x: Any, y: Any, update: bool = True
) -> float:
    value = loss(model(mlpeak.from_numpy(x)), mlpeak.from_numpy(y))
    value.backward()
    if update:
        optimizer.step()
        optimizer.zero_grad()
    return float(value.item())


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: p._array.tobytes() for name, p in model.named_parameters()}


def state_bits(optimizer: Optimizer) -> Any:
    state = optimizer.state_dict()["state"]
    return {
        number: {k: v if isinstance(v, int) else v._array.tobytes() for k, v in values.items()}
        for number, values in state.items()
    }


# The same bits.


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
    ],
    # the second, the third and the last weigh more than 1 MiB
    ids=[
        "small",
        "copies past the caches",
        "few rows",
        "blocks of the batch",
        "few inputs",
        "few inputs, copies past",
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


# What changes between two steps is noticed.


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


# Wrong input changes nothing.


def good_step() -> tuple[Any, nn.Sequential, Any, Any]:
    sizes = (6, 5, 3)
    model = network(sizes)
    step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    x, y = samples(sizes, 10)
    return step, model, x, y


WRONG: dict[str, tuple[Callable[[Any, Any], tuple[Any, ...]], type[Exception], str]] = {
    "class beyond": (lambda x, y: (x, y + 3), ValueError, r"expected integers in \[0, 3\)"),
    "class negative": (lambda x, y: (x, y - 5), ValueError, r"y holds -"),
    "fewer targets": (lambda x, y: (x, y[:-1]), ValueError, "y has 9 samples; expected 10"),
    "no samples": (lambda x, y: (x[:0], y[:0]), ValueError, "no samples"),
    "columns": (lambda x, y: (x[:, :5], y), ValueError, "5"),
    "complex": (lambda x, y: (x.astype(complex), y), TypeError, "complex128"),
    "text": (lambda x, y: (np.array(["a"] * 10), y), TypeError, "<U1"),
    "number": (lambda x, y: (1.0, y), ValueError, r"shape \(\)"),
    "two inputs": (lambda x, y: ((x, x), y), TypeError, "positional argument"),
    "weights of a matrix": (lambda x, y: (x, y, x), ValueError, "sample_weight has shape"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("warm", [False, True], ids=["first", "later"])
def test_wrong_input_is_refused_and_changes_nothing(name: str, warm: bool) -> None:
    make, error, text = WRONG[name]
    step, model, x, y = good_step()
    if warm:
        step(x, y)
    before = bits(model)
    with pytest.raises(error, match=text):
        step(*make(x, y))
    assert bits(model) == before


def test_arguments_of_compile_are_checked() -> None:
    model = nn.Linear(2, 1)
    loss, optimizer = nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1)
    anything: Any = mlpeak.compile
    with pytest.raises(TypeError, match=r"model is int; expected an nn\.Module"):
        anything(3)
    with pytest.raises(TypeError, match="optimizer is missing"):
        anything(model, loss)
    with pytest.raises(TypeError, match="optimizer is str"):
        anything(model, loss, "adam")
    for name, value in {"clip_norm": -1, "accumulate": 0, "ema": 1.5, "precision": "fp8"}.items():
        with pytest.raises(ValueError, match=f"compile: {name} is"):
            anything(model, loss, optimizer, **{name: value})


def test_branch_on_data_names_the_module_and_the_eager_way() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 1)

        def forward(self, x: Any) -> Any:
            y = self.inner(x)
            return y if float(y.sum().item()) > 0 else -y

    model = Branching()
    step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(mlpeak.CompileError, match=r"(?s)Branching.*loss\.backward"):
        step(np.ones((3, 2), np.float32), np.ones((3, 1), np.float32))


# Steady state.


def test_steady_steps_allocate_nothing_that_stays() -> None:
    step, _, x, y = good_step()
    for _ in range(10):
        step(x, y)
    gc.collect()
    tracemalloc.start()
    try:
        step(x, y)
        before = tracemalloc.take_snapshot()
        for _ in range(200):
            step(x, y)
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    grown = sum(max(0, s.size_diff) for s in after.compare_to(before, "filename"))
    assert grown < 4096, f"{grown} bytes remain of 200 steps"


@pytest.mark.parametrize("warm", [False, True])
def test_errors_name_what_was_called(warm: bool) -> None:
    mlpeak.manual_seed(0)
    model = nn.Sequential(nn.Embedding(3, 2), nn.Flatten())
    step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    run = mlpeak.compile(model)
    x, y = np.zeros((4, 1), np.int64), np.zeros(4, np.int64)
    if warm:
        step(x, y)
        run(x)
    calls: dict[str, Callable[[Any], Any]] = {
        "step: x": lambda wrong: step(wrong, y),
        "fit: X": lambda wrong: step.fit(wrong, y, epochs=1, batch_size=2),
        "run: x": run,
        "predict: X": run.predict,
    }
    wrongs = [(x + 3, "holds 3"), (x[:0], "has"), (x[0, 0], "has shape"), (x + 1j, "has dtype")]
    for start, call in calls.items():
        for wrong, text in wrongs:
            with pytest.raises((TypeError, ValueError)) as raised:
                call(wrong)
            message = str(raised.value)
            # what differs from the others is named: y, where x has no samples
            assert message.startswith((f"{start} {text}", f"{start[:-1]}y has 4 samples")), message


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
    assert "us a step" not in step.explain()
    with step.profile():
        for _ in range(5):
            step(x, y)
    assert "of 5 steps" in step.explain()
