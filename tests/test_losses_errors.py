"""Losses: wrong calls are refused by name and write nothing; strided reads are fine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from losses_cases import CASES, CLASS_CASES, CLASS_IDS, IDS, Array, Case, ClassCase, as_tuple, loss
from mlpeak import kernels

X = np.linspace(0.1, 0.9, 6).reshape(3, 2)
LOGITS = np.arange(12.0).reshape(4, 3)
CLASSES = np.array([0, 2, 1, 0])
ELEMENTWISE = sorted({case.name for case in CASES})
NAN = np.where(np.arange(6).reshape(3, 2) == 3, np.nan, 0.5)
TWO = np.where(np.arange(6).reshape(3, 2) == 4, 2.0, 0.5)


def elementwise(name: str, out: Array | None, **changed: Any) -> Any:
    arguments: dict[str, Any] = {"input": X, "target": X, **changed}
    if name.startswith("gaussian"):
        arguments.setdefault("var", X)
    if not name.endswith("_backward"):
        return loss(name)(**arguments, out=out)
    arguments.setdefault("grad_output", np.ones(()))
    pair = (out, None) if name.startswith("gaussian") else out
    return loss(name)(**arguments, out=pair if out is not None else None)


SHARED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"input": [1.0]}, TypeError, "input is list; expected a numpy.ndarray"),
    ({"input": X.astype(np.float16)}, TypeError, "input has dtype float16"),
    ({"target": X.astype(np.float32)}, TypeError, "target has dtype float32; expected float64"),
    ({"target": X[:, :1]}, ValueError, r"target has shape \(3, 1\); expected .*\(3, 2\)"),
    ({"target": X[0]}, ValueError, r"target has shape \(2,\); expected .*\(3, 2\)"),
    ({"target": NAN}, ValueError, "target holds nan at position 3"),
    ({"sample_weight": X}, ValueError, r"sample_weight has shape \(3, 2\); .*\(batch,\) = \(3,\)"),
    ({"sample_weight": np.ones(2)}, ValueError, r"sample_weight has shape \(2,\)"),
    ({"sample_weight": np.ones(3, np.float32)}, TypeError, "sample_weight has dtype float32"),
    ({"sample_weight": np.array([1, -1.0, 1])}, ValueError, "sample_weight holds -1.0 at posi.* 1"),
    ({"sample_weight": np.array([1, 1, np.inf])}, ValueError, "sample_weight holds inf at .* 2"),
    ({"sample_weight": np.array([np.nan, 1, 1])}, ValueError, "sample_weight holds nan at .* 0"),
    ({"reduction": "avg"}, ValueError, "reduction is 'avg'; expected one of none, mean, sum"),
    ({"reduction": None}, TypeError, "reduction is NoneType; expected a str"),
]


@pytest.mark.parametrize("name", [n + b for n in ELEMENTWISE for b in ("", "_backward")])
@pytest.mark.parametrize(("changed", "error", "match"), SHARED)
def test_elementwise_refusals(
    name: str, changed: dict[str, Any], error: type[Exception], match: str, backend: str
) -> None:
    out = np.full(X.shape if name.endswith("_backward") else (), 7.0)
    with pytest.raises(error, match=f"^{name}: {match}"):
        elementwise(name, out, **changed)
    assert np.all(out == 7.0)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", [n + b for n in ELEMENTWISE for b in ("", "_backward")])
def test_empty_batch(name: str, reduction: str, backend: str) -> None:
    for shape in ((0,), (0, 3), (3, 0)):
        empty = np.empty(shape)
        grad = {"grad_output": empty} if name.endswith("_backward") else {}
        var = {"var": empty} if name.startswith("gaussian") else {}
        with pytest.raises(ValueError, match=f"^{name}: input .*the batch is empty"):
            loss(name)(input=empty, target=empty, reduction=reduction, **grad, **var)


OPTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("smooth_l1_loss", {"beta": -0.5}, "beta is -0.5; expected a finite number >= 0"),
    ("smooth_l1_loss", {"beta": float("nan")}, "beta is nan"),
    ("huber_loss", {"delta": 0.0}, "delta is 0.0; expected a finite number > 0"),
    ("huber_loss", {"delta": float("inf")}, "delta is inf"),
    ("binary_cross_entropy", {"input": TWO}, r"input holds 2.0 at position 4; .* in \[0, 1\]"),
    ("binary_cross_entropy", {"input": NAN}, "input holds nan at position 3"),
    ("binary_cross_entropy", {"target": TWO}, "target holds 2.0 at position 4"),
    ("binary_cross_entropy", {"target": -X}, "target holds -0.1 at position 0"),
    ("binary_cross_entropy_with_logits", {"target": TWO}, "target holds 2.0 at position 4"),
    (
        "binary_cross_entropy_with_logits",
        {"pos_weight": np.ones(3)},
        r"pos_weight has shape \(3,\); expected \(\) or the last axis of input = \(2,\)",
    ),
    (
        "binary_cross_entropy_with_logits",
        {"pos_weight": np.array([1.0, -1.0])},
        "pos_weight holds -1.0 at position 1",
    ),
    ("gaussian_nll_loss", {"var": X[:, :1]}, r"var has shape \(3, 1\); expected .*\(3, 2\)"),
    ("gaussian_nll_loss", {"var": -X}, "var holds -0.1 at position 0; expected numbers >= 0"),
    ("gaussian_nll_loss", {"eps": -1.0}, "eps is -1.0; expected a finite number >= 0"),
    ("poisson_nll_loss", {"eps": float("nan")}, "eps is nan"),
]


@pytest.mark.parametrize("backward", ["", "_backward"])
@pytest.mark.parametrize(("name", "changed", "match"), OPTIONS)
def test_refusals_of_one_loss(
    name: str, changed: dict[str, Any], match: str, backward: str, backend: str
) -> None:
    out = np.full(X.shape if backward else (), 7.0)
    with pytest.raises(ValueError, match=f"^{name}{backward}: {match}"):
        elementwise(name + backward, out, **changed)
    assert np.all(out == 7.0)


def class_call(name: str, out: Array | None, **changed: Any) -> Any:
    arguments: dict[str, Any] = {"input": LOGITS, "target": CLASSES, **changed}
    if name.endswith("_backward"):
        arguments.setdefault("grad_output", np.ones(()))
    return loss(name)(**arguments, out=out)


CLASS_SHARED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"input": LOGITS[0]}, ValueError, r"input has shape \(3,\); expected \(batch, classes\)"),
    ({"input": LOGITS[:0], "target": CLASSES[:0]}, ValueError, "input .*the batch is empty"),
    ({"target": np.array([0, 3, 1, 5])}, ValueError, r"target holds 3 at position 1; .*\[0, 3\)"),
    ({"target": np.array([0, 1, -1, 5])}, ValueError, "target holds -1 at position 2"),
    ({"target": [0, 1, 2, 0]}, TypeError, "target is list; expected a numpy.ndarray"),
    ({"target": CLASSES[:3]}, ValueError, r"target has shape \(3,\); expected \(batch,\) = \(4,\)"),
    ({"target": CLASSES > 0}, TypeError, "target has dtype bool; expected integers"),
    (
        {"weight": np.ones(4)},
        ValueError,
        r"weight has shape \(4,\); expected \(classes,\) = \(3,\)",
    ),
    ({"weight": np.array([1, np.nan, 1])}, ValueError, "weight holds nan at position 1"),
    ({"weight": np.array([1, 1, -2.0])}, ValueError, "weight holds -2.0 at position 2"),
    ({"weight": np.ones(3, np.float32)}, TypeError, "weight has dtype float32"),
    ({"sample_weight": np.ones(3)}, ValueError, r"sample_weight has shape \(3,\)"),
    ({"reduction": "batchmean"}, ValueError, "reduction is 'batchmean'"),
]


@pytest.mark.parametrize("backward", ["", "_backward"])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize(("changed", "error", "match"), CLASS_SHARED)
def test_class_refusals(
    name: str,
    changed: dict[str, Any],
    error: type[Exception],
    match: str,
    backward: str,
    backend: str,
) -> None:
    out = np.full(LOGITS.shape if backward else (), 7.0)
    with pytest.raises(error, match=f"^{name}{backward}: {match}"):
        class_call(name + backward, out, **changed)
    assert np.all(out == 7.0)


SOFT = np.full((4, 3), 1 / 3)


@pytest.mark.parametrize("backward", ["", "_backward"])
@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        # classes as floating-point numbers
        ({"target": np.zeros(4, np.float32)}, TypeError, "target has dtype float32; expected int"),
        ({"target": np.zeros(4)}, TypeError, "target has dtype float64; expected integers, or "),
        ({"target": SOFT[:3]}, ValueError, r"target has shape \(3, 3\); expected .*\(4, 3\)"),
        ({"target": SOFT.astype(np.float32)}, TypeError, "target has dtype float32"),
        ({"target": np.where(SOFT > 1, 0, np.nan)}, ValueError, "target holds nan at position 0"),
        ({"target": SOFT, "ignore_index": 1}, ValueError, "ignore_index is 1; expected a negative"),
        ({"label_smoothing": 1.5}, ValueError, r"label_smoothing is 1.5; expected .* \[0, 1\]"),
        ({"label_smoothing": float("nan")}, ValueError, "label_smoothing is nan"),
    ],
)
def test_cross_entropy_refusals(
    changed: dict[str, Any], error: type[Exception], match: str, backward: str, backend: str
) -> None:
    with pytest.raises(error, match=f"^cross_entropy{backward}: {match}"):
        class_call("cross_entropy" + backward, None, **changed)


def test_nll_takes_classes_only(backend: str) -> None:
    with pytest.raises(TypeError, match=r"^nll_loss: target has dtype float64"):
        kernels.nll_loss(LOGITS, SOFT)


# ---- grad_output and out -------------------------------------------------------------------------


def calls() -> list[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """Every loss with arguments of its own memory."""
    found: list[tuple[str, Callable[..., Any], dict[str, Any]]] = []
    for name in ELEMENTWISE:
        arguments = {"input": X.copy(), "target": X.copy()}
        if name.startswith("gaussian"):
            arguments["var"] = X.copy()
        found.append((name, elementwise, arguments))
    for name in ("cross_entropy", "nll_loss"):
        found.append((name, class_call, {"input": LOGITS.copy(), "target": CLASSES.copy()}))
    return found


CALLS = calls()
CALL_IDS = [name for name, _, _ in CALLS]


@pytest.mark.parametrize(("name", "call", "arguments"), CALLS, ids=CALL_IDS)
def test_grad_output_has_the_shape_of_the_loss(
    name: str, call: Any, arguments: dict[str, Any], backend: str
) -> None:
    wrong: list[tuple[str, Array, type[Exception]]] = [
        ("mean", np.ones(1), ValueError),
        ("sum", np.ones(3), ValueError),
        ("none", np.ones(()), ValueError),
        ("mean", np.ones((), np.float32), TypeError),
    ]
    for reduction, grad, error in wrong:
        with pytest.raises(error, match=f"^{name}_backward: grad_output has "):
            call(name + "_backward", None, **arguments, grad_output=grad, reduction=reduction)


@pytest.mark.parametrize("backward", ["", "_backward"])
@pytest.mark.parametrize(("name", "call", "arguments"), CALLS, ids=CALL_IDS)
def test_out_is_written_in_place_or_refused(
    name: str, call: Any, arguments: dict[str, Any], backward: str, backend: str
) -> None:
    want = call(name + backward, None, **arguments)
    first = as_tuple(want)[0]
    out = np.full(first.shape, 7.0)
    got = call(name + backward, out, **arguments)
    assert as_tuple(got)[0] is out
    assert np.array_equal(out, first)

    argument = r"out(\[0\])?"
    wrong: list[tuple[Array, type[Exception], str]] = [
        (np.full((9, 9), 7.0), ValueError, "has shape"),
        (np.full(first.shape, 7, np.float32), TypeError, "has dtype float32"),
    ]
    read_only = np.full(first.shape, 7.0)
    read_only.flags.writeable = False
    wrong.append((read_only, ValueError, "is read-only"))
    if backward:
        strided = np.full((first.shape[0], 2 * first.shape[1]), 7.0)[:, ::2]
        wrong.append((strided, ValueError, "is not C-contiguous"))
    for array, error, match in wrong:
        with pytest.raises(error, match=f"^{name}{backward}: {argument} {match}"):
            call(name + backward, array, **arguments)
        assert np.all(array == 7)


@pytest.mark.parametrize(("name", "call", "arguments"), CALLS, ids=CALL_IDS)
def test_out_shares_no_memory_with_an_argument(
    name: str, call: Any, arguments: dict[str, Any], backend: str
) -> None:
    arguments = dict(arguments)
    batch = arguments["input"].shape[0]
    arguments["sample_weight"] = np.ones(batch)
    if call is class_call:
        arguments["weight"] = np.ones(3)
    for argument, array in arguments.items():
        # a larger buffer holds both the argument and what is offered as out
        size = max(array.size, arguments["input"].size)
        buffer = np.zeros(size)
        shared = buffer.view(array.dtype)[: array.size].reshape(array.shape)
        shared[...] = array
        before = buffer.copy()
        changed = {**arguments, argument: shared}
        out = buffer[: arguments["input"].size].reshape(arguments["input"].shape)
        with pytest.raises(ValueError, match=f"^{name}_backward: out.* memory with {argument};"):
            call(name + "_backward", out, **changed)
        assert np.array_equal(buffer, before)


def test_gaussian_out_is_a_pair(backend: str) -> None:
    one = np.ones(())
    pair = (np.empty_like(X), np.empty_like(X))
    got = kernels.gaussian_nll_loss_backward(one, X, X, X, out=pair)
    assert got[0] is pair[0]
    assert got[1] is pair[1]
    name = "gaussian_nll_loss_backward"
    with pytest.raises(TypeError, match=rf"^{name}: out is ndarray; expected \(grad_input, grad_"):
        kernels.gaussian_nll_loss_backward(one, X, X, X, out=pair[0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=rf"^{name}: out\[1\] shares memory with out\[0\]"):
        kernels.gaussian_nll_loss_backward(one, X, X, X, out=(pair[0], pair[0]))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_strided_arrays_are_read(case: Case, backend: str) -> None:
    arrays = case.make((6, 4), np.float32)
    strided = [np.repeat(a, 2, axis=1)[:, ::2] for a in arrays]
    weight = np.linspace(0, 1, 12).astype(np.float32)
    options = {**case.options, "reduction": "none"}
    grad = np.repeat(arrays[0], 2, axis=0)
    for name, first in ((case.name, []), (case.name + "_backward", [grad])):
        plain = [a[::2].copy() for a in first]
        want = loss(name)(*plain, *arrays, **options, sample_weight=weight[::2].copy())
        got = loss(name)(*[a[::2] for a in first], *strided, **options, sample_weight=weight[::2])
        for a, b in zip(as_tuple(got), as_tuple(want), strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("case", CLASS_CASES, ids=CLASS_IDS)
def test_strided_class_arrays_are_read(case: ClassCase, backend: str) -> None:
    x, target, options = case.make(6, 4, np.float64)
    got = loss(case.name)(np.asfortranarray(x), np.repeat(target, 2, axis=0)[::2], **options)
    assert np.array_equal(got, loss(case.name)(x, target, **options), equal_nan=True)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint8, np.int64])
def test_any_integer_names_a_class(kind: Any, backend: str) -> None:
    want = kernels.cross_entropy(LOGITS, CLASSES)
    assert np.array_equal(kernels.cross_entropy(LOGITS, CLASSES.astype(kind)), want)


def test_scalar_input(backend: str) -> None:
    assert float(kernels.mse_loss(np.array(3.0), np.array(1.0))) == 4.0
