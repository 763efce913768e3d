"""The tape: gradients against finite differences, backward's arguments, graph lifetime."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import mlpeak
from mlpeak import Tensor, _core, cat, ones, tensor, where, zeros
from tensor_cases import CASES, Case, leaf, loss_value, run

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


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, float("inf")])
def test_a_norm_of_zeros_has_the_gradient_zero(p: float) -> None:
    x = tensor([[0.0, 0.0], [3.0, 0.0]], requires_grad=True)
    x.norm(p, dim=1).sum().backward()
    assert x.grad.tolist() == [[0, 0], [pytest.approx(1, rel=1e-6), 0]]


def test_a_norm_that_underflows_has_the_gradient_zero() -> None:
    for p in (2, 3):
        x = leaf(1e-30, 1e-30)
        x.norm(p).backward()
        assert x.grad.tolist() == [0, 0]


def test_the_deviation_of_equal_numbers_has_the_gradient_zero() -> None:
    x = tensor([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]], requires_grad=True)
    x.std(1).sum().backward()
    assert x.grad.tolist() == [[0, 0, 0], [-0.5, 0, 0.5]]
    y = leaf(0)
    y.sqrt().backward()
    assert y.grad.tolist() == [float("inf")]


@pytest.mark.parametrize("rounding", ["trunc", "floor"])
def test_a_rounded_quotient_has_the_gradient_zero(rounding: str) -> None:
    x, y = leaf(5, 1), leaf(2, 0)
    mlpeak.div(x, y, rounding_mode=rounding).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [0, 0]


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
    x = leaf(1, 2)
    saved = np.ones(2, np.float32)
    loss = (x * Tensor(saved)).sum()
    reference = weakref.ref(saved)
    del saved
    assert reference() is not None
    loss.backward()
    assert reference() is None


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
