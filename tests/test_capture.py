"""Capture: the recorded calls give the bits of the eager step, and what cannot be recorded says so.

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
from graph_interpreter import Interpreter
from mlpeak import _backend, nn
from mlpeak.autograd import Node, apply
from mlpeak.compiler import (
    BatchScalar,
    CompileError,
    Graph,
    RandomStep,
    Spec,
    capture_forward,
    capture_training,
)
from mlpeak.nn import functional as F
from mlpeak.ops.registry import Op

BATCHES = (2, 11, 40)
INT = np.dtype(np.int64)


def data_for(spec: Spec, batch: int, rng: np.random.Generator, classes: int = 3) -> Any:
    shape = (batch, *spec.shape)
    if spec.dtype.kind == "f":
        return rng.uniform(0.05, 0.95, shape).astype(spec.dtype)
    return rng.integers(0, classes, shape).astype(spec.dtype)


def state(model: nn.Module) -> dict[str, bytes]:
    return {name: t._array.tobytes() for name, t in model.state_dict().items()}


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


X8 = Spec((8,))
Y3 = Spec((3,))
CLASS = Spec((), INT)


def mlp(*activations: nn.Module) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(8, 12)]
    for activation in activations:
        layers += [activation, nn.Linear(12, 12)]
    return nn.Sequential(*layers, nn.Linear(12, 3))


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
    assert first.params == {"activation": "identity"}


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


# what cannot be compiled


class Stripped(Op):
    """Computes with ordinary arrays, so that nothing of it can be seen."""

    name = "stripped"

    def __init__(self, how: Callable[[Any], Any]) -> None:
        self.how = how

    def forward(self, ctx: Any, x: Any) -> Any:
        return self.how(x)

    def backward(self, ctx: Any, grad: Any) -> Any:
        return (grad,)


STRIPPED = {
    "computed": (lambda x: np.asarray(x) * 2, "takes for a constant"),
    "part": (lambda x: np.asarray(x)[:, 1:], "takes for a constant"),
    "method": (lambda x: x.real, "real"),
    "function": (lambda x: np.sort(x), "sort"),
}


@pytest.mark.parametrize("what", ["input", "parameter", "integers"])
@pytest.mark.parametrize("how", ["computed", "part", "method", "function"])
def test_numbers_that_leave_the_trace_are_noticed(how: str, what: str) -> None:
    way, said = STRIPPED[how]
    layer = nn.Linear(8, 3)
    source = {
        "input": lambda x: x,
        "parameter": lambda x: layer.weight,
        "integers": lambda x: x,
    }[what]
    op = Stripped(way)
    model = nn.Sequential(Gate(lambda x: apply(op, source(x)).float().sum() * x.float()), layer)
    spec = Spec((8,), np.int64) if what == "integers" else X8
    with pytest.raises(CompileError, match=said):
        capture_forward(model, [spec])


def test_an_array_taken_out_of_a_tensor_is_noticed_where_it_is_used() -> None:
    op = Stripped(lambda x: np.asarray(x)[:, 1:])
    with pytest.raises(CompileError, match=r"operation 'mul': .*as ordinary numbers"):
        capture_forward(Gate(lambda x: apply(op, x) * x[:, :-1]), [X8])


def test_an_alias_of_a_parameter_is_noticed() -> None:
    model = nn.Linear(8, 3)
    bias = model.bias.detach()
    with pytest.raises(CompileError, match="as ordinary numbers"):
        capture_training(model, lambda out, y: ((out - bias) * y).sum(), [X8], [Y3])


class Gate(nn.Module):
    def __init__(self, branch: Callable[[Any], Any]) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: mlpeak.Tensor) -> mlpeak.Tensor:
        return self.branch(x)


READS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "if": (lambda x: x if x.sum() > 0 else -x, "item()"),
    "item": (lambda x: x * x.sum().item(), "item()"),
    "float": (lambda x: x * float(x.sum()), "item()"),
    "int": (lambda x: x * int(x.sum()), "item()"),
    "tolist": (lambda x: x * x.sum().tolist(), "tolist()"),
    "numpy": (lambda x: x * mlpeak.from_numpy(x.detach().numpy().sum()), "numpy()"),
    "array": (lambda x: x * np.asarray(x.detach()).sum(), "numpy()"),
    "print": (lambda x: x * len(str(x)), "'repr'"),
    "in": (lambda x: x if 1.0 in x else -x, "bool"),
    "index": (lambda x: x[x.argmax()], "int()"),
    "rows": (lambda x: x[(x[:, 0] * 0).long()], "'index'"),
    "mask": (lambda x: x[x > 0.5].sum() * x, "'index'"),
    "gather": (lambda x: x.gather(1, (x * 0).long()), "'gather'"),
    "nonzero": (lambda x: x * x.nonzero().shape[0], "nonzero"),
    "allclose": (lambda x: x * mlpeak.allclose(x, x), "isclose"),
    "tensor of tensors": (lambda x: x * mlpeak.tensor([x.sum().detach()]), "a tensor"),
}


@pytest.mark.parametrize("name", READS)
def test_reading_values_names_module_operation_and_remedy(name: str) -> None:
    branch, said = READS[name]
    model = nn.Sequential(nn.Linear(8, 3), nn.Sequential(Gate(branch)))
    with pytest.raises(CompileError, match=r"module '1\.0' \(Gate\)") as caught:
        capture_training(model, nn.MSELoss(), [X8], [Y3])
    assert said in str(caught.value)
    assert str(caught.value).endswith("Or run it eagerly: loss.backward(); optimizer.step().")
    with pytest.raises(CompileError, match=r"module '1\.0' \(Gate\)"):
        capture_forward(model, [X8])


REFUSED: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "not reduced": (lambda out, y: (out - y).square(), "loss has dtype float32 .*reduce it"),
    "integer": (lambda out, y: (out > y).sum(), "loss has dtype int64"),
    "no tensor": (lambda out, y: 1.0, "the loss is float"),
    "no gradient": (lambda out, y: (out.detach() - y).sum(), "no parameter that requires"),
    "one less": (lambda out, y: (out - y).square().sum() / (len(out) - 1), "batch size"),
    "some rows": (lambda out, y: (out - y)[:-1].square().sum(), "batch size"),
    "every row": (lambda out, y: sum(row.sum() for row in out), "batch size"),
    "samples multiplied": (lambda out, y: (out[:, :, None] @ y[:, None]).sum(), "batch size"),
    "by size": (lambda out, y: (out - y).abs().mean() if len(out) < 15 else out.sum(), "batch"),
    "numbers for integers": (lambda out, y: F.one_hot(y, 3).sum() * out.sum(), "numpy()"),
    "seed": (lambda out, y: (mlpeak.manual_seed(3), out.sum())[1], "seed of the default"),
    "argument in place": (lambda out, y: (out - y.add_(1)).sum(), "target 0 .*changed in place"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_losses(name: str) -> None:
    loss, said = REFUSED[name]
    target = CLASS if name == "numbers for integers" else Y3
    with pytest.raises(CompileError, match=said):
        capture_training(mlp(), loss, [X8], [target])


def test_a_cumulative_average_is_refused() -> None:
    with pytest.raises(CompileError, match=r"module '1'.*'momentum' of 'batch_norm'"):
        capture_training(mlp(nn.BatchNorm1d(12, momentum=None)), nn.MSELoss(), [X8], [Y3])


def test_state_that_forward_changes_itself_is_refused() -> None:
    class Averages(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.how = how
            self.register_buffer("seen", mlpeak.zeros(3))
            self.weight = nn.Parameter(mlpeak.ones(3))

        def forward(self, x: mlpeak.Tensor) -> mlpeak.Tensor:
            with mlpeak.no_grad():
                if self.how == "buffer":
                    self.seen.mul_(0.9).add_(x.mean(0))
                elif self.how == "parameter":
                    self.weight.clamp_(0, 1)
                else:
                    self.seen = x.mean(0)
            return x * self.weight + self.seen

    for how, said in {
        "buffer": "the buffer '1.seen' is changed in place",
        "parameter": "the parameter '1.weight' is changed in place",
        "replaced": "forward replaces 'seen' of the module",
    }.items():
        model = nn.Sequential(nn.Linear(8, 3), Averages(how))
        before = state(model)
        with pytest.raises(CompileError, match=rf"module '1' \(Averages\).*{said}"):
            capture_training(model, nn.MSELoss(), [X8], [Y3])
        assert state(model) == before


def test_a_trained_tensor_outside_the_model_is_refused() -> None:
    scale = mlpeak.tensor(2.0, requires_grad=True)
    with pytest.raises(CompileError, match="no parameter of the model or the loss"):
        capture_training(mlp(), lambda out, y: ((out - y) * scale).sum(), [X8], [Y3])
    assert scale.grad is None


def test_a_model_must_be_a_module_and_return_tensors() -> None:
    with pytest.raises(TypeError, match="model is function"):
        capture_forward(lambda x: x, [X8])  # type: ignore[arg-type]
    with pytest.raises(CompileError, match="returns dict"):
        capture_forward(Gate(lambda x: {"y": x}), [X8])


def test_errors_of_the_model_are_those_of_the_eager_run() -> None:
    with pytest.raises(ValueError, match="w has shape"):
        capture_forward(nn.Linear(7, 3), [X8])


def test_compiling_inside_a_forward_is_refused() -> None:
    inner = nn.Linear(8, 3)
    with pytest.raises(CompileError, match="compiles again"):
        capture_forward(Gate(lambda x: capture_forward(inner, [X8])), [X8])
    capture_forward(inner, [X8])


# no trace


def everything(model: nn.Module) -> list[Any]:
    """All that capture could change."""
    tensors = [*model.parameters(), *model.buffers()]
    return [
        [(id(t._array), t._array.tobytes(), t._grad, t._version.value, t._node) for t in tensors],
        [[(k, id(v)) for k, v in m.__dict__.items()] for m in model.modules()],
        [[(k, id(v)) for k, v in m._buffers.items()] for m in model.modules()],
        mlpeak.get_rng_state(),
        mlpeak.is_grad_enabled(),
        [_backend.impl, nn.Module.__call__, Node.__init__, Node.backward],
    ]


class Remembers(nn.Module):
    """Keeps what it saw as an attribute, and fails if told to."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = None
        self.fails = False

    def forward(self, x: mlpeak.Tensor) -> mlpeak.Tensor:
        self.last = x
        if self.fails:
            raise KeyError("told to")
        return x


