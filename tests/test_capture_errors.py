"""Capture: what cannot be recorded says so, and nothing of a sample run remains."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
from capture_cases import CLASS, X8, Y3, Gate, mlp, state
from mlpeak import _backend, nn
from mlpeak.autograd import Node, apply
from mlpeak.compiler import CompileError, Spec, capture_forward, capture_training
from mlpeak.nn import functional as F
from mlpeak.ops.registry import Op


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
    "computed": (lambda x: np.asarray(x) * 2, "should be a constant"),
    "part": (lambda x: np.asarray(x)[:, 1:], "should be a constant"),
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
    "by size": (lambda out, y: (out - y).abs().mean() if len(out) < 50 else out.sum(), "batch"),
    "numbers for integers": (lambda out, y: F.one_hot(y, 3).sum() * out.sum(), "'one_hot'"),
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
    with pytest.raises(ValueError, match="input has shape"):
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
