"""Capture: the recorded calls give the bits of the eager step.

Every case runs the graph call by call (`graph_interpreter`) for batch sizes other than those of the
sample runs, and compares loss, gradients, buffers and random state with the eager step's, bit for
bit: the calls are the same, so there is no rounding to allow for.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import mlpeak
from capture_cases import (
    ACTIVATIONS,
    CLASS,
    LOSSES,
    MODELS,
    USER_LOSSES,
    X8,
    Y3,
    Categories,
    Gate,
    TwoHeads,
    data_for,
    mlp,
    state,
)
from graph_interpreter import Interpreter
from mlpeak import _backend, nn
from mlpeak.compiler import Graph, RandomStep, Spec, capture_forward, capture_training
from mlpeak.nn import functional as F

BATCHES = (2, 13, 40)


def check_training(
    model: nn.Module,
    loss: Callable[..., Any],
    inputs: Sequence[Spec],
    targets: Sequence[Spec],
    sample_weight: bool = False,
    batches: Sequence[int] = BATCHES,
) -> Graph:
    """Compare the captured step with the eager one, two steps for each batch size."""
    mlpeak.manual_seed(5)
    graph = capture_training(model, loss, inputs, targets, sample_weight)
    rng = np.random.default_rng(0)
    for batch in batches:
        for _ in range(2):
            xs = [data_for(s, batch, rng) for s in inputs]
            ys = [data_for(s, batch, rng) for s in targets]
            weight = rng.uniform(0.5, 2, batch).astype(np.float32) if sample_weight else None
            before = copy.deepcopy(model.state_dict())
            random_state = mlpeak.get_rng_state()

            interpreter = Interpreter(graph, batch)
            interpreter.run(xs, ys, weight)
            assert graph.loss is not None
            got_loss = interpreter.get(graph.loss).copy()
            got = [(t, interpreter.get(v).copy()) for t, v in graph.gradients]
            got_state, got_random = state(model), mlpeak.get_rng_state()

            model.load_state_dict(before)
            mlpeak.set_rng_state(random_state)
            model.zero_grad()
            more = {} if weight is None else {"sample_weight": mlpeak.from_numpy(weight)}
            output = model(*map(mlpeak.from_numpy, xs))
            eager = loss(output, *map(mlpeak.from_numpy, ys), **more)
            eager.backward()

            assert got_loss.tobytes() == eager._array.tobytes()
            expected = [p for p in model.parameters() if p.grad is not None]
            assert [id(t) for t, _ in got] == [id(p) for p in expected]
            for tensor, gradient in got:
                assert gradient.tobytes() == tensor.grad._array.tobytes()
            assert got_state == state(model)
            assert got_random == mlpeak.get_rng_state()
            model.zero_grad()
    return graph


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_activations(activation: nn.Module) -> None:
    check_training(mlp(activation), nn.CrossEntropyLoss(), [X8], [CLASS])


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    mlpeak.manual_seed(1)
    model = MODELS[name]()
    x = Spec((8,), np.float64) if name == "float64" else X8
    check_training(model, nn.CrossEntropyLoss(), [x], [CLASS])


def test_embedding_beside_numbers() -> None:
    check_training(Categories(), nn.CrossEntropyLoss(), [X8, CLASS], [CLASS])


def test_several_outputs() -> None:
    def loss(out: Any, a: Any, b: Any) -> Any:
        return F.cross_entropy(out[0], a) + 0.5 * F.mse_loss(out[1], b)

    graph = check_training(TwoHeads(), loss, [X8], [CLASS, Spec((2,))])
    assert not graph.single_output
    assert [v.shape for v in graph.outputs if v] == [(-1, 3), (-1, 2)]


def test_an_output_that_the_loss_ignores_is_not_computed() -> None:
    model = TwoHeads()
    graph = check_training(model, lambda out, y: F.cross_entropy(out[0], y), [X8], [CLASS])
    assert graph.outputs[1] is None
    assert sum(call.name == "linear" for call in graph.calls) == 2


@pytest.mark.parametrize("frozen", [["0"], ["0", "2"], ["4"]], ids=str)
def test_frozen_layers_cost_nothing_and_get_no_gradient(frozen: list[str]) -> None:
    model = mlp(nn.ReLU(), nn.BatchNorm1d(12))
    for name in frozen:
        model.get_submodule(name).requires_grad_(False)
    graph = check_training(model, nn.CrossEntropyLoss(), [X8], [CLASS])
    weights = [c.module for c in graph.calls if c.name == "linear_backward_weight"]
    assert not set(weights) & set(frozen)
    if frozen == ["0", "2"]:
        inputs = [c.module for c in graph.calls if c.name == "linear_backward_input"]
        assert inputs == ["5", "4"]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, reduction: str, weighted: bool) -> None:
    kind, options, target = LOSSES[name]
    own = kind(**options, reduction=reduction)
    model = mlp(nn.Sigmoid()) if name != "bce" else nn.Sequential(nn.Linear(8, 3), nn.Sigmoid())

    def loss(*args: Any, **kwargs: Any) -> Any:
        value = own(*args, **kwargs)
        return value if reduction != "none" else (value * value).sum()

    check_training(model, loss, [X8], [target], weighted, batches=(3, 20))


def test_gaussian_loss_with_a_predicted_and_a_fixed_variance() -> None:
    gaussian = nn.GaussianNLLLoss(full=True)
    predicted = lambda out, y: gaussian(out[0], y, out[1].exp())  # noqa: E731
    check_training(TwoHeads(), lambda o, y: predicted((o[0][:, :2], o[1]), y), [X8], [Spec((2,))])
    graph = check_training(mlp(), lambda out, y: gaussian(out, y, 0.3), [X8], [Y3])
    assert [c.params["shape"] for c in graph.calls if c.name == "np.full"] == [(-1, 3)]


@pytest.mark.parametrize("weight", ["mse", "bce"])
def test_losses_with_a_weight_for_each_element(weight: str) -> None:
    factor = mlpeak.tensor([0.5, 1.0, 3.0])

    def loss(out: Any, y: Any, w: Any) -> Any:
        if weight == "mse":
            return F.mse_loss(out, y, weight=w)
        return F.binary_cross_entropy_with_logits(out, y, weight=factor)

    check_training(mlp(nn.ReLU()), loss, [X8], [Y3, Y3])


@pytest.mark.parametrize("name", USER_LOSSES)
def test_losses_from_tensor_operations(name: str) -> None:
    check_training(mlp(nn.Tanh()), USER_LOSSES[name], [X8], [Y3])


def test_a_dictionary_of_outputs_for_the_loss() -> None:
    model = nn.Sequential(nn.Linear(8, 3), Gate(lambda x: {"a": x, "b": (x.relu(), [x.tanh()])}))

    def loss(out: Any, y: Any) -> Any:
        return F.mse_loss(out["a"], y) + out["b"][1][0].square().sum()

    graph = check_training(model, loss, [X8], [Y3])
    assert [v and v.shape for v in graph.outputs] == [(-1, 3), None, (-1, 3)]


def test_inputs_of_several_dims() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    check_training(flat, nn.MSELoss(), [Spec((4, 3))], [Y3])
    rows = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 2))
    graph = check_training(rows, nn.MSELoss(), [Spec((4, 3))], [Spec((4, 2))])
    assert graph.calls[0].params == {"shape": (-4, 3)}


def test_bytes_as_input() -> None:
    model = nn.Sequential(Gate(lambda x: x.float() / 255), nn.Linear(8, 3))
    check_training(model, nn.CrossEntropyLoss(), [Spec((8,), np.dtype(np.uint8))], [CLASS])


def test_penalties_on_weights() -> None:
    model = mlp(nn.ReLU())

    def loss(out: Any, y: Any) -> Any:
        size = sum(p.square().sum() for p in model.parameters())
        return F.mse_loss(out, y) + 1e-3 * size + 0.1 * model[0].weight.detach().abs().mean()

    check_training(model, loss, [X8], [Y3])


def test_noise_from_the_default_generator() -> None:
    model = nn.Sequential(
        nn.Linear(8, 3), Gate(lambda x: x + 0.1 * mlpeak.randn_like(x) * mlpeak.rand(x.shape))
    )
    graph = check_training(model, nn.MSELoss(), [X8], [Y3])
    draws = {c.name: c.params for c in graph.calls if c.name.startswith("random")}
    assert draws["random_normal"]["shape"] == (-1, 3)
    assert draws["random_uniform"]["step"] == RandomStep(1)
    assert graph.random_draws == 2


def test_both_backends(backend: str) -> None:
    model = mlp(nn.ReLU(), nn.BatchNorm1d(12), nn.Dropout(0.5))
    check_training(model, nn.CrossEntropyLoss(), [X8], [CLASS], batches=(9,))
    assert _backend.get_backend() == backend


def test_forward_in_evaluation_and_training() -> None:
    model = nn.Sequential(*mlp(nn.Tanh(), nn.BatchNorm1d(12), nn.Dropout(0.3)), TwoHeadsOfThree())
    for mode in (True, False):
        model.train(mode)
        graph = capture_forward(model, [X8])
        assert graph.loss is None
        assert not graph.gradients
        assert graph.random_draws == len(graph.counters) == mode
        for batch in BATCHES:
            x = data_for(X8, batch, np.random.default_rng(batch))
            before, random_state = copy.deepcopy(model.state_dict()), mlpeak.get_rng_state()
            interpreter = Interpreter(graph, batch)
            interpreter.run([x])
            got = [interpreter.get(v).tobytes() for v in graph.outputs if v is not None]
            got_state = state(model)
            model.load_state_dict(before)
            mlpeak.set_rng_state(random_state)
            with mlpeak.no_grad():
                expected = model(mlpeak.from_numpy(x))
            assert got == [y._array.tobytes() for y in expected]
            assert got_state == state(model)


class TwoHeadsOfThree(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x: mlpeak.Tensor) -> Any:
        return self.a(x), self.b(x.relu())


def test_other_threads_may_draw_meanwhile() -> None:
    model = nn.Sequential(nn.Linear(8, 12), nn.Dropout(0.5), nn.Linear(12, 3))
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            mlpeak.rand(3)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        draws = {capture_training(model, F.cross_entropy, [X8], [CLASS]).random_draws
                 for _ in range(20)}  # fmt: skip
    finally:
        stop.set()
        thread.join()
    assert draws == {1}


def test_draws_of_other_threads_are_not_taken_back() -> None:
    drawn = []

    class Waiting(nn.Module):
        def forward(self, x: Any) -> Any:
            thread = threading.Thread(target=lambda: drawn.append(mlpeak.rand(3)))
            thread.start()
            thread.join()
            return x * 2

    mlpeak.manual_seed(0)
    capture_forward(Waiting(), [X8])
    _, step = mlpeak.get_rng_state()
    assert step == len(drawn) > 0
