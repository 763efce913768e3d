"""Losses against PyTorch: values and gradients of every loss, reduction and option."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from losses_cases import (
    CASES,
    CLASS_CASES,
    CLASS_IDS,
    DTYPES,
    IDS,
    REDUCTIONS,
    Array,
    Case,
    ClassCase,
    as_tuple,
    loss,
)
from mlpeak import kernels


def functional() -> tuple[Any, Any]:
    torch = pytest.importorskip("torch")
    return torch, torch.nn.functional


def same(got: Array, want: Any, operands: float, terms: int = 1) -> None:
    """Compare with PyTorch's number.

    Each side does some twenty roundings on terms no larger than `operands`, and adds `terms` of
    them in an order of its own.
    """
    expected = want.detach().numpy()
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    largest = max(operands, float(np.max(np.abs(expected), initial=0)))
    eps = float(np.finfo(got.dtype).eps)
    np.testing.assert_allclose(got, expected, rtol=0, atol=(40 + terms) * eps * largest)


def compare(
    name: str,
    torch_loss: Any,
    arrays: tuple[Array, ...],
    differentiable: tuple[int, ...],
    options: dict[str, Any],
    torch_options: dict[str, Any],
    reduction: str,
) -> None:
    """Value, and gradients for a random grad_output."""
    torch, _ = functional()
    tensors = [torch.from_numpy(a.copy()) for a in arrays]
    for i in differentiable:
        tensors[i].requires_grad_(True)
    want = torch_loss(*tensors, **torch_options, reduction=reduction)
    got = loss(name)(*arrays, **options, reduction=reduction)
    floats = [a[np.isfinite(a)] for a in arrays if a.dtype.kind == "f"]
    operands = max(float(np.max(np.abs(a), initial=1)) for a in floats)
    terms = 1 if reduction == "none" else arrays[0].size
    same(got, want, operands * terms if reduction == "sum" else operands, min(terms, 200))
    g = np.asarray(np.random.default_rng(1).normal(size=got.shape)).astype(got.dtype)
    want.backward(torch.from_numpy(g))
    grads = as_tuple(loss(name + "_backward")(g, *arrays, **options, reduction=reduction))
    for i, grad in zip(differentiable, grads, strict=True):
        same(grad, tensors[i].grad, float(np.max(np.abs(g))))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_elementwise_loss(case: Case, dtype: Any, reduction: str, backend: str) -> None:
    _, F = functional()
    differentiable = (0, 2) if case.name == "gaussian_nll_loss" else (0,)
    for shape in ((7,), (33, 5), (4, 3, 2)):
        compare(
            case.name,
            getattr(F, case.name),
            case.make(shape, dtype),
            differentiable,
            case.options,
            case.options,
            reduction,
        )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CLASS_CASES, ids=CLASS_IDS)
def test_class_loss(case: ClassCase, dtype: Any, reduction: str, backend: str) -> None:
    torch, F = functional()
    for batch, classes in ((1, 2), (6, 4), (33, 10)):
        x, target, options = case.make(batch, classes, dtype)
        torch_options = {
            k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()
        }
        compare(
            case.name,
            getattr(F, case.name),
            (x, target),
            (0,),
            options,
            torch_options,
            reduction,
        )


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_pos_weight(dtype: Any, reduction: str, backend: str) -> None:
    torch, F = functional()
    rng = np.random.default_rng(2)
    x = (5 * rng.normal(size=(9, 4))).astype(dtype)
    t = rng.uniform(0, 1, (9, 4)).astype(dtype)
    for pos_weight in (rng.uniform(0.2, 3, 4).astype(dtype), np.asarray(2.5, dtype)):
        compare(
            "binary_cross_entropy_with_logits",
            F.binary_cross_entropy_with_logits,
            (x, t),
            (0,),
            {"pos_weight": pos_weight},
            {"pos_weight": torch.from_numpy(pos_weight)},
            reduction,
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_cross_entropy_at_the_ends_of_its_range(dtype: Any, backend: str) -> None:
    """The clamps: log at -100, x (1 - x) at 1e-12."""
    torch, F = functional()
    tiny = float(np.finfo(dtype).tiny)
    x = np.array([0, 0, 0, 1, 1, 1, tiny, tiny, 1e-13, 1 - 1e-7], dtype)
    t = np.array([0, 1, 0.5, 0, 1, 0.5, 0, 1, 1, 0], dtype)
    tensor = torch.from_numpy(x.copy()).requires_grad_(True)
    want = F.binary_cross_entropy(tensor, torch.from_numpy(t), reduction="none")
    got = kernels.binary_cross_entropy(x, t, reduction="none")
    rtol = 16 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=rtol)
    want.backward(torch.ones_like(want))
    grad = kernels.binary_cross_entropy_backward(np.ones_like(x), x, t, reduction="none")
    # PyTorch holds its 1e-12 in float32, whatever the tensor's dtype
    np.testing.assert_allclose(grad, tensor.grad.numpy(), rtol=float(np.finfo(np.float32).eps))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_variance_gradient_ignores_the_clamp(dtype: Any, backend: str) -> None:
    _, F = functional()
    x = np.array([1.0, 1.0, -2.0, 0.5], dtype)
    t = np.array([0.0, 1.0, 1.0, 0.5], dtype)
    var = np.array([0.0, 0.01, 0.05, 2.0], dtype)
    compare(
        "gaussian_nll_loss",
        F.gaussian_nll_loss,
        (x, t, var),
        (0, 2),
        {"eps": 0.1},
        {"eps": 0.1},
        "none",
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_on_the_kinks(dtype: Any, backend: str) -> None:
    """At x = t, and where |x - t| is just the threshold."""
    _, F = functional()
    x = np.array([1.0, 2.0, 0.0, 1.0], dtype)
    t = np.array([1.0, 1.0, 1.0, 1.0], dtype)
    for name, options in (
        ("l1_loss", {}),
        ("smooth_l1_loss", {"beta": 1.0}),
        ("smooth_l1_loss", {"beta": 0.0}),
        ("huber_loss", {"delta": 1.0}),
    ):
        compare(name, getattr(F, name), (x, t), (0,), options, options, "none")


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_mean_over_ignored_rows_alone_is_nan(name: str, backend: str) -> None:
    torch, F = functional()
    x = np.random.default_rng(3).normal(size=(3, 4))
    t = np.full(3, -100)
    tensor = torch.from_numpy(x.copy()).requires_grad_(True)
    want = getattr(F, name)(tensor, torch.from_numpy(t))
    assert torch.isnan(want)
    assert np.isnan(loss(name)(x, t))
    want.backward()
    grad = loss(name + "_backward")(np.ones(()), x, t)
    assert np.array_equal(grad, tensor.grad.numpy())


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_sample_weight_is_the_weight_of_binary_cross_entropy(reduction: str, backend: str) -> None:
    torch, F = functional()
    rng = np.random.default_rng(4)
    x, t, w = rng.uniform(0.1, 0.9, (5, 3)), rng.uniform(0, 1, (5, 3)), rng.random(5)
    weight = torch.from_numpy(np.repeat(w[:, np.newaxis], 3, axis=1))
    compare(
        "binary_cross_entropy",
        F.binary_cross_entropy,
        (x, t),
        (0,),
        {"sample_weight": w},
        {"weight": weight},
        reduction,
    )
