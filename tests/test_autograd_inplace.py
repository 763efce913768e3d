"""The tape and in-place changes: what is noticed, what is fine, views and their bases."""

from __future__ import annotations

from typing import Any

import pytest

from mlpeak import nn, no_grad, tensor, where, zeros
from tensor_cases import leaf

MODIFIED = "modified by an inplace operation"


def test_an_error_in_backward_leaves_all_gradients_as_they_were() -> None:
    x, y = leaf(1, 2), leaf(3, 4)
    z = y * 1
    loss = (x + z * z).sum()
    z.mul_(2)
    with pytest.raises(RuntimeError, match=MODIFIED):
        loss.backward()
    assert x.grad is None
    assert y.grad is None


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


@pytest.mark.parametrize(
    "use",
    [
        lambda y, w: nn.functional.linear(y.unsqueeze(0), w.unsqueeze(0)),
        lambda y, w: y @ w,
        lambda y, w: w @ y,
        lambda y, w: y.expand(3, 2) @ w,
        lambda y, w: y * w,
        lambda y, w: w / y.detach(),
    ],
)
def test_changing_what_no_wanted_gradient_needs_is_fine(use: Any) -> None:
    w = leaf(3, 4)
    fixed = tensor([5.0, 6.0])
    y = fixed * 1
    use(y, w).sum().backward()
    expected = w.grad.tolist()
    w.grad = None
    x = w * 1
    loss = use(y, x).sum()
    x.add_(1)
    loss.backward()
    assert w.grad.tolist() == expected


def test_a_remainders_divisor_may_change_where_it_gets_no_gradient() -> None:
    x, y = leaf(5, 7), tensor([3.0, 4.0])
    loss = (x % y).sum()
    y.add_(1)
    loss.backward()
    assert x.grad.tolist() == [1, 1]


def test_an_output_that_only_an_exponents_gradient_needs_may_change() -> None:
    x = leaf(1, 2)
    y = x ** tensor([2.0, 3.0])
    y += 1
    y.sum().backward()
    assert x.grad.tolist() == [2, 12]


def test_a_retained_gradient_is_that_of_the_last_version() -> None:
    x = leaf(1, 2)
    y = x * 1
    y.retain_grad()
    y.mul_(3)
    y.sum().backward()
    assert y.grad.tolist() == [1, 1]
    assert x.grad.tolist() == [3, 3]


def test_a_retained_gradient_survives_a_change_through_a_view() -> None:
    x = leaf(1, 2)
    y = x * 1
    y.retain_grad()
    part = y[:1]
    part.retain_grad()
    y.mul_(3)
    y[1].add_(1)
    (y.sum() + part.sum()).backward()
    assert y.grad.tolist() == [2, 1]
    assert part.grad.tolist() == [1]
    assert x.grad.tolist() == [6, 3]
