"""Losses against PyTorch: values, gradients, weights, reductions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlpeak import nn
from mlpeak._from_data import from_numpy
from mlpeak.nn import functional as F
from torch_pairs import BATCH, assert_close, both

torch = pytest.importorskip("torch")


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# name of the class, options (arrays become tensors), kind of input and target
LOSSES: dict[str, tuple[str, dict[str, Any], str]] = {
    "mse": ("MSELoss", {}, "real"),
    "l1": ("L1Loss", {}, "real"),
    "smooth_l1": ("SmoothL1Loss", {"beta": 0.7}, "real"),
    "smooth_l1-0": ("SmoothL1Loss", {"beta": 0.0}, "real"),
    "huber": ("HuberLoss", {"delta": 0.7}, "real"),
    "cross_entropy": ("CrossEntropyLoss", {}, "classes"),
    "cross_entropy-weight": (
        "CrossEntropyLoss",
        {"weight": np.array([0.5, 2.0, 1.0, 0.0, 3.0])},
        "classes",
    ),
    "cross_entropy-ignore": ("CrossEntropyLoss", {"ignore_index": 1}, "classes"),
    "cross_entropy-smooth": (
        "CrossEntropyLoss",
        {
            "weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0]),
            "ignore_index": 2,
            "label_smoothing": 0.1,
        },
        "classes",
    ),
    "cross_entropy-soft": ("CrossEntropyLoss", {}, "distributions"),
    "cross_entropy-soft-weight": (
        "CrossEntropyLoss",
        {"weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0]), "label_smoothing": 0.2},
        "distributions",
    ),
    "nll": ("NLLLoss", {}, "log-classes"),
    "nll-weight": (
        "NLLLoss",
        {"weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0]), "ignore_index": 4},
        "log-classes",
    ),
    "bce": ("BCELoss", {}, "probabilities"),
    "bce-weight": ("BCELoss", {"weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0])}, "probabilities"),
    "bce_logits": ("BCEWithLogitsLoss", {}, "logits"),
    "bce_logits-pos": (
        "BCEWithLogitsLoss",
        {"pos_weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0])},
        "logits",
    ),
    "bce_logits-both": (
        "BCEWithLogitsLoss",
        {
            "weight": np.linspace(0.1, 2.0, BATCH)[:, None],
            "pos_weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0]),
        },
        "logits",
    ),
    "gaussian": ("GaussianNLLLoss", {}, "gaussian"),
    "gaussian-full": ("GaussianNLLLoss", {"full": True, "eps": 0.3}, "gaussian"),
    "gaussian-column": ("GaussianNLLLoss", {"full": True}, "gaussian-column"),
    "gaussian-vector": ("GaussianNLLLoss", {}, "gaussian-vector"),
    "poisson": ("PoissonNLLLoss", {}, "counts"),
    "poisson-full": ("PoissonNLLLoss", {"full": True}, "counts"),
    "poisson-rate": ("PoissonNLLLoss", {"log_input": False, "eps": 1e-4}, "positive-counts"),
}


def loss_arrays(kind: str, dtype: Any, rng: np.random.Generator) -> list[np.ndarray]:
    """Input, target and whatever else the loss is called with."""
    x = rng.normal(size=(BATCH, 5))
    if kind == "real":
        arrays = [x, x + rng.normal(size=x.shape)]
    elif kind == "classes":
        arrays = [x, rng.integers(0, 5, BATCH)]
    elif kind == "log-classes":
        arrays = [np.log(softmax(x)), rng.integers(0, 5, BATCH)]
    elif kind == "distributions":
        arrays = [x, softmax(rng.normal(size=x.shape))]
    elif kind == "probabilities":
        arrays = [1 / (1 + np.exp(-x)), rng.uniform(size=x.shape)]
    elif kind == "logits":
        arrays = [3 * x, rng.uniform(size=x.shape)]
    elif kind.startswith("gaussian"):
        shape = {"gaussian": x.shape, "gaussian-column": (BATCH, 1), "gaussian-vector": (BATCH,)}
        arrays = [x, rng.normal(size=x.shape), rng.uniform(0.1, 2, size=shape[kind])]
    else:
        rate = np.exp(x) if kind == "positive-counts" else x
        arrays = [rate, rng.poisson(3.0, size=x.shape).astype(float)]
    return [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]


def loss_pair(name: str, reduction: str, dtype: Any) -> tuple[Any, Any]:
    cls, options, _ = LOSSES[name]
    cast = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    ours = {k: from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in cast.items()}
    theirs = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in cast.items()}
    return (
        getattr(nn, cls)(**ours, reduction=reduction),
        getattr(torch.nn, cls)(**theirs, reduction=reduction),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_has_torchs_values_and_gradients(
    name: str, reduction: str, dtype: Any, rng: np.random.Generator
) -> None:
    ours, theirs = loss_pair(name, reduction, dtype)
    kind = LOSSES[name][2]
    arrays = loss_arrays(kind, dtype, rng)
    with_grad = [True, name in ("mse", "l1", "huber") or kind == "gaussian", True]
    pairs = [both(a, requires_grad=wanted) for a, wanted in zip(arrays, with_grad, strict=False)]
    loss, expected = ours(*[p[0] for p in pairs]), theirs(*[p[1] for p in pairs])
    assert_close(loss, expected, "loss")
    g, tg = both(np.asarray(rng.uniform(0.5, 2.0, size=tuple(expected.shape)), dtype))
    loss.backward(g)
    expected.backward(tg)
    for i, (mine, other) in enumerate(pairs):
        if other.requires_grad:
            assert_close(mine.grad, other.grad, f"gradient of argument {i}")
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("name", LOSSES)
def test_sample_weight_is_a_weighted_mean(name: str, rng: np.random.Generator) -> None:
    weights = rng.uniform(0.1, 2.0, BATCH)
    arrays = loss_arrays(LOSSES[name][2], np.float64, rng)
    tensors = [from_numpy(a) for a in arrays]
    each = loss_pair(name, "none", np.float64)[1](*[torch.from_numpy(a) for a in arrays]).numpy()
    spread = weights.reshape((BATCH,) + (1,) * (each.ndim - 1))
    divisor = weights.sum() * (each.size // BATCH)
    _, options, kind = LOSSES[name]
    if kind in ("classes", "log-classes"):
        class_weight = options.get("weight", np.ones(5))[arrays[1]]
        counted = arrays[1] != options.get("ignore_index", -100)
        divisor = (weights * class_weight * counted).sum()
    expected = {
        "none": each * spread,
        "sum": (each * spread).sum(),
        "mean": (each * spread).sum() / divisor,
    }
    for reduction, value in expected.items():
        loss = loss_pair(name, reduction, np.float64)[0](
            *tensors, sample_weight=from_numpy(weights)
        )
        np.testing.assert_allclose(loss.numpy(), value, rtol=1e-13, atol=1e-14, err_msg=reduction)


@pytest.mark.parametrize("function", ["mse_loss", "l1_loss", "huber_loss"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_weight_of_elements(function: str, reduction: str, rng: np.random.Generator) -> None:
    arrays = [rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.uniform(size=(4, 3))]
    (x, tx), (t, tt), (w, tw) = (both(a, requires_grad=i == 0) for i, a in enumerate(arrays))
    loss = getattr(F, function)(x, t, weight=w, reduction=reduction)
    expected = getattr(torch.nn.functional, function)(tx, tt, weight=tw, reduction=reduction)
    assert_close(loss, expected, function)
    loss.sum().backward()
    expected.sum().backward()
    assert_close(x.grad, tx.grad, "gradient")


def test_one_sample_without_a_batch_axis(rng: np.random.Generator) -> None:
    x, tx = both(rng.normal(size=5), requires_grad=True)
    for reduction in ("none", "mean", "sum"):
        loss = F.cross_entropy(x, from_numpy(np.array(3)), reduction=reduction)
        expected = torch.nn.functional.cross_entropy(tx, torch.tensor(3), reduction=reduction)
        assert_close(loss, expected, reduction)
    loss.backward()
    expected.backward()
    assert_close(x.grad, tx.grad, "gradient")


def test_old_reduction_arguments(rng: np.random.Generator) -> None:
    x, tx = both(rng.normal(size=(3, 2)))
    t, tt = both(rng.normal(size=(3, 2)))
    for old in ({"size_average": False}, {"reduce": False}, {"size_average": True}):
        with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
            loss = F.mse_loss(x, t, **old)
        with pytest.warns(UserWarning, match="will be deprecated"):
            expected = torch.nn.functional.mse_loss(tx, tt, **old)
        assert_close(loss, expected, str(old))
