"""The tape: gradients against finite differences, in-place changes, graph lifetime, modes."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import (
    Tensor,
    _core,
    cat,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    ones,
    set_grad_enabled,
    tensor,
    where,
    zeros,
)
from mlpeak.autograd import apply
from mlpeak.ops.registry import OPS, Context, Op, register
from tensor_cases import CASES, Case, loss_value, run

MODIFIED = "modified by an inplace operation"


def leaf(*values: float) -> Tensor:
    return tensor(values, dtype=np.float32, requires_grad=True)


# gradients


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_gradients_match_central_differences(case: Case) -> None:
    h = 1e-5
    arrays = case.arrays(np.float64)
    _, grads = run(mlpeak, case, np.float64)
    # the difference quotient is off by h**2/6 times a third derivative (< 1e4 here, at 0.25**-4)
    # and by the rounding of a loss of size < 100 divided by h
    tolerance = 1e4 * h**2 / 6 + 100 * np.finfo(np.float64).eps / h
    for array, grad in zip(arrays, grads, strict=True):
        numeric = np.zeros_like(array)
        for i in np.ndindex(array.shape):
            kept = array[i]
            array[i] = kept + h
            above = loss_value(case, arrays)
            array[i] = kept - h
            below = loss_value(case, arrays)
            array[i] = kept
            numeric[i] = (above - below) / (2 * h)
        np.testing.assert_allclose(np.asarray(grad), numeric, rtol=tolerance, atol=10 * tolerance)


def test_gradients_of_equal_extrema_are_shared() -> None:
    x = leaf(1, 3, 3)
    x.max().backward()
    assert x.grad.tolist() == [0, 0.5, 0.5]
    x.grad = None
    x.max(0).values.backward()
    assert x.grad.tolist() == [0, 1, 0]


def test_the_product_has_a_gradient_at_zero() -> None:
    x = leaf(2, 0, 5)
    x.prod().backward()
    assert x.grad.tolist() == [0, 10, 0]


def test_powers_of_zero_and_of_negative_numbers() -> None:
    x, y = leaf(0, -2, -2), leaf(2, 3, 2)
    z = x**y
    assert z.tolist() == [0, -8, 4]
    z.sum().backward()
    assert x.grad.tolist() == [0, 12, -4]
    assert y.grad.tolist()[0] == 0
    special = tensor([0.0, -0.0, 1.0, -1.0, -8.0, 2.0, float("inf")])
    exponents = tensor([0.0, -1.0, float("nan"), float("inf"), 1 / 3, -float("inf"), 0.0])
    with np.errstate(all="ignore"):
        expected = np.power(special.numpy(), exponents.numpy())
    np.testing.assert_array_equal((special**exponents).numpy(), expected)


def test_where_stops_a_gradient_that_is_not_finite() -> None:
    x, y = leaf(0, 4), leaf(1, 1)
    where(x > 0, x, y).backward(tensor([float("inf"), 2.0]))
    assert x.grad.tolist() == [0, 2]
    assert y.grad.tolist() == [float("inf"), 0]


def test_indices_that_repeat_add_their_gradients() -> None:
    x = leaf(1, 2)
    x[[0, 0, 1, 0]].sum().backward()
    assert x.grad.tolist() == [3, 1]


def test_gradients_accumulate_over_uses_and_calls() -> None:
    x = leaf(1, 2)
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [3, 5]
    first = x.grad
    (3 * x).sum().backward()
    assert x.grad is first
    assert first.tolist() == [6, 8]


def test_gradients_own_their_memory() -> None:
    x, y = leaf(1, 2), leaf(3, 4)
    seed = ones(2)
    (x + y).backward(seed)
    assert not np.shares_memory(x.grad.numpy(), y.grad.numpy())
    assert not np.shares_memory(x.grad.numpy(), seed.numpy())
    w = leaf(5, 6)
    (w * y.detach()).sum().backward()
    assert not np.shares_memory(w.grad.numpy(), y.detach().numpy())
    a = ones(2, 3, requires_grad=True)
    a.T.exp().sum().backward()
    assert a.grad.is_contiguous()


def test_only_what_requires_a_gradient_gets_one() -> None:
    x, y = leaf(1, 2), tensor([3.0, 4.0])
    z = x * y
    z.sum().backward()
    assert y.grad is None
    assert z.grad is None
    assert not y.requires_grad
    assert z.requires_grad
    assert not z.is_leaf
    assert x.is_leaf
    assert repr(z.grad_fn) == "<MulBackward0>"


def test_retain_grad_fills_the_gradient_of_a_result() -> None:
    x = leaf(1, 2)
    y = x * 3
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [6, 12]
    assert x.grad.tolist() == [18, 36]
    x.retain_grad()
    with pytest.raises(RuntimeError, match="requires_grad=False"):
        ones(1).retain_grad()


def test_backward_takes_a_gradient() -> None:
    x = leaf(1, 2)
    (x * 2).backward(tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2, 20]
    single = leaf(3)
    single.backward()
    assert single.grad.tolist() == [1]


def test_requires_grad_can_be_switched_on_leaves_only() -> None:
    x = ones(2)
    assert x.requires_grad_() is x
    assert x.requires_grad
    y = x * 2
    with pytest.raises(RuntimeError, match="leaf variables"):
        y.requires_grad = False
    x.requires_grad = False
    assert not x.requires_grad
    with pytest.raises(RuntimeError, match="floating point"):
        tensor([1]).requires_grad_()


def test_detach_shares_memory_and_cuts_the_graph() -> None:
    x = leaf(1, 2)
    y = (x * 2).detach()
    assert not y.requires_grad
    z = x * y
    z.sum().backward()
    assert x.grad.tolist() == [2, 4]
    assert (x * 2).detach_().is_leaf


def test_an_assigned_gradient_must_fit() -> None:
    x = leaf(1, 2)
    x.grad = ones(2)
    for wrong in (ones(3), ones(2).double()):
        with pytest.raises(RuntimeError, match="assigned grad"):
            x.grad = wrong
    with pytest.raises(TypeError, match="ndarray"):
        x.grad = np.ones(2)  # type: ignore[assignment]
    x.data = tensor([5.0, 6.0])
    assert x.tolist() == [5, 6]
    assert x.requires_grad


# errors of backward


def test_backward_needs_a_single_number_or_a_gradient() -> None:
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        ones(1).backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (x * 2).backward(ones(3))
    with pytest.raises(TypeError, match="float"):
        (x * 2).backward(1.0)  # type: ignore[arg-type]


def test_a_second_backward_needs_retain_graph() -> None:
    x = leaf(1, 2)
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad.tolist() == [4, 8]
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    assert x.grad.tolist() == [4, 8]


def test_two_losses_may_share_a_part_that_saved_nothing() -> None:
    x = leaf(1, 2)
    shared = x + 1
    (shared * 2).sum().backward()
    (shared * 3).sum().backward()
    assert x.grad.tolist() == [5, 5]


def test_an_error_in_backward_leaves_all_gradients_as_they_were() -> None:
    x, y = leaf(1, 2), leaf(3, 4)
    z = y * 1
    loss = (x + z * z).sum()
    z.mul_(2)
    with pytest.raises(RuntimeError, match=MODIFIED):
        loss.backward()
    assert x.grad is None
    assert y.grad is None


# in-place changes


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.add_(1),
        lambda y: y.zero_(),
        lambda y: y[0].fill_(3),
        lambda y: y.view(1, 2)[0].mul_(2),
        lambda y: y.detach().mul_(2),
        lambda y: y.detach()[1:].zero_(),
        lambda y: y.__setitem__(0, 1),
        lambda y: y.T.clamp_(0, 1),
        lambda y: y.bump_version(),
    ],
)
@pytest.mark.parametrize(
    "use",
    [lambda y: y * y, lambda y: y.log(), lambda y: y @ y, lambda y: y**3, lambda y: y / (y + 1)],
)
def test_changing_what_backward_needs_is_an_error(change: Any, use: Any) -> None:
    x = leaf(1, 2)
    y = x * 1
    loss = use(y).sum()
    change(y)
    with pytest.raises(RuntimeError, match=MODIFIED):
        loss.backward()


@pytest.mark.parametrize("function", ["exp", "sqrt", "tanh", "sigmoid", "relu", "reciprocal"])
def test_changing_an_output_that_backward_needs_is_an_error(function: str) -> None:
    y = getattr(leaf(1, 2), function)()
    loss = y.sum()
    y += 1
    with pytest.raises(RuntimeError, match=MODIFIED):
        loss.backward()


def test_changing_an_index_or_a_mask_that_backward_needs_is_an_error() -> None:
    x = leaf(1, 2)
    index, mask = tensor([1, 0]), tensor([True, False])
    for loss, change in (
        (x[index], lambda: index.zero_()),
        (x.gather(0, index), lambda: index.fill_(1)),
        (x[mask], lambda: mask.fill_(True)),
        (where(mask, x, 0.0), lambda: mask.fill_(False)),
    ):
        change()
        with pytest.raises(RuntimeError, match=MODIFIED):
            loss.sum().backward()


def test_changing_what_backward_does_not_need_is_fine() -> None:
    x = leaf(1, 2)
    y = x * 2
    loss = (y + 1).sum() + y.sum()
    y.zero_()
    loss.backward()
    assert x.grad.tolist() == [4, 4]


def test_a_parameter_may_change_between_steps() -> None:
    w = leaf(1, 2)
    for _ in range(3):
        loss = (w * w).sum()
        w.grad = None
        loss.backward()
        with no_grad():
            w -= 0.25 * w.grad
    assert w.tolist() == [0.125, 0.25]
    assert w.is_leaf


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.add_(1),
        lambda x: x.__iadd__(1),
        lambda x: x.zero_(),
        lambda x: x.__setitem__(0, 7),
        lambda x: x[0].fill_(7),
        lambda x: x.view(-1).add_(1),
    ],
)
def test_changing_a_leaf_in_place_is_an_error_outside_no_grad(change: Any) -> None:
    x = leaf(1, 2)
    with pytest.raises(RuntimeError, match=r"leaf Variable.* in-place operation"):
        change(x)
    assert x.tolist() == [1, 2]
    with no_grad():
        change(x)
    assert x.tolist() != [1, 2]
    assert x.requires_grad
    assert x.is_leaf


def test_a_base_knows_what_its_view_was_given() -> None:
    x, w = leaf(1, 2, 3), leaf(10)
    base = x * 1
    row = base[1:2]
    row *= w
    assert base.tolist() == [1, 20, 3]
    (base * base).sum().backward()
    assert x.grad.tolist() == [2, 400, 6]
    assert w.grad.tolist() == [80]


def test_a_view_knows_how_its_base_changed() -> None:
    x = leaf(1, 2, 3)
    base = x * 1
    view, other = base[:2], base[1:]
    base.mul_(2)
    assert view.tolist() == [2, 4]
    view.mul_(5)
    assert other.tolist() == [20, 6]
    other.sum().backward()
    assert x.grad.tolist() == [0, 10, 2]


def test_a_buffer_filled_through_views_carries_gradients() -> None:
    x, buffer = leaf(1, 2), zeros(2, 2)
    row = buffer[0]
    row.copy_(x)
    buffer[1, :] = x * 3
    assert buffer.requires_grad
    assert row.requires_grad
    (buffer * tensor([[1.0, 2.0], [10.0, 20.0]])).sum().backward()
    assert x.grad.tolist() == [31, 62]


def test_a_view_made_in_no_grad_is_not_changed_outside() -> None:
    x = leaf(1, 2) * 1
    with no_grad():
        view = x[:1]
    with pytest.raises(RuntimeError, match="created in no_grad mode"):
        view.mul_(2)


def test_a_tensor_may_be_changed_by_itself() -> None:
    x = leaf(1, 2)
    y = x * 1
    y.mul_(y)
    y[1:] = y[:1]
    y.sum().backward()
    assert x.grad.tolist() == [4, 0]


# the graph


def test_a_deep_graph_needs_no_recursion() -> None:
    x = leaf(1)
    y = x
    for _ in range(20_000):
        y = y + 0
    y.backward()
    assert x.grad.tolist() == [1]
    del y


def test_a_wide_graph_visits_each_node_once() -> None:
    x = leaf(1)
    y = x
    for _ in range(60):  # 2**60 paths
        y = y * 0.5 + y * 0.5
    y.backward()
    assert x.grad.tolist() == [1]


def test_the_order_of_addition_is_fixed() -> None:
    # the sum of gradients depends on its order: it is from the last use to the first
    scales = [1e8, 1.0, -1e8, 1.0]
    x = leaf(1)
    parts = [x * s for s in scales]
    total = parts[2] + parts[0] + (parts[3] + parts[1])
    total.backward()
    expected = np.float32(0)
    for s in reversed(scales):
        expected = np.float32(expected + np.float32(s))
    assert x.grad.tolist() == [expected]


def test_memory_is_freed_without_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x = ones(10, requires_grad=True)
        y = (x * 2).exp()
        z = (y[2:] * y[:-2]).sum()
        y.retain_grad()
        buffer = zeros(4)
        buffer[1:] = x[1:4]
        kept = [weakref.ref(t) for t in (y, z, z.grad_fn, y.grad_fn, buffer, buffer.grad_fn)]
        z.backward()
        buffer.sum().backward()
        del y, z, buffer
        assert [r() for r in kept] == [None] * len(kept)
    finally:
        gc.enable()


def test_saved_arrays_are_freed_by_backward() -> None:
    class Array(np.ndarray):  # type: ignore[type-arg]
        """An array that can be weakly referenced."""

    x = leaf(1, 2)
    saved = np.ones(2, np.float32).view(Array)
    loss = (x * Tensor(saved)).sum()
    reference = weakref.ref(saved)
    del saved
    assert reference() is not None
    loss.backward()
    assert reference() is None


# modes


def test_grad_modes_nest_and_end() -> None:
    x = leaf(1)
    with no_grad():
        assert not is_grad_enabled()
        with enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    with inference_mode():
        assert not (x * 2).requires_grad
    with set_grad_enabled(False):
        assert not is_grad_enabled()
    assert is_grad_enabled()
    set_grad_enabled(False)
    assert not is_grad_enabled()
    set_grad_enabled(True)
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert is_grad_enabled()


def test_grad_modes_decorate() -> None:
    x = leaf(1)

    @no_grad()
    def with_brackets() -> Tensor:
        return x * 2

    @no_grad
    def without_brackets() -> Tensor:
        return x * 2

    @inference_mode()
    def inference() -> Tensor:
        return x * 2

    for function in (with_brackets, without_brackets, inference):
        assert not function().requires_grad
    assert with_brackets.__name__ == "with_brackets"


def test_grad_mode_belongs_to_the_thread() -> None:
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


# operations


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


def test_results_do_not_depend_on_tier_or_threads() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(65, 130)).astype(np.float32), rng.normal(size=130).astype(np.float32)

    def grads() -> bytes:
        x, y = tensor(a, requires_grad=True), tensor(b, requires_grad=True)
        z = cat([x.exp() + y, (x @ x.T).tanh()], 1)
        (z.logsumexp(1).mean() + z.std() + (x * y).sum(0).abs().pow(1.5).mean()).backward()
        return x.grad.numpy().tobytes() + y.grad.numpy().tobytes()

    before, found = _core.tier(), set()
    try:
        for tier in _core.tiers():
            _core.select_tier(tier)
            for threads in (1, 2, 3):
                mlpeak.set_num_threads(threads)
                found.add(grads())
    finally:
        _core.select_tier(before)
    assert len(found) == 1
