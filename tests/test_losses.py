"""Element-wise and class losses: compiled against the reference, gradients, weights, bits."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

import mlpeak
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
    close,
    loss,
    oracle,
)
from mlpeak import _core, kernels

# Straddling the registers (1 to 16 lanes), the fixed lanes (8, 16) and the chunk (1024).
SIZES = (1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 1023, 1024, 1025, 2500)
# A value or derivative is at most a dozen roundings, of eps / 2 each, of its terms.
ROUNDINGS = 6
# A sum adds at most chunk / lanes + log2(lanes) = 1024 / 8 + 3 terms one after the other in T.
ADDITIONS = 131


def upstream(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.asarray(np.random.default_rng(9).normal(size=shape)).astype(dtype)


def check_case(case: Case, arrays: tuple[Array, ...], **keywords: Any) -> None:
    """Compare value and gradients of every reduction with the reference."""
    dtype = arrays[0].dtype
    eps = float(np.finfo(dtype).eps)
    wide = [a.astype(np.float64) for a in arrays]
    weight = keywords.get("sample_weight")
    w = np.ones(1) if weight is None else weight.reshape(-1, *[1] * (arrays[0].ndim - 1))
    p = float(np.max(keywords.get("pos_weight", 1.0)))
    value_terms = w * case.value_terms(*wide) * max(p, 1)
    derivative_terms = [w * d * max(p, 1) for d in case.derivative_terms(*wide)]
    divisor = float(np.sum(np.broadcast_to(w, wide[0].shape)))
    for reduction in REDUCTIONS:
        options = {**case.options, **keywords, "reduction": reduction}
        want = oracle(case.name)(*arrays, **options)
        got = loss(case.name)(*arrays, **options)
        scale = 1.0 / divisor if reduction == "mean" else 1.0
        if reduction == "none":
            close(got, want, ROUNDINGS * eps * value_terms)
        else:
            close(got, want, (ROUNDINGS + ADDITIONS) * eps * value_terms.sum() * scale)
        g = upstream(want.shape, dtype)
        wants = as_tuple(oracle(case.name + "_backward")(g, *arrays, **options))
        gots = as_tuple(loss(case.name + "_backward")(g, *arrays, **options))
        assert len(gots) == len(arrays) - 1
        for a, b, terms in zip(gots, wants, derivative_terms, strict=True):
            close(a, b, ROUNDINGS * eps * terms * np.abs(g) * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_matches_the_reference_at_every_size(case: Case, dtype: Any, tier: str) -> None:
    for size in SIZES:
        check_case(case, case.make((size,), dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize(
    "shape", [(5,), (6, 1), (300, 3), (5, 7, 3), (3, 1025), (2, 3000)], ids=str
)
def test_sample_weights_match_the_reference(
    case: Case, dtype: Any, shape: tuple[int, ...], tier: str
) -> None:
    weight = np.random.default_rng(1).uniform(0, 2, shape[0]).astype(dtype)
    check_case(case, case.make(shape, dtype), sample_weight=weight)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(1,), (9,), (4, 1), (300, 3), (5, 7, 3), (3, 1025)], ids=str)
def test_pos_weight_follows_the_last_axis(
    shape: tuple[int, ...], weighted: bool, dtype: Any, tier: str
) -> None:
    case = next(c for c in CASES if c.name == "binary_cross_entropy_with_logits")
    arrays = case.make(shape, dtype)
    rng = np.random.default_rng(2)
    keywords = {"sample_weight": rng.uniform(0, 2, shape[0]).astype(dtype)} if weighted else {}
    for pos_shape in ((), (1,), (shape[-1],)):
        pos_weight = np.asarray(rng.uniform(0.5, 3, pos_shape), dtype)
        check_case(case, arrays, pos_weight=pos_weight, **keywords)


def check_class_case(case: ClassCase, batch: int, classes: int, dtype: Any, weighted: bool) -> None:
    x, target, options = case.make(batch, classes, dtype)
    eps = float(np.finfo(dtype).eps)
    if weighted:
        options["sample_weight"] = np.random.default_rng(3).uniform(0, 2, batch).astype(dtype)
    w = options.get("sample_weight", np.ones(batch))
    class_weight = options.get("weight", np.ones(classes))
    rows = class_weight[target] * (target != -1) if target.ndim == 1 else np.ones(batch)
    divisor = float((w * rows).sum())  # the data leave at least one row
    largest = float(np.max(class_weight))  # bounds sum_c a_c of a row
    spread = float(np.max(x) - np.min(x))  # bounds |x_c - max x|, so also |log softmax| - log C
    # The exponentials' sum adds classes / lanes + log2(lanes) terms, lanes >= 8; the rest is about
    # a dozen roundings. exp(d) turns the rounding of d into a relative error of |d| eps.
    steps = ROUNDINGS + classes / 8
    row_terms = w * largest * (1 + np.log(classes) + spread)
    grad_terms = 2 * (w * largest)[:, np.newaxis] * (1 + spread / steps)
    for reduction in REDUCTIONS:
        keywords = {**options, "reduction": reduction}
        want = oracle(case.name)(x, target, **keywords)
        got = loss(case.name)(x, target, **keywords)
        scale = 1.0 / divisor if reduction == "mean" else 1.0
        terms = row_terms if reduction == "none" else row_terms.sum()
        close(got, want, 2 * steps * eps * terms * scale)
        g = upstream(want.shape, dtype)
        want = oracle(case.name + "_backward")(g, x, target, **keywords)
        got = loss(case.name + "_backward")(g, x, target, **keywords)
        g_rows = np.broadcast_to(np.abs(g), batch)[:, np.newaxis]
        close(got, want, steps * eps * grad_terms * g_rows * scale)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CLASS_CASES, ids=CLASS_IDS)
def test_class_losses_match_the_reference(case: ClassCase, dtype: Any, tier: str) -> None:
    for classes in (1, 2, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 65, 1000):
        check_class_case(case, 9, classes, dtype, weighted=classes % 2 == 0)
    for batch in (1, 63, 64, 65, 200):  # a chunk of a sum is 64 rows
        check_class_case(case, batch, 5, dtype, weighted=batch % 2 == 0)


# ---- gradients -----------------------------------------------------------------------------------

# Central differences: h^2 f'''/6 + 2 eps |loss| / h, where the data keep f''' < 1e4.
STEP = 2e-6


def difference(f: Any, x: Array) -> Array:
    grad = np.empty_like(x)
    for i in np.ndindex(x.shape):
        high, low = x.copy(), x.copy()
        high[i] += STEP
        low[i] -= STEP
        grad[i] = (float(f(high)) - float(f(low))) / (2 * STEP)
    return grad


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_gradient_is_the_central_difference(case: Case, reduction: str, backend: str) -> None:
    arrays = case.make((4, 3), np.float64)
    weight = np.array([0.5, 2.0, 0.0, 1.0])
    options = {**case.options, "reduction": reduction, "sample_weight": weight}
    g = upstream((4, 3) if reduction == "none" else (), np.float64)
    gots = as_tuple(loss(case.name + "_backward")(g, *arrays, **options))
    for k, got in zip((0, 2), gots, strict=False):

        def total(a: Array, k: int = k) -> Array:
            moved = [*arrays[:k], a, *arrays[k + 1 :]]
            return np.sum(g * loss(case.name)(*moved, **options))

        size = float(np.sum(np.abs(g * loss(case.name)(*arrays, **options))))
        bound = 1e4 * STEP**2 + 4 * np.finfo(np.float64).eps * (1 + size) / STEP
        close(got, difference(total, arrays[k]), bound)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", CLASS_CASES, ids=CLASS_IDS)
def test_class_gradient_is_the_central_difference(
    case: ClassCase, reduction: str, backend: str
) -> None:
    x, target, options = case.make(6, 4, np.float64)
    weight = np.array([0.5, 2.0, 0.0, 1.0, 0.3, 1.5])
    options.update(reduction=reduction, sample_weight=weight)
    g = upstream((6,) if reduction == "none" else (), np.float64)

    def total(a: Array) -> Array:
        return np.sum(g * loss(case.name)(a, target, **options))

    got = loss(case.name + "_backward")(g, x, target, **options)
    bound = 1e4 * STEP**2 + 4 * np.finfo(np.float64).eps * (1 + abs(float(total(x)))) / STEP
    close(got, difference(total, x), bound)


# ---- what the numbers mean -----------------------------------------------------------------------


def test_mean_divides_by_the_sum_of_the_weights(backend: str) -> None:
    rng = np.random.default_rng(4)
    x, t, w = rng.normal(size=(6, 5)), rng.normal(size=(6, 5)), rng.random(6)
    each = (x - t) ** 2
    got = kernels.mse_loss(x, t, sample_weight=w)
    assert float(got) == pytest.approx(float((w[:, None] * each).sum() / (w.sum() * 5)), rel=1e-14)
    assert float(kernels.mse_loss(x, t)) == pytest.approx(float(each.mean()), rel=1e-14)


def test_cross_entropy_mean_divides_by_class_and_sample_weights(backend: str) -> None:
    rng = np.random.default_rng(5)
    x, w, s = rng.normal(size=(6, 4)), rng.random(4), rng.random(6)
    t = np.array([0, 1, 2, 3, -100, 2])
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    keep = t >= 0
    weight = w[t[keep]] * s[keep]
    want = -(weight * log_p[keep, t[keep]]).sum() / weight.sum()
    got = kernels.cross_entropy(x, t, weight=w, sample_weight=s)
    assert float(got) == pytest.approx(float(want), rel=1e-13)


def test_ignored_rows_have_no_loss_and_no_gradient(backend: str) -> None:
    x = np.random.default_rng(6).normal(size=(3, 4)).astype(np.float32)
    t = np.array([1, 7, 7])
    for name in ("cross_entropy", "nll_loss"):
        rows = loss(name)(x, t, ignore_index=7, reduction="none")
        assert rows[0] != 0
        assert np.array_equal(rows[1:], [0, 0])
        grad = loss(name + "_backward")(np.float32(1)[...], x, t, ignore_index=7)
        assert grad[0].any()
        assert not grad[1:].any()
        none_left = np.array([7, 7, 7])
        assert np.isnan(loss(name)(x, none_left, ignore_index=7))
        grad = loss(name + "_backward")(np.float32(1)[...], x, none_left, ignore_index=7)
        assert np.array_equal(grad, np.zeros((3, 4)))


def test_one_hot_probabilities_equal_classes(backend: str) -> None:
    x = np.random.default_rng(7).normal(size=(5, 4))
    x[2, 1] = -np.inf  # a masked class that the target gives no mass
    t = np.array([0, 1, 2, 3, 0])
    one_hot = np.eye(4)[t]
    a = kernels.cross_entropy(x, t, reduction="none")
    b = kernels.cross_entropy(x, one_hot, reduction="none")
    np.testing.assert_allclose(a, b, rtol=1e-14)


def test_large_logits_neither_overflow_nor_lose_the_loss(backend: str) -> None:
    x = np.array([[1e4, 0.0], [0.0, 1e4], [-1e4, -1e4]], dtype=np.float32)
    rows = kernels.cross_entropy(x, np.array([0, 0, 1]), reduction="none")
    np.testing.assert_allclose(rows, [0.0, 1e4, np.log(2)], rtol=1e-6)
    z = np.array([-30.0, 30.0, -500.0, 500.0], dtype=np.float32)
    t = np.array([0.0, 1.0, 1.0, 0.0], dtype=np.float32)
    got = kernels.binary_cross_entropy_with_logits(z, t, reduction="none")
    np.testing.assert_allclose(got, [np.exp(-30), np.exp(-30), 500, 500], rtol=1e-6)


def test_nan_input_gives_a_nan_loss(backend: str) -> None:
    x = np.array([[0.0, np.nan], [1.0, 2.0]])
    rows = kernels.cross_entropy(x, np.array([0, 0]), reduction="none")
    assert np.isnan(rows[0])
    assert np.isfinite(rows[1])
    for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss"):
        assert np.isnan(loss(name)(x, np.ones((2, 2)))), name
    var = np.array([[np.nan, 1.0], [1.0, 1.0]])
    assert np.isnan(kernels.gaussian_nll_loss(np.ones((2, 2)), np.ones((2, 2)), var))


# ---- bits ----------------------------------------------------------------------------------------


def digest(arrays: list[Array]) -> str:
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def digests(run: Any) -> set[str]:
    """Digests of run() over every tier and several thread counts."""
    before = _core.tier()
    found = set()
    try:
        for tier in _core.tiers():
            _core.select_tier(tier)
            for threads in (1, 2, 3, 4, 8):
                mlpeak.set_num_threads(threads)
                found.add(digest(run()))
    finally:
        _core.select_tier(before)
    return found


# Above the work that runs serially: 0.3 ns an element against 25 us.
@pytest.mark.parametrize("shape", [(100_003,), (33_337, 3), (100_003, 1), (50, 2050)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_tier_or_threads(shape: tuple[int, ...], dtype: Any) -> None:
    weight = np.random.default_rng(8).random(shape[0]).astype(dtype)
    one = np.ones((), dtype)
    seen = set()
    for case in CASES:
        if case.id in seen or case.options.get("full"):
            continue
        arrays = case.make(shape, dtype)
        options = {**case.options, "sample_weight": weight if len(shape) > 1 else None}

        def run(case: Case = case, arrays: Any = arrays, options: Any = options) -> list[Array]:
            return [
                loss(case.name)(*arrays, **options),
                loss(case.name)(*arrays, **options, reduction="none"),
                *as_tuple(loss(case.name + "_backward")(one, *arrays, **options)),
            ]

        assert len(digests(run)) == 1, case.id


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2001, 10), (501, 33), (65, 1001)], ids=str)
@pytest.mark.parametrize("case", CLASS_CASES, ids=CLASS_IDS)
def test_class_loss_bits_do_not_depend_on_tier_or_threads(
    case: ClassCase, shape: tuple[int, int], dtype: Any
) -> None:
    x, target, options = case.make(*shape, dtype)
    one = np.ones((), dtype)

    def run() -> list[Array]:
        return [
            loss(case.name)(x, target, **options),
            loss(case.name)(x, target, **options, reduction="none"),
            loss(case.name + "_backward")(one, x, target, **options),
        ]

    assert len(digests(run)) == 1


@pytest.mark.parametrize(
    "case", [c for c in CLASS_CASES if c.name == "cross_entropy"], ids=lambda case: case.id
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_pass_gives_the_loss_and_gradient_of_two(
    backend: str, case: ClassCase, dtype: Any
) -> None:
    for batch, classes in ((1, 1), (5, 7), (17, 8), (63, 10), (65, 16), (130, 17), (33, 1000)):
        x, target, options = case.make(batch, classes, dtype)
        for reduction in REDUCTIONS:
            options["reduction"] = reduction
            value = kernels.cross_entropy(x, target, **options)
            grad = kernels.cross_entropy_backward(np.ones_like(value), x, target, **options)
            out = np.empty_like(x)
            got = kernels.cross_entropy_forward_backward(x, target, **options, out=out)
            assert got[1] is out
            np.testing.assert_array_equal(got[0], value)
            np.testing.assert_array_equal(out, grad)


def test_one_pass_keeps_its_gradient_apart_from_the_logits(backend: str) -> None:
    x = np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match="cross_entropy_forward_backward: out shares memory"):
        kernels.cross_entropy_forward_backward(x, np.array([0, 1, 2]), out=x)
