"""What a compiled forward pass returns: any tensors, and the same on every team of threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
from compiled_steps import network
from mlpeak import nn


class Returning(nn.Module):
    """A model that returns what a function makes of it and of x."""

    def __init__(self, make: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        mlpeak.manual_seed(0)
        self.layer = nn.Linear(3, 2)
        self.scale = nn.Parameter(mlpeak.ones(3))
        self.make = make

    def forward(self, x: Any) -> Any:
        return self.make(self, x)


def twice(y: Any) -> tuple[Any, Any]:
    return y, y


OUTPUTS: dict[str, Callable[[Any, Any], Any]] = {
    "the input": lambda m, x: x,
    "the input beside others": lambda m, x: (m.layer(x), x),
    "the input twice": lambda m, x: twice(x),
    "one tensor twice": lambda m, x: twice(m.layer(x)),
    "views of one tensor": lambda m, x: (x, x[:, :1], x.reshape(-1, 3, 1)),
    "a parameter": lambda m, x: m.layer.weight,
    "a parameter beside others": lambda m, x: (m.layer(x), m.scale),
    "made of a parameter": lambda m, x: (m.scale * 2, m.layer(x)),
    "a constant": lambda m, x: (x, mlpeak.ones(2)),
    "a total": lambda m, x: (x.sum(), m.layer(x)),
    "totals of columns": lambda m, x: (x.sum(0), m.layer(x)),
}


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("samples", [5, 300])
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_those_of_the_model(name: str, samples: int, threads: int) -> None:
    mlpeak.set_num_threads(threads)
    model = Returning(OUTPUTS[name])
    x = np.random.default_rng(0).standard_normal((samples, 3), dtype=np.float32)
    expected = model(mlpeak.from_numpy(x))
    expected = expected if isinstance(expected, tuple) else (expected,)
    run = mlpeak.compile(model)
    for _ in range(2):  # by the slow way and by the quick one
        got = run(x)
        got = got if isinstance(got, tuple) else (got,)
        assert [a.tobytes() for a in got] == [b.detach().numpy().tobytes() for b in expected]


@pytest.mark.parametrize("layers", [nn.Identity, nn.Flatten, nn.Sequential])
def test_a_model_without_operations_returns_its_input(layers: Callable[[], nn.Module]) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert mlpeak.compile(layers())(x).tobytes() == x.tobytes()


def test_predict_refuses_a_total_over_several_batches() -> None:
    run = mlpeak.compile(Returning(lambda m, x: (m.layer(x), x.sum(0))))
    x = np.ones((10, 3), np.float32)
    with pytest.raises(ValueError, match="output 1 is made from all samples of a batch together"):
        run.predict(x, batch_size=4)
    assert run.predict(x, batch_size=10)[1].tolist() == [10, 10, 10]


def test_predict_in_two_threads_returns_right_results_or_none() -> None:
    model = network((64, 512, 512, 8)).eval()
    x = np.random.default_rng(0).standard_normal((4000, 64), dtype=np.float32)
    run = mlpeak.compile(model)
    mlpeak.set_num_threads(1)
    right = run.predict(x).tobytes()
    found = []

    def predict() -> None:
        for _ in range(30):
            with contextlib.suppress(RuntimeError):  # is running in another thread
                found.append(run.predict(x).tobytes())

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {right}


@pytest.mark.parametrize("team", [2, 3])
def test_predict_is_the_same_with_a_smaller_last_batch_on_any_team(team: int) -> None:
    model = network((784, 256, 10)).eval()
    x = np.random.default_rng(0).standard_normal((2000, 784), dtype=np.float32)
    run = mlpeak.compile(model)
    mlpeak.set_num_threads(1)
    right = run.predict(x)
    mlpeak.set_num_threads(team)
    wrong = [int((run.predict(x) != right).any(1).sum()) for _ in range(15)]
    assert wrong == [0] * 15  # rows


@pytest.mark.parametrize("team", [1, 2])
def test_out_may_be_x_but_not_a_part_of_it(team: int) -> None:
    mlpeak.set_num_threads(team)
    run = mlpeak.compile(network((64, 512, 64)).eval())
    both = np.random.default_rng(0).standard_normal((6000, 64), dtype=np.float32)
    before = both.tobytes()
    right = run(both[:4000])
    for x, out in ((both[:4000], both[2000:]), (both[2000:], both[:4000])):
        for quick in (False, True):
            if not quick:
                run = mlpeak.compile(run.model)
            with pytest.raises(ValueError, match="run: out shares memory with x"):
                run(x, out)
            assert both.tobytes() == before
            run(x)
    assert run(both[:4000], both[:4000]).tobytes() == right.tobytes()
