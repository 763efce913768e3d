"""Operations on tensors, written once and run by mlpeak, by PyTorch and by finite differences.

A case is a name, a function of ``(m, *tensors)`` where m is `mlpeak` or `torch`, and the shapes of
the tensors. Shapes hold no accidental equal lengths, so that a swapped dim cannot pass.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import mlpeak


class Case(NamedTuple):
    name: str
    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    positive: bool = False

    def arrays(self, dtype: Any) -> list[np.ndarray[Any, Any]]:
        """Inputs of size about 1, away from 0 and from each other: every case is smooth there."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        made = []
        for shape in self.shapes:
            count = int(np.prod(shape))
            size = 0.25 + (rng.permutation(count) + rng.uniform(0.2, 0.8, count)) / max(count, 1)
            sign = 1.0 if self.positive else rng.choice([-1.0, 1.0], count)
            made.append((size * sign).reshape(shape).astype(dtype))
        return made


def _inplace(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run an in-place method on a copy that is no leaf, and return it."""

    def run(m: Any, x: Any, *others: Any) -> Any:
        y = x * 1
        function(m, y, *others)
        return y

    return run


def _set_by_mask(m: Any, x: Any, values: Any) -> None:
    mask = m.tensor([[True, False, True, True], [False] * 4, [False, True, True, True]])
    x[mask] = values


V, M, W, C = (5,), (3, 4), (4, 5), (2, 3, 4)
IDX = [2, 0, 2, 1, 0]

CASES = [
    Case("add", lambda m, x, y: x + y, (M, M)),
    Case("add rows", lambda m, x, y: x + y, (M, (4,))),
    Case("add columns", lambda m, x, y: x + y, (M, (3, 1))),
    Case("add both", lambda m, x, y: x + y, ((3, 1), (1, 4))),
    Case("add 0-d", lambda m, x, y: x + y, (M, ())),
    Case("add number", lambda m, x: 2 + x + 1.5, (M,)),
    Case("add alpha", lambda m, x, y: m.add(x, y, alpha=2), (M, M)),
    Case("sub", lambda m, x, y: x - y, (C, M)),
    Case("rsub", lambda m, x: 1 - x, (M,)),
    Case("mul", lambda m, x, y: x * y, (C, (3, 1))),
    Case("mul itself", lambda m, x: x * x, (M,)),
    Case("div", lambda m, x, y: x / y, (M, (4,))),
    Case("rdiv", lambda m, x: 3 / x, (M,)),
    Case("remainder", lambda m, x, y: x % y, (M, M)),
    Case("neg", lambda m, x: -x, (M,)),
    Case("abs", lambda m, x: abs(x), (M,)),
    Case("sign", lambda m, x: x.sign() * x, (M,)),
    Case("square", lambda m, x: x.square(), (M,)),
    Case("sqrt", lambda m, x: x.sqrt(), (M,), positive=True),
    Case("rsqrt", lambda m, x: x.rsqrt(), (M,), positive=True),
    Case("reciprocal", lambda m, x: x.reciprocal(), (M,)),
    Case("pow 2", lambda m, x: x**2, (M,)),
    Case("pow 3", lambda m, x: x**3, (M,)),
    Case("pow -1", lambda m, x: x**-1, (M,)),
    Case("pow 0.5", lambda m, x: x**0.5, (M,), positive=True),
    Case("pow 0", lambda m, x: x**0 * x, (M,)),
    Case("pow 1.7", lambda m, x: x**1.7, (M,), positive=True),
    Case("pow tensor", lambda m, x, y: x**y, (M, (4,)), positive=True),
    Case("rpow", lambda m, x: 2**x, (M,)),
    Case("exp", lambda m, x: x.exp(), (M,)),
    Case("expm1", lambda m, x: x.expm1(), (M,)),
    Case("log", lambda m, x: x.log(), (M,), positive=True),
    Case("log1p", lambda m, x: x.log1p(), (M,), positive=True),
    Case("erf", lambda m, x: x.erf(), (M,)),
    Case("tanh", lambda m, x: x.tanh(), (M,)),
    Case("sigmoid", lambda m, x: x.sigmoid(), (M,)),
    Case("relu", lambda m, x: x.relu(), (M,)),
    Case("clamp", lambda m, x: x.clamp(-0.5, 0.6), (M,)),
    Case("clamp min", lambda m, x: x.clamp(min=0.1), (M,)),
    Case("clamp tensor", lambda m, x, y: m.clamp(x, max=y), (M, (4,))),
    Case("div trunc", lambda m, x, y: m.div(x, y, rounding_mode="trunc") * x, (M, (4,))),
    Case("div floor", lambda m, x, y: m.div(x, y, rounding_mode="floor") * x, (M, (4,))),
    Case("maximum", lambda m, x, y: m.maximum(x, y), (M, (4,))),
    Case("minimum", lambda m, x, y: m.minimum(x, y), (M, (4,))),
    Case("maximum of equals", lambda m, x: m.maximum(x, x * 1), (M,)),
    Case("where", lambda m, x, y: m.where(x > 0, x, y), (M, (4,))),
    Case("where number", lambda m, x: m.where(x > 0, x, 0.0), (M,)),
    Case("clone", lambda m, x: x.clone(), (M,)),
    Case("matmul", lambda m, x, y: x @ y, (M, W)),
    Case("matmul vector matrix", lambda m, x, y: x @ y, ((4,), W)),
    Case("matmul matrix vector", lambda m, x, y: x @ y, (M, (4,))),
    Case("matmul vectors", lambda m, x, y: x @ y, (V, V)),
    Case("matmul transposed", lambda m, x, y: x @ y.T, (M, (5, 4))),
    Case("matmul both transposed", lambda m, x, y: x.T @ y.T, ((4, 3), (5, 4))),
    Case("matmul stack", lambda m, x, y: x @ y, (C, (2, 4, 5))),
    Case("matmul stack matrix", lambda m, x, y: x @ y, (C, W)),
    Case("matmul matrix stack", lambda m, x, y: x @ y, (M, (2, 4, 5))),
    Case("matmul stacks broadcast", lambda m, x, y: x @ y, ((2, 1, 3, 4), (6, 4, 5))),
    Case("matmul stack vector", lambda m, x, y: x @ y, (C, (4,))),
    Case("matmul vector stack", lambda m, x, y: x @ y, ((3,), C)),
    Case("mm", lambda m, x, y: m.mm(x, y), (M, W)),
    Case("mv", lambda m, x, y: m.mv(x, y), (M, (4,))),
    Case("dot", lambda m, x, y: m.dot(x, y), (V, V)),
    Case("bmm", lambda m, x, y: m.bmm(x, y), (C, (2, 4, 5))),
    Case("outer", lambda m, x, y: m.outer(x, y), (V, (3,))),
    Case("sum", lambda m, x: x.sum(), (C,)),
    Case("sum 0", lambda m, x: x.sum(0), (C,)),
    Case("sum 1 keep", lambda m, x: x.sum(dim=1, keepdim=True), (C,)),
    Case("sum 0 2", lambda m, x: x.sum((0, 2)), (C,)),
    Case("sum -1 0", lambda m, x: x.sum((-1, 0), keepdim=True), (C,)),
    Case("sum 0-d", lambda m, x: x.sum(0), ((),)),
    Case("mean", lambda m, x: x.mean(), (C,)),
    Case("mean 1", lambda m, x: x.mean(1), (C,)),
    Case("mean 0 1", lambda m, x: x.mean((0, 1), keepdim=True), (C,)),
    Case("var", lambda m, x: x.var(), (C,)),
    Case("var 1", lambda m, x: x.var(1, keepdim=True), (C,)),
    Case("var biased", lambda m, x: x.var(dim=(0, 2), correction=0), (C,)),
    Case("std", lambda m, x: x.std(0), (M,)),
    Case("std unbiased", lambda m, x: x.std(unbiased=False), (M,)),
    Case("std biased", lambda m, x: x.std(False), (M,)),
    Case("var dim biased", lambda m, x: x.var((0, 2), False), (C,)),
    Case("std by position", lambda m, x: m.std(x, 1, False, True), (C,)),
    Case("prod", lambda m, x: x.prod(), (M,)),
    Case("prod 1", lambda m, x: x.prod(1, keepdim=True), (C,)),
    Case("cumsum", lambda m, x: x.cumsum(1), (C,)),
    Case("max", lambda m, x: x.max(), (C,)),
    Case("max 1", lambda m, x: x.max(1).values, (C,)),
    Case("max keep", lambda m, x: x.max(-1, keepdim=True)[0], (C,)),
    Case("max tensor", lambda m, x, y: m.max(x, y), (M, M)),
    Case("min", lambda m, x: x.min(), (C,)),
    Case("min 0", lambda m, x: m.min(x, 0)[0], (C,)),
    Case("amax", lambda m, x: x.amax((0, 2)), (C,)),
    Case("amin", lambda m, x: x.amin(1, keepdim=True), (C,)),
    Case("logsumexp", lambda m, x: x.logsumexp(1), (C,)),
    Case("logsumexp keep", lambda m, x: x.logsumexp((0, 2), keepdim=True), (C,)),
    Case("norm", lambda m, x: x.norm(), (C,)),
    Case("norm 1", lambda m, x: x.norm(1, dim=1), (C,)),
    Case("norm 3", lambda m, x: x.norm(3, dim=1), (C,)),
    Case("norm 0.5", lambda m, x: x.norm(0.5, dim=1), (M,)),
    Case("sort", lambda m, x: x.sort(1)[0], (C,)),
    Case("sort descending", lambda m, x: x.sort(0, descending=True)[0], (M,)),
    Case("topk", lambda m, x: x.topk(2, dim=1)[0], (C,)),
    Case("topk smallest", lambda m, x: x.topk(2, largest=False).values, (C,)),
    Case("reshape", lambda m, x: x.reshape(4, -1) * 2, (C,)),
    Case("reshape transposed", lambda m, x: x.T.reshape(2, 6), (M,)),
    Case("view", lambda m, x: x.view((6, 4)), (C,)),
    Case("flatten", lambda m, x: x.flatten(1), (C,)),
    Case("flatten 0-d", lambda m, x: x.flatten(), ((),)),
    Case("unflatten", lambda m, x: x.unflatten(2, (2, -1)), (C,)),
    Case("squeeze", lambda m, x: x.squeeze(), ((1, 3, 1, 2),)),
    Case("squeeze 2", lambda m, x: x.squeeze(2), ((1, 3, 1, 2),)),
    Case("squeeze 1", lambda m, x: x.squeeze(1), ((1, 3, 1, 2),)),
    Case("unsqueeze", lambda m, x: x.unsqueeze(-1) * x.unsqueeze(1), (M,)),
    Case("transpose", lambda m, x: x.transpose(0, 2), (C,)),
    Case("permute", lambda m, x: x.permute(2, 0, 1), (C,)),
    Case("permute tuple", lambda m, x: m.permute(x, (1, 2, 0)), (C,)),
    Case("movedim", lambda m, x: x.movedim(0, -1), (C,)),
    Case("t", lambda m, x: x.t(), (M,)),
    Case("mT", lambda m, x: x.mT, (C,)),
    Case("expand", lambda m, x: x.expand(2, -1, 4), ((3, 1),)),
    Case("expand_as", lambda m, x, y: x.expand_as(y) * y, ((4,), M)),
    Case("repeat", lambda m, x: x.repeat(2, 3, 1), (M,)),
    Case("flip", lambda m, x: x.flip(0, 2), (C,)),
    Case("tril", lambda m, x: x.tril(1), (M,)),
    Case("triu", lambda m, x: m.triu(x, -1), (M,)),
    Case("cat", lambda m, x, y: m.cat([x, y, x], dim=1), (M, (3, 2))),
    Case("stack", lambda m, x, y: m.stack((x, y), 1), (M, M)),
    Case("hstack", lambda m, x, y: m.hstack((x, y)), (M, (3, 2))),
    Case("vstack", lambda m, x, y: m.vstack((x, y)), (M, (4,))),
    Case("split", lambda m, x: x.split(2, dim=1)[1] * 3, ((3, 5),)),
    Case("split sections", lambda m, x: m.split(x, [1, 4], 1)[1], ((3, 5),)),
    Case("chunk", lambda m, x: x.chunk(3, 1)[2], ((3, 5),)),
    Case("unbind", lambda m, x: x.unbind(1)[1], (C,)),
    Case("narrow", lambda m, x: x.narrow(1, 1, 2), (C,)),
    Case("index int", lambda m, x: x[1], (C,)),
    Case("index scalar", lambda m, x: x[1, -1], (M,)),
    Case("index slices", lambda m, x: x[:, 1:, ::2], (C,)),
    Case("index None", lambda m, x: x[None, :, None, 1], (C,)),
    Case("index ellipsis", lambda m, x: x[..., 2], (C,)),
    Case("index list", lambda m, x: x[IDX], (M,)),
    Case("index negative list", lambda m, x: x[[-1, 0]], (M,)),
    Case("index rows", lambda m, x: x[m.tensor(IDX)], (M,)),
    Case("index matrix", lambda m, x: x[m.tensor([IDX, IDX])], (M,)),
    Case("index columns", lambda m, x: x[:, m.tensor(IDX)], (M,)),
    Case("index pairs", lambda m, x: x[m.arange(3), m.tensor([3, 0, 3])], (M,)),
    Case("index int and list", lambda m, x: x[0, :, IDX], (C,)),
    Case("index list and slice", lambda m, x: x[[1, 0], 1:, [3, 3]], (C,)),
    Case("index mask", lambda m, x: x[x > 0], (C,)),
    Case("index row mask", lambda m, x: x[m.tensor([True, False, True])], (M,)),
    Case("index column mask", lambda m, x: x[:, m.tensor([True, False, True, True])], (M,)),
    Case("index mask and list", lambda m, x: x[x[:, :, 0] > -9, [*IDX, 0]], (C,)),
    Case("index rows of a stack", lambda m, x: x[m.tensor([1, 0, -1, 1])], (C,)),
    Case("index numbers", lambda m, x: x[m.tensor(IDX) - 5], (V,)),
    Case("index true", lambda m, x: x[m.tensor(True)], (M,)),
    Case("gather", lambda m, x: x.gather(1, m.tensor([[0, 3], [1, 1], [2, 0]])), (M,)),
    Case("gather 0", lambda m, x: m.gather(x, 0, m.tensor([[0, 2, 2], [1, 1, 0]])), (M,)),
    Case("take_along_dim", lambda m, x: m.take_along_dim(x, x.argsort(1), 1), (M,)),
    Case(
        "take_along_dim broadcast", lambda m, x: m.take_along_dim(x, m.tensor([[2], [0]]), 0), (M,)
    ),
    Case("take_along_dim columns", lambda m, x: x.take_along_dim(m.tensor([[3, 3]]), -1), (M,)),
    Case("take_along_dim flat", lambda m, x: m.take_along_dim(x, m.tensor([[5], [5]])), (M,)),
    Case("index_select", lambda m, x: x.index_select(1, m.tensor(IDX)), (M,)),
    Case("masked_fill", lambda m, x: x.masked_fill(x > 0.5, -1.0), (M,)),
    Case("masked_fill row", lambda m, x, y: x.masked_fill(y > 0, 0), (M, (4,))),
    Case("masked_select", lambda m, x: x.masked_select(x > 0), (M,)),
    Case("scatter", lambda m, x, y: x.scatter(1, m.tensor([[0, 3], [1, 2]]), y), (M, (2, 2))),
    Case("scatter number", lambda m, x: x.scatter(0, m.tensor([[0, 2, 1, 1]]), 7.0), (M,)),
    Case("scatter_add", lambda m, x, y: x.scatter_add(1, m.tensor([[1, 1, 0]]), y), (M, (1, 3))),
    Case("add_", _inplace(lambda m, x, y: x.add_(y, alpha=2)), (M, (4,))),
    Case("+=", _inplace(lambda m, x, y: x.__iadd__(y)), (M, (4,))),
    Case("sub_", _inplace(lambda m, x, y: x.sub_(y)), (M, M)),
    Case("mul_", _inplace(lambda m, x: x.mul_(3)), (M,)),
    Case("div_", _inplace(lambda m, x: x.div_(3)), (M,)),
    Case("neg_", _inplace(lambda m, x: x.neg_()), (M,)),
    Case("exp_", _inplace(lambda m, x: x.exp_()), (M,)),
    Case("tanh_", _inplace(lambda m, x: x.tanh_()), (M,)),
    Case("zero_", _inplace(lambda m, x: x.zero_()), (M,)),
    Case("fill_", _inplace(lambda m, x, y: x.fill_(y)), (M, ())),
    Case("copy_", _inplace(lambda m, x, y: x.copy_(y)), (M, (4,))),
    Case("masked_fill_", _inplace(lambda m, x: x.masked_fill_(x.detach() > 0, 2)), (M,)),
    Case("setitem row", _inplace(lambda m, x, y: x.__setitem__(1, y)), (M, (4,))),
    Case("setitem number", _inplace(lambda m, x: x.__setitem__((slice(None), 2), 5)), (M,)),
    Case("setitem list", _inplace(lambda m, x, y: x.__setitem__([2, 0], y)), (M, (2, 4))),
    Case("setitem mask", _inplace(lambda m, x: x.__setitem__(x.detach() > 0, 0)), (M,)),
    Case("setitem mask of one row", _inplace(_set_by_mask), (M, (1, 6))),
    Case("clamp_ tensor", _inplace(lambda m, x, y: x.clamp_(max=y)), (M, (4,))),
    Case("setitem leading 1", _inplace(lambda m, x, y: x.__setitem__(2, y)), (M, (1, 4))),
    Case("setitem one", _inplace(lambda m, x, y: x.__setitem__((1, 2), y)), (M, (1,))),
    Case("setitem all", _inplace(lambda m, x, y: x.__setitem__(..., y)), (M, M)),
    Case("setitem mixed", _inplace(lambda m, x, y: x.__setitem__((0, [1, 2]), y)), (C, (2, 4))),
    Case("view then mul_", _inplace(lambda m, x, y: x[1].mul_(y)), (M, (4,))),
    Case("transposed view then add_", _inplace(lambda m, x, y: x.T.add_(y)), (M, (4, 3))),
    Case("view of view", _inplace(lambda m, x, y: x.view(4, 3)[1:].t()[0].mul_(y)), (M, (3,))),
]


def run(m: Any, case: Case, dtype: Any) -> tuple[Any, list[Any]]:
    """Return the case's output and, for weights that differ everywhere, its input gradients."""
    inputs = [m.tensor(a, requires_grad=True) for a in case.arrays(dtype)]
    output = case.function(m, *inputs)
    weights = m.tensor(output_weights(tuple(output.shape)).astype(dtype))
    (output * weights).sum().backward()
    grads = [np.zeros(tuple(x.shape), dtype) if x.grad is None else x.grad for x in inputs]
    return output.detach(), grads


def output_weights(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return weights between 0.5 and 1.5 for the elements of an output."""
    count = int(np.prod(shape))
    return (0.5 + (np.arange(count) * 0.618034) % 1).reshape(shape)


def loss_value(case: Case, arrays: list[np.ndarray[Any, Any]]) -> float:
    """Return the weighted sum that `run` differentiates, without recording."""
    output = case.function(mlpeak, *(mlpeak.Tensor(a.copy()) for a in arrays))
    return float((output.numpy() * output_weights(output.shape)).sum())


def leaf(*values: float) -> mlpeak.Tensor:
    """Return a vector that gets a gradient."""
    return mlpeak.tensor(values, dtype=np.float32, requires_grad=True)
