"""What tensors refuse, in which words; nothing is written by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import from_numpy, tensor


def test_a_failed_inplace_operation_writes_nothing() -> None:
    x = mlpeak.ones(3)
    for change in (
        lambda: x.add_(mlpeak.ones(2, 3)),
        lambda: x.add_(mlpeak.ones(2)),
        lambda: x.__setitem__(slice(None), mlpeak.ones(2)),
        lambda: x.__setitem__(5, 1),
        lambda: mlpeak.arange(3).add_(1.5),
        lambda: mlpeak.arange(3).div_(2),
        lambda: mlpeak.zeros(1).expand(3).add_(1),
    ):
        with pytest.raises((RuntimeError, IndexError, ValueError)):
            change()
    assert x.tolist() == [1, 1, 1]


@pytest.mark.parametrize("value", [None, "5", 1j, [None], object()])
def test_what_is_no_number_is_written_nowhere(value: Any) -> None:
    x = mlpeak.ones(3)
    mask = x > 0
    for write in (
        lambda: x.__setitem__(0, value),
        lambda: x.__setitem__(mask, value),
        lambda: x.fill_(value),
        lambda: x.copy_(value),
        lambda: x.masked_fill(mask, value),
        lambda: x.masked_fill_(mask, value),
        lambda: x.scatter_(0, tensor([0]), value),
    ):
        with pytest.raises(TypeError, match="expected a number"):
            write()
    assert x.tolist() == [1, 1, 1]


ROW = mlpeak.ones(3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tensor(["a"]), TypeError, "expected numbers"),
        (lambda: tensor([1j]), TypeError, "expected numbers"),
        (lambda: tensor([1], dtype=np.complex64), TypeError, "dtype is complex64"),
        (lambda: from_numpy([1.0]), TypeError, "expected a numpy.ndarray"),
        (lambda: from_numpy(np.zeros(2, np.float16)), TypeError, "dtype is float16"),
        (lambda: mlpeak.zeros(2, device="cuda"), ValueError, "runs on 'cpu' only"),
        (lambda: mlpeak.zeros(2).to("cuda:0"), ValueError, "cuda:0"),
        (lambda: mlpeak.zeros(-1), RuntimeError, "negative"),
        (lambda: mlpeak.zeros("a"), TypeError, "expected integers"),
        (lambda: mlpeak.arange(0, 5, -1), RuntimeError, "step sign"),
        (lambda: mlpeak.arange(0, 5, 0), RuntimeError, "nonzero"),
        (lambda: tensor([1], requires_grad=True), RuntimeError, "floating point"),
        (lambda: mlpeak.ones(2) + "a", TypeError, "operand is str"),
        (lambda: mlpeak.ones(2) + mlpeak.ones(3), RuntimeError, "do not broadcast"),
        (lambda: mlpeak.ones(2, 3) @ mlpeak.ones(2, 3), RuntimeError, "cannot be multiplied"),
        (lambda: mlpeak.ones(2) @ mlpeak.ones(2).double(), RuntimeError, "same dtype"),
        (lambda: mlpeak.ones(2, 3).reshape(4), RuntimeError, "invalid for input of size 6"),
        (lambda: mlpeak.ones(2, 3).reshape(-1, -1), RuntimeError, "only one dimension"),
        (lambda: mlpeak.ones(2, 3).T.view(6), RuntimeError, "view size is not compatible"),
        (lambda: mlpeak.ones(2, 3).sum(2), IndexError, "Dimension out of range"),
        (lambda: mlpeak.ones(2, 3).sum((0, 0)), RuntimeError, "multiple times"),
        (lambda: mlpeak.ones(2, 3).sum(True), TypeError, "must be int, not bool"),
        (lambda: mlpeak.ones(2, 3).mean((0, False)), TypeError, "must be int, not bool"),
        (lambda: mlpeak.ones(2, 3).argmax(True), TypeError, "must be int, not bool"),
        (lambda: mlpeak.ones(2, 3).max(False), TypeError, "must be int, not bool"),
        (lambda: mlpeak.ones(2, 3).softmax(True), TypeError, "must be int, not bool"),
        (lambda: mlpeak.ones(2, 3).sum(1.0), TypeError, "must be int, not float"),
        (lambda: mlpeak.ones(2, 3).var(0, 1), TypeError, "expected a bool"),
        (lambda: mlpeak.ones(2, 3).std(True, False), TypeError, "must be int, not bool"),
        (lambda: mlpeak.ones(2).var(unbiased=True, correction=0), TypeError, "both given"),
        (lambda: mlpeak.ones(2, 3).permute(0, 0), RuntimeError, "permute"),
        (lambda: mlpeak.ones(2, 3).expand(3, 3), RuntimeError, "must match the existing size"),
        (lambda: mlpeak.ones(2, 3, 4).t(), RuntimeError, "<= 2 dimensions"),
        (lambda: mlpeak.arange(3).mean(), RuntimeError, "mean"),
        (lambda: mlpeak.ones(0).max(), RuntimeError, "no extremum"),
        (lambda: mlpeak.ones(0).argmax(), RuntimeError, "no extremum"),
        (lambda: mlpeak.ones(2)[2], IndexError, "out of bounds"),
        (lambda: mlpeak.ones(2)[[0, 2]], IndexError, "out of bounds"),
        (lambda: mlpeak.ones(2)[[-3]], IndexError, "out of bounds"),
        (lambda: mlpeak.ones(2)[0, 0], IndexError, "too many indices"),
        (lambda: mlpeak.ones(2)[1.0], TypeError, "valid indices"),
        (lambda: mlpeak.ones(2)[mlpeak.ones(1)], IndexError, "must be long"),
        (lambda: mlpeak.ones(2)[mlpeak.ones(3) > 0], IndexError, "shape of the mask"),
        (lambda: mlpeak.ones(2).gather(0, tensor([2])), RuntimeError, "out of bounds"),
        (lambda: mlpeak.ones(2).gather(0, tensor([[0]])), RuntimeError, "same number of dim"),
        (lambda: mlpeak.ones(2).gather(0, tensor([0.0])), RuntimeError, "int64"),
        (lambda: mlpeak.cat([]), RuntimeError, "non-empty"),
        (lambda: mlpeak.cat([mlpeak.ones(2, 3), mlpeak.ones(3, 2)]), RuntimeError, "must match"),
        (lambda: mlpeak.stack([mlpeak.ones(2), mlpeak.ones(3)]), RuntimeError, "equal size"),
        (lambda: mlpeak.ones(5).split([1, 2]), RuntimeError, "sum exactly to 5"),
        (lambda: mlpeak.ones(5).chunk(0), RuntimeError, "greater than 0"),
        (lambda: mlpeak.arange(3) // 0, RuntimeError, "ZeroDivisionError"),
        (lambda: mlpeak.arange(3) ** -1, RuntimeError, "negative integer powers"),
        (lambda: mlpeak.ones(3) & 1, TypeError, "expected integers"),
        (lambda: -(mlpeak.ones(3) > 0), RuntimeError, "logical_not"),
        (lambda: mlpeak.randint(3, 3, (2,)), RuntimeError, "less than"),
        (lambda: mlpeak.ones(3).clamp(), ValueError, "at least one bound"),
        (lambda: tensor([4, 9]).pow_(0.5), RuntimeError, "can't be cast to the desired output"),
        (lambda: mlpeak.arange(3).clamp_(1.5), RuntimeError, "can't be cast to the desired"),
        (lambda: mlpeak.arange(3).clamp_(max=tensor(1.5)), RuntimeError, "can't be cast to the"),
        (
            lambda: mlpeak.arange(3).div(0, rounding_mode="trunc"),
            RuntimeError,
            "ZeroDivisionError",
        ),
        (lambda: mlpeak.ones(3).div(2, rounding_mode="up"), ValueError, "rounding_mode is 'up'"),
        (lambda: mlpeak.where(ROW > 0, None, ROW), TypeError, "operand is NoneType"),
        (lambda: mlpeak.where(ROW > 0, ROW), TypeError, "operand is NoneType"),
        (lambda: mlpeak.where(True, ROW, ROW), TypeError, "condition is bool"),
        (lambda: mlpeak.ones(3).eq(None), TypeError, "operand is NoneType"),
        (lambda: mlpeak.ones(3) < None, TypeError, "operand is NoneType"),
        (lambda: mlpeak.ones(3).tril(), RuntimeError, "at least 2 dimensions"),
        (lambda: tensor(1.0).triu(), RuntimeError, "at least 2 dimensions"),
        (
            lambda: mlpeak.ones(4, 3).take_along_dim(mlpeak.zeros(2, 1).long(), 1),
            RuntimeError,
            "do not broadcast",
        ),
        (
            lambda: mlpeak.ones(4, 3).take_along_dim(mlpeak.zeros(2).long(), 1),
            RuntimeError,
            "same number of dimensions",
        ),
        (lambda: tensor(float("nan"), dtype=np.int64), RuntimeError, "without overflow"),
        (lambda: tensor(2**63), RuntimeError, "without overflow"),
        (lambda: tensor([2**31], dtype=np.uint8), RuntimeError, "without overflow"),
        (lambda: tensor([1, -256], dtype=np.uint8), RuntimeError, "without overflow"),
        (lambda: tensor(-129, dtype=np.int8), RuntimeError, "without overflow"),
        (lambda: tensor(1e30, dtype=np.int64), RuntimeError, "without overflow"),
        (lambda: mlpeak.full((2,), np.inf, dtype=np.int64), RuntimeError, "without overflow"),
        (lambda: mlpeak.full((2,), 2**70, dtype=np.int64), RuntimeError, "without overflow"),
        (lambda: mlpeak.full((2,), 1j, dtype=np.int64), TypeError, "expected a number"),
        (lambda: mlpeak.full((2,), "1", dtype=np.int64), TypeError, "expected a number"),
        (lambda: mlpeak.arange(3).fill_(float("nan")), RuntimeError, "without overflow"),
        (lambda: mlpeak.Tensor(2, 3), TypeError, "must be bool, not int"),
        (lambda: tensor([1.0], requires_grad=None), TypeError, "must be bool, not NoneType"),
        (lambda: mlpeak.ones(2).requires_grad_(1), TypeError, "must be bool, not int"),
        (lambda: mlpeak.nn.functional.relu(ROW > 0), RuntimeError, "Boolean inputs"),
        (lambda: mlpeak.nn.Linear(-1, 2), RuntimeError, "negative dimension -1"),
        (lambda: mlpeak.nn.LayerNorm(-1), RuntimeError, "negative dimension -1"),
        (lambda: mlpeak.ones(3).topk(4), RuntimeError, "out of range"),
    ],
)
def test_wrong_input_is_refused_in_words(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
