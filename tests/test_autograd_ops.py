"""Operations of the registry: their names, and what their forward and backward may return."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlpeak.autograd import apply
from mlpeak.ops.registry import OPS, Context, Op, register
from tensor_cases import leaf


def test_names_of_operations_are_unique() -> None:
    assert all(name == op.name for name, op in OPS.items())
    with pytest.raises(ValueError, match="'mul' is taken"):
        register(type("Mul", (Op,), {"name": "mul"})())
    with pytest.raises(ValueError, match="empty"):
        register(Op())


def test_an_operation_may_leave_out_an_input() -> None:
    class Shift(Op):
        name = "shift"

        def forward(self, ctx: Context, x: Any, b: Any) -> Any:
            return x if b is None else x + b

        def backward(self, ctx: Context, grad: Any) -> Any:
            return grad, grad if ctx.needs[1] else None

    x = leaf(1, 2)
    apply(Shift(), x, None).sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_an_operation_may_give_one_array_to_two_inputs() -> None:
    class Twice(Op):
        name = "twice"

        def forward(self, ctx: Context, a: Any, b: Any) -> Any:
            return a + b

        def backward(self, ctx: Context, grad: Any) -> Any:
            both = grad * 1
            return both, both[::-1][::-1]

    x, y = leaf(1, 2), leaf(3, 4)
    a, b = x * 1, y * 1
    (apply(Twice(), a, b) + a * 5 + b * 7).sum().backward()
    assert x.grad.tolist() == [6, 6]
    assert y.grad.tolist() == [8, 8]
    z = leaf(1, 2)
    apply(Twice(), z, y.detach()).sum().backward()
    assert not np.shares_memory(z.grad.numpy(), y.numpy(force=True))


def test_an_operation_may_return_its_input() -> None:
    class Same(Op):
        name = "same"

        def forward(self, ctx: Context, x: Any) -> Any:
            return x

        def backward(self, ctx: Context, grad: Any) -> Any:
            return (grad,)

    x = leaf(1, 2)
    y = apply(Same(), x)
    assert not np.shares_memory(x.detach().numpy(), y.detach().numpy())
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_an_operation_with_too_few_gradients_is_named() -> None:
    class Wrong(Op):
        name = "wrong"

        def forward(self, ctx: Context, a: Any, b: Any) -> Any:
            return a + b

        def backward(self, ctx: Context, grad: Any) -> Any:
            return (grad,)

    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match="wrong: backward returned 1 gradients; expected 2"):
        apply(Wrong(), x, x).sum().backward()
