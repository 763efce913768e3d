"""Capture: the recorded calls give the bits of the eager step.

Every case runs the graph call by call (`graph_interpreter`) for batch sizes other than those of the
sample runs, and compares loss, gradients, buffers and random state with the eager step's, bit for
bit: the calls are the same, so there is no rounding to allow for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import mlpeak
from capture_cases import CLASS, X8, Y3, Gate, mlp, state
from graph_interpreter import Interpreter
from mlpeak import _backend, nn
from mlpeak.compiler import (
    BatchScalar,
    Graph,
    RandomStep,
    Spec,
    capture_forward,
    capture_training,
)
from mlpeak.nn import functional as F

BATCHES = (2, 13, 40)


def data_for(spec: Spec, batch: int, rng: np.random.Generator, classes: int = 3) -> Any:
    shape = (batch, *spec.shape)
    if spec.dtype.kind == "f":
        return rng.uniform(0.05, 0.95, shape).astype(spec.dtype)
    return rng.integers(0, classes, shape).astype(spec.dtype)


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


ACTIVATIONS = [
    nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.SELU(), nn.GELU(), nn.GELU(approximate="tanh"),
    nn.SiLU(), nn.Mish(), nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh(), nn.Softplus(2.0, 5.0),
    nn.Softmax(-1), nn.LogSoftmax(1), nn.Softmax(0),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_activations(activation: nn.Module) -> None:
    check_training(mlp(activation), nn.CrossEntropyLoss(), [X8], [CLASS])


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: mlpeak.Tensor) -> mlpeak.Tensor:
        return x + self.inner(x)


class Columns(nn.Module):
    """Concatenation, slices, stacks and reshapes."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 6), nn.Linear(3, 6)
        self.last = nn.Linear(15, 3)

    def forward(self, x: mlpeak.Tensor) -> mlpeak.Tensor:
        left, right = x[:, :5], x.narrow(1, 5, 3)
        both = mlpeak.stack([self.left(left), self.right(right).tanh()], 1).reshape(-1, 12)
        a, b = both.chunk(2, 1)
        return self.last(mlpeak.cat([a * b, right, both[:, ::2]], 1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, x: mlpeak.Tensor) -> mlpeak.Tensor:
        return self.last(self.layer(self.layer(x).relu()) @ self.layer.weight.T)


class Categories(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(3, 4, padding_idx=1)
        self.body = nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, number: mlpeak.Tensor, category: mlpeak.Tensor) -> mlpeak.Tensor:
        return self.body(mlpeak.cat([number, self.table(category)], 1))


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.a, self.b = nn.Linear(8, 6), nn.Linear(6, 3), nn.Linear(6, 2)
        self.unused = nn.Linear(4, 4)

    def forward(self, x: mlpeak.Tensor) -> tuple[mlpeak.Tensor, mlpeak.Tensor]:
        h = self.body(x).relu()
        return self.a(h), self.b(h)


MODELS = {
    "dropout": lambda: mlp(nn.Dropout(0.4), nn.Dropout(0.1)),
    "batch norm": lambda: mlp(nn.BatchNorm1d(12), nn.BatchNorm1d(12, affine=False)),
    "batch norm untracked": lambda: mlp(nn.BatchNorm1d(12, track_running_stats=False)),
    "batch norm twice": lambda: (lambda n: mlp(n, n))(nn.BatchNorm1d(12)),
    "batch norm eval": lambda: mlp(nn.BatchNorm1d(12)).eval(),
    "batch norm without bias": lambda: mlp(nn.BatchNorm1d(12, bias=False)),
    "layer norm": lambda: mlp(nn.LayerNorm(12), nn.LayerNorm(12, elementwise_affine=False)),
    "layer norm without bias": lambda: mlp(nn.LayerNorm(12, bias=False)),
    "rms norm": lambda: mlp(nn.RMSNorm(12), nn.RMSNorm(12, eps=1e-3)),
    "residual": lambda: mlp(Residual(nn.Sequential(nn.Linear(12, 12), nn.Tanh()))),
    "columns": Columns,
    "tied": Tied,
    "float64": lambda: mlp(nn.GELU(), nn.Dropout(0.2)).double(),
}


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


LOSSES = {
    "cross_entropy": (nn.CrossEntropyLoss, {"label_smoothing": 0.1}, CLASS),
    "cross_entropy of probabilities": (nn.CrossEntropyLoss, {}, Y3),
    "cross_entropy with weights": (
        nn.CrossEntropyLoss, {"weight": mlpeak.tensor([1.0, 2.0, 0.5]), "ignore_index": 1}, CLASS,
    ),
    "nll": (nn.NLLLoss, {}, CLASS),
    "mse": (nn.MSELoss, {}, Y3),
    "l1": (nn.L1Loss, {}, Y3),
    "smooth_l1": (nn.SmoothL1Loss, {"beta": 0.5}, Y3),
    "huber": (nn.HuberLoss, {"delta": 0.3}, Y3),
    "bce": (nn.BCELoss, {}, Y3),
    "bce with logits": (nn.BCEWithLogitsLoss, {}, Y3),
    "bce with pos_weight": (
        nn.BCEWithLogitsLoss, {"pos_weight": mlpeak.tensor([1.0, 2.0, 0.5])}, Y3,
    ),
    "poisson": (nn.PoissonNLLLoss, {"full": True}, Y3),
}  # fmt: skip


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


USER_LOSSES: dict[str, Callable[..., Any]] = {
    "square and abs": lambda out, y: ((out - y) ** 2).mean() + 0.1 * out.abs().mean(),
    "sum over the batch size": lambda out, y: (out - y).square().sum() / out.shape[0],
    "inverse of the batch size": lambda out, y: (out - y).square().sum() * (1 / out.shape[0]),
    "inverse of the elements": lambda out, y: (out - y).square().sum() * (1 / out.numel()),
    "halves of twice the batch": lambda out, y: halves(out, y),
    "logsumexp": lambda out, y: (out.logsumexp(1) - (out * y).sum(1)).mean(),
    "log of softmax": lambda out, y: -(y * F.softmax(out, 1).log()).sum(1).mean(),
    "clamp and where": lambda out, y: mlpeak.where(
        y > 0.5, out.clamp(min=-0.5), -out.clamp(max=0.3)
    ).exp().mean(),
    "largest": lambda out, y: (out - y).abs().max() + out.amax(1).sum(),
    "powers": lambda out, y: ((out.abs() + 0.1) ** y + 2.0**out + (out + 3) ** 0.5).sum(),
    "norm": lambda out, y: (out - y).norm(dim=1).mean() + (out - y).norm(1),
    "std": lambda out, y: (out.std(1) - y.std(1)).square().mean(),
    "prod and cumsum": lambda out, y: (out.cumsum(1) * y).prod(1).sum(),
    "transposes": lambda out, y: (out.T @ y).square().mean() + (out.T.T * y).sum(),
    "flip, tile, triangles": lambda out, y: (
        (out.flip(1).repeat(1, 2).reshape(-1, 2, 3) * y.unsqueeze(1)).mean()
        + (out.T @ y).tril().sum() + (out.T @ y).triu(1).square().sum()
    ),
    "masked_fill": lambda out, y: out.masked_fill(y > 0.5, 0.25).square().sum(),
    "fixed columns": lambda out, y: (out[:, [2, 0]] * y[:, [1, 1]]).sum() + out[..., -1].sum(),
    "first row": lambda out, y: (out - y).square()[0].sum() + out[-1, 2],
    "a copy": lambda out, y: (out * mlpeak.tensor(y) - mlpeak.as_tensor(y, dtype=float)).sum(),
    "detached": lambda out, y: (out * (out.detach() - y)).sum(),
    "full_like": lambda out, y: (out * mlpeak.full_like(y, 2.0) + mlpeak.ones(out.shape)).sum(),
    "in place": lambda out, y: (out * 2).add_(y).mul_(0.5).square().mean(),
    "assigned": lambda out, y: assigned(out, y),
    "accuracy as a factor": lambda out, y: (
        (out.argmax(1) == y.argmax(1)).float().mean() * out.square().mean()
    ),
    "sorted": lambda out, y: (out * out.argsort(1).float() * y.sum(1, keepdim=True)).mean(),
    "erf and rsqrt": lambda out, y: (mlpeak.erf(out) * (y + 1).rsqrt() / (out.square() + 1)).sum(),
    "expm1, log1p": lambda out, y: (out.expm1() + (out.abs()).log1p() * y.floor()).sum(),
    "float64 inside": lambda out, y: (out.double() - y.double()).square().mean().float(),
    "stacked rows": lambda out, y: (mlpeak.stack([out, y], 1) @ mlpeak.ones(3, 2)).square().sum(),
}  # fmt: skip


def halves(out: Any, y: Any) -> Any:
    """Both halves of a tensor of two batches."""
    a, b = mlpeak.cat([out, y * out.sum()]).square().chunk(2)
    return (a * b).mean()


def assigned(out: Any, y: Any) -> Any:
    """A slice of a copy, then a view of it, changed in place."""
    z = out * 1.0
    z[:, 1] = y[:, 0]
    z[:, :2] *= 3.0
    z.T[2] += 1.0
    return (z * y).square().mean()


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


# what a graph says


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
