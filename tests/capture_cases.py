"""Models, losses and data that the tests of capture and of compiled steps share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import mlpeak
from mlpeak import nn
from mlpeak.compiler import Spec
from mlpeak.nn import functional as F

INT = np.dtype(np.int64)
X8 = Spec((8,))
Y3 = Spec((3,))
CLASS = Spec((), INT)


def mlp(*activations: nn.Module) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(8, 12)]
    for activation in activations:
        layers += [activation, nn.Linear(12, 12)]
    return nn.Sequential(*layers, nn.Linear(12, 3))


class Gate(nn.Module):
    def __init__(self, branch: Callable[[Any], Any]) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: mlpeak.Tensor) -> mlpeak.Tensor:
        return self.branch(x)


def state(model: nn.Module) -> dict[str, bytes]:
    return {name: t._array.tobytes() for name, t in model.state_dict().items()}


def data_for(spec: Spec, samples: int, rng: np.random.Generator, classes: int = 3) -> Any:
    shape = (samples, *spec.shape)
    if spec.dtype.kind == "f":
        return rng.uniform(0.05, 0.95, shape).astype(spec.dtype)
    return rng.integers(0, classes, shape).astype(spec.dtype)


ACTIVATIONS = [
    nn.ReLU(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.SELU(), nn.GELU(), nn.GELU(approximate="tanh"),
    nn.SiLU(), nn.Mish(), nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh(), nn.Softplus(2.0, 5.0),
    nn.Softmax(-1), nn.LogSoftmax(1), nn.Softmax(0),
]  # fmt: skip


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
    "bounds of tensors": lambda out, y: out.clamp(min=y - 0.5, max=y).square().mean(),
    "rounded quotient": lambda out, y: (out * mlpeak.div(out, y, rounding_mode="trunc")).mean(),
    "largest": lambda out, y: (out - y).abs().max() + out.amax(1).sum(),
    "powers": lambda out, y: ((out.abs() + 0.1) ** y + 2.0**out + (out + 3) ** 0.5).sum(),
    "norm": lambda out, y: (out - y).norm(dim=1).mean() + (out - y).norm(1),
    "norm of zeros": lambda out, y: (
        (out * 0.0).norm(dim=1) + (out * 0.0).norm(1.5, dim=1) + (out - y).norm(3, dim=1)
    ).sum(),
    "std of a constant": lambda out, y: ((out * 0.0 + 1.0).std(1) + (out * y).std(1)).sum(),
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
