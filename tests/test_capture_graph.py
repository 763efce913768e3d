"""Capture: what a graph says of modules, arrays, constants and the batch size."""

from __future__ import annotations

from typing import Any

import mlpeak
from capture_cases import CLASS, X8, Y3, mlp
from mlpeak import nn
from mlpeak.compiler import BatchScalar, RandomStep, capture_training
from mlpeak.nn import functional as F


def test_a_table_of_one_row() -> None:
    model = nn.Sequential(nn.Embedding(1, 4), nn.Linear(4, 3))
    graph = capture_training(model, nn.MSELoss(), [CLASS], [Y3])
    assert graph.calls[0].name == "embedding"


def test_numbers_computed_from_constants_are_constants() -> None:
    def loss(out: Any, y: Any) -> Any:
        return 0.5 * F.mse_loss(out, y) + 0.25 * F.l1_loss(out, y)

    graph = capture_training(mlp(), loss, [X8], [Y3])
    scales = [c.inputs[0] for c in graph.calls if c.name.endswith("loss_backward")]
    assert [v.kind for v in scales if v] == ["constant", "constant"]
    assert sorted(float(v.array) for v in scales if v and v.array is not None) == [0.25, 0.5]


def test_a_loss_with_parameters_of_its_own() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(mlpeak.tensor(2.0))
            self.register_buffer("shift", mlpeak.tensor([0.5, 1.0, 2.0]))

        def forward(self, out: Any, y: Any) -> Any:
            return ((out - y + self.shift) * self.scale).square().mean()

    model, loss = mlp(), Scaled()
    graph = capture_training(model, loss, [X8], [Y3])
    assert graph.gradients[-1][0] is loss.scale
    names = {v.name: v for c in graph.calls for v in c.inputs if v is not None and v.name}
    assert names["loss.scale"].array is loss.scale._array
    assert names["loss.shift"].kind == "buffer"


def test_a_graph_names_modules_and_holds_the_arrays_themselves() -> None:
    model = mlp(nn.Dropout(0.5), nn.Dropout(0.5))
    graph = capture_training(model, nn.CrossEntropyLoss(), [X8], [CLASS])
    forward = [(c.name, c.module) for c in graph.calls if c.name in ("linear", "dropout")]
    assert forward == [
        ("linear", "0"), ("dropout", "1"), ("linear", "2"), ("dropout", "3"), ("linear", "4"),
        ("linear", "5"),
    ]  # fmt: skip
    backward = [(c.name, c.module) for c in graph.calls if c.name.endswith("backward_weight")]
    assert [module for _, module in backward] == ["5", "4", "2", "0"]
    steps = [c.params["step"] for c in graph.calls if c.name.startswith("dropout")]
    assert steps == [RandomStep(0), RandomStep(1), RandomStep(1), RandomStep(0)]
    assert graph.random_draws == 2
    first = graph.calls[0]
    assert first.inputs[1] is not None
    assert first.inputs[1].array is model[0].weight._array
    assert first.inputs[1].tensor is model[0].weight
    assert first.inputs[0] is graph.inputs[0]
    assert first.params == {"activation": "identity", "precision": None}


def test_batch_norm_updates_its_buffers_and_counts() -> None:
    model = mlp(nn.BatchNorm1d(12))
    graph = capture_training(model, nn.CrossEntropyLoss(), [X8], [CLASS])
    (call,) = (c for c in graph.calls if c.name == "batch_norm")
    assert [v.name for v in call.updates] == ["1.running_mean", "1.running_var"]
    assert call.updates == call.inputs[3:]
    assert [(t is model[1].num_batches_tracked, n) for t, n in graph.counters] == [(True, 1)]


def test_lengths_and_numbers_that_follow_the_batch() -> None:
    def loss(out: Any, y: Any) -> Any:
        return (out - y).reshape(-1).sum() / (2 * out.shape[0]) + out.sum() * (0.5 / len(out))

    graph = capture_training(mlp(), loss, [X8], [Y3])
    scalars = {v.scalar for c in graph.calls for v in c.inputs if v is not None and v.scalar}
    assert scalars == {BatchScalar(2), BatchScalar(0.5, -1)}
    inverse = capture_training(mlp(), lambda out, y: out.sum() * (1 / y.numel()), [X8], [Y3])
    found = [v.scalar for c in inverse.calls for v in c.inputs if v is not None and v.scalar]
    assert set(found) == {BatchScalar(1, -1, 3)}
    assert found[0].value(5) == 1 / 15
    assert {v.shape for c in graph.calls for v in c.outputs if v is not None} >= {(-3,), (-1, 3)}
    assert (BatchScalar(2).value(7), BatchScalar(0.5, -1).value(4)) == (14, 0.125)
