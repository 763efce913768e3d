"""Scalars of a wrong type: every one of every kernel is refused by name, on both backends."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mlpeak import kernels

#: What legal arguments are called; any other argument is a scalar.
ARRAYS: dict[str, Any] = {
    "bias": np.zeros(3),
    "exp_avg": np.zeros((4, 3)),
    "exp_avg_sq": np.zeros((4, 3)),
    "grad": np.ones((4, 3)),
    "grad_avg": np.zeros((4, 3)),
    "grad_output": np.ones((4, 3)),
    "indices": np.array([0, 1, 2, 0]),
    "input": np.full((4, 3), 0.5),
    "max_exp_avg_sq": None,
    "mean": np.zeros(3),
    "momentum_buffer": None,
    "out": None,
    "param": np.ones((4, 3)),
    "pos_weight": None,
    "rstd": np.ones(3),
    "running_mean": None,
    "running_var": None,
    "sample_weight": None,
    "square_avg": np.zeros((4, 3)),
    "state_sum": np.zeros((4, 3)),
    "target": np.full((4, 3), 0.5),
    "var": np.ones((4, 3)),
    "weight": None,
    "x": np.full((4, 3), 0.5),
    "y": np.full((4, 3), 0.5),
}
#: Scalars without a default.
SCALARS: dict[str, Any] = {
    "exponent": 2.0,
    "first": 0,
    "lr": 0.1,
    "n": 3,
    "num_embeddings": 3,
    "p": 0.5,
    "seed": 0,
    "shape": (2, 3),
    "step": 1,
}
#: Described in their own words elsewhere: names from a list, and the linear kernels.
OTHERS = {"activation", "dtype", "reduction"}
SKIPPED = re.compile("linear|matmul|pack")


def is_scalar(function: str, name: str) -> bool:
    if function == "random_normal" and name == "mean":
        return True
    return name not in ARRAYS and name not in OTHERS


def scalars() -> Iterator[tuple[str, str]]:
    for function in kernels.__all__:
        if SKIPPED.search(function):
            continue
        for name in inspect.signature(getattr(kernels, function)).parameters:
            if is_scalar(function, name):
                yield function, name


def legal(function: str) -> dict[str, Any]:
    """Arguments with which a kernel runs."""
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(getattr(kernels, function)).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            continue
        given[name] = SCALARS[name] if is_scalar(function, name) else ARRAYS[name]
        given[name] = np.copy(given[name]) if isinstance(given[name], np.ndarray) else given[name]
    if function.startswith("nll_loss"):
        given["target"] = np.array([0, 1, 2, 0])
    if "grad_output" in given and ("loss" in function or "entropy" in function):
        given["grad_output"] = np.ones(())
    if function == "embedding_backward":
        given["grad_output"] = np.ones((4, 2))
    return given


@pytest.mark.parametrize(("function", "name"), list(scalars()))
@pytest.mark.parametrize("wrong", ["x", None, [], {}, object()], ids=lambda w: type(w).__name__)
def test_wrong_type_is_named(backend: str, function: str, name: str, wrong: Any) -> None:
    default = inspect.signature(getattr(kernels, function)).parameters[name].default
    if wrong is None and default is None:
        pytest.skip("None is legal")
    if isinstance(wrong, list) and name in ("shape", "axis"):
        pytest.skip("a list is legal")
    arguments = legal(function)
    getattr(kernels, function)(**arguments)
    error = ValueError if isinstance(wrong, list) and name == "betas" else TypeError
    with pytest.raises(error, match=rf"^{function}: {name} \S.*; expected \S") as raised:
        getattr(kernels, function)(**{**arguments, name: wrong})
    if error is TypeError:
        assert f" is {type(wrong).__name__};" in str(raised.value)


@pytest.mark.parametrize(("function", "name"), list(scalars()))
def test_numpy_scalar_is_taken(backend: str, function: str, name: str) -> None:
    arguments = legal(function)
    default = inspect.signature(getattr(kernels, function)).parameters[name].default
    value = arguments.get(name, default)
    if value is None or isinstance(value, tuple):
        pytest.skip("no scalar")
    expected = getattr(kernels, function)(**legal(function))
    found = getattr(kernels, function)(**{**arguments, name: np.asarray(value)[()]})
    np.testing.assert_equal(found, expected)


@pytest.mark.parametrize(
    ("function", "name", "value", "text"),
    [
        ("nll_loss", "ignore_index", 2**64, f"is {2**64}; expected an integer in [-2**63, 2**63)"),
        ("elu", "alpha", 10**400, f"is {10**400}; expected a finite number > 0"),
        ("adam", "step", 2**64, f"is {2**64}; expected 1 for the first update"),
        ("adam", "betas", (0.9,), "has length 1; expected a pair of numbers"),
        ("sum", "axis", 2**64, f"is {2**64}; expected -2 to 1"),
        ("embedding_backward", "padding_idx", -(2**64), f"is {-(2**64)}; expected None or"),
    ],
)
def test_too_large_is_named(backend: str, function: str, name: str, value: Any, text: str) -> None:
    arguments = legal(function)
    if function == "adam":
        arguments = {**arguments, "step": 1}
    with pytest.raises(ValueError, match=re.escape(f"{function}: {name} {text}")):
        getattr(kernels, function)(**{**arguments, name: value})


def test_element_of_betas_is_named(backend: str) -> None:
    with pytest.raises(TypeError, match=r"^adam: betas\[1\] is str; expected a number in"):
        kernels.adam(**{**legal("adam"), "betas": (0.9, "x")})


def test_element_of_axis_is_named(backend: str) -> None:
    with pytest.raises(TypeError, match=r"^sum: axis is float; expected None, an integer or a"):
        kernels.sum(np.ones((2, 2)), axis=(0, 1.0))  # type: ignore[arg-type]