@pytest.mark.parametrize("fails", [False, True])
def test_capture_leaves_no_trace(fails: bool) -> None:
    mlpeak.manual_seed(3)
    remembers = Remembers()
    model = mlp(nn.BatchNorm1d(12), nn.Dropout(0.5), remembers)
    F.mse_loss(model(mlpeak.rand(5, 8)), mlpeak.rand(5, 3)).backward()
    remembers.last, remembers.fails = None, fails
    before = everything(model)
    if fails:
        with pytest.raises(KeyError):
            capture_training(model, nn.MSELoss(), [X8], [Y3])
    else:
        capture_training(model, nn.MSELoss(), [X8], [Y3])
    assert everything(model) == before


def test_a_tensor_kept_from_the_sample_run_says_so() -> None:
    kept: list[Any] = []
    capture_forward(Gate(lambda x: kept.append(x) or x), [X8])
    with pytest.raises(CompileError, match="kept and used later"):
        kept[0] * 2
    with pytest.raises(CompileError, match="kept from another"):
        capture_forward(Gate(lambda x: x + kept[0]), [X8])


def test_other_threads_run_as_usual_meanwhile() -> None:
    seen: list[Any] = []
    other = nn.Linear(4, 2)
    x = mlpeak.rand(3, 4)

    def forward(y: Any) -> Any:
        thread = threading.Thread(target=lambda: seen.append(other(x)))
        thread.start()
        thread.join()
        return y * 2

    graph = capture_forward(Gate(forward), [X8])
    assert [c.name for c in graph.calls] == ["np.multiply"]
    assert all(type(y._array) is np.ndarray for y in seen)


def test_noise_from_the_default_generator() -> None:
    model = nn.Sequential(
        nn.Linear(8, 3), Gate(lambda x: x + 0.1 * mlpeak.randn_like(x) * mlpeak.rand(x.shape))
    )
    graph = check_training(model, nn.MSELoss(), [X8], [Y3])
    draws = {c.name: c.params for c in graph.calls if c.name.startswith("random")}
    assert draws["random_normal"]["shape"] == (-1, 3)
    assert draws["random_uniform"]["step"] == RandomStep(1)
    assert graph.random_draws == 2
