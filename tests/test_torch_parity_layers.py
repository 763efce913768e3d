"""Layers against PyTorch: values, gradients, states, texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlpeak import nn
from mlpeak.nn import functional as F
from torch_pairs import BATCH, assert_close, both

torch = pytest.importorskip("torch")

# each is made with mlpeak.nn and with torch.nn; the shape is the input's
LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "Linear": (lambda m: m.Linear(5, 3), (BATCH, 5)),
    "Linear-no-bias": (lambda m: m.Linear(5, 33, bias=False), (BATCH, 5)),
    "Linear-3d": (lambda m: m.Linear(5, 3), (4, 6, 5)),
    "Linear-1d": (lambda m: m.Linear(5, 3), (5,)),
    "Identity": (lambda m: m.Identity(54, unused=1), (BATCH, 5)),
    "Flatten": (lambda m: m.Flatten(), (4, 3, 2)),
    "Flatten-dims": (lambda m: m.Flatten(0, 1), (4, 3, 2)),
    "Unflatten": (lambda m: m.Unflatten(1, (2, -1)), (4, 6)),
    "ReLU": (lambda m: m.ReLU(), (BATCH, 5)),
    "LeakyReLU": (lambda m: m.LeakyReLU(0.2), (BATCH, 5)),
    "ELU": (lambda m: m.ELU(alpha=1.3), (BATCH, 5)),
    "SELU": (lambda m: m.SELU(), (BATCH, 5)),
    "GELU": (lambda m: m.GELU(), (BATCH, 5)),
    "GELU-tanh": (lambda m: m.GELU(approximate="tanh"), (BATCH, 5)),
    "SiLU": (lambda m: m.SiLU(), (BATCH, 5)),
    "Mish": (lambda m: m.Mish(), (BATCH, 5)),
    "Sigmoid": (lambda m: m.Sigmoid(), (BATCH, 5)),
    "LogSigmoid": (lambda m: m.LogSigmoid(), (BATCH, 5)),
    "Tanh": (lambda m: m.Tanh(), (BATCH, 5)),
    "Softplus": (lambda m: m.Softplus(beta=2.0, threshold=3.0), (BATCH, 5)),
    "Softmax": (lambda m: m.Softmax(dim=1), (BATCH, 5)),
    "Softmax-dim-0": (lambda m: m.Softmax(dim=0), (BATCH, 5)),
    "LogSoftmax": (lambda m: m.LogSoftmax(dim=-1), (BATCH, 5)),
    "LogSoftmax-middle": (lambda m: m.LogSoftmax(dim=1), (2, 3, 4)),
    "Dropout-0": (lambda m: m.Dropout(p=0.0), (BATCH, 5)),
    "BatchNorm1d": (lambda m: m.BatchNorm1d(5), (BATCH, 5)),
    "BatchNorm1d-cumulative": (lambda m: m.BatchNorm1d(5, 1e-3, momentum=None), (BATCH, 5)),
    "BatchNorm1d-plain": (lambda m: m.BatchNorm1d(5, affine=False), (BATCH, 5)),
    "BatchNorm1d-untracked": (
        lambda m: m.BatchNorm1d(5, track_running_stats=False),
        (BATCH, 5),
    ),
    "BatchNorm1d-no-bias": (lambda m: m.BatchNorm1d(5, bias=False), (BATCH, 5)),
    "LayerNorm": (lambda m: m.LayerNorm(5), (BATCH, 5)),
    "LayerNorm-2d": (lambda m: m.LayerNorm((3, 5), eps=1e-3), (BATCH, 3, 5)),
    "LayerNorm-plain": (lambda m: m.LayerNorm([5], elementwise_affine=False), (BATCH, 5)),
    "LayerNorm-no-bias": (lambda m: m.LayerNorm(5, bias=False), (BATCH, 5)),
    "RMSNorm": (lambda m: m.RMSNorm(5), (BATCH, 5)),
    "RMSNorm-2d": (lambda m: m.RMSNorm((3, 5), eps=1e-3), (BATCH, 3, 5)),
    "RMSNorm-plain": (lambda m: m.RMSNorm(5, elementwise_affine=False), (BATCH, 5)),
    "MLP": (
        lambda m: m.Sequential(
            m.Linear(5, 8, bias=False),
            m.BatchNorm1d(8),
            m.Tanh(),
            m.Sequential(m.Linear(8, 2), m.GELU()),
        ),
        (BATCH, 5),
    ),
}


def layer_pair(make: Callable[[Any], Any], dtype: Any, rng: np.random.Generator) -> Any:
    """A layer of both libraries with the same random parameters."""
    ours, theirs = make(nn), make(torch.nn)
    theirs.double() if dtype == np.float64 else theirs.float()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += torch.from_numpy(rng.normal(size=parameter.shape)).to(parameter.dtype)
    ours.double() if dtype == np.float64 else ours.float()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_has_torchs_values_and_gradients(
    name: str, dtype: Any, rng: np.random.Generator
) -> None:
    make, shape = LAYERS[name]
    ours, theirs = layer_pair(make, dtype, rng)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        ours.zero_grad()
        theirs.zero_grad()
        x, tx = both(rng.normal(size=shape).astype(dtype), requires_grad=True)
        y, ty = ours(x), theirs(tx)
        assert_close(y, ty, "output")
        g, tg = both(rng.normal(size=ty.shape).astype(dtype))
        y.backward(g)
        ty.backward(tg)
        assert_close(x.grad, tx.grad, "gradient of the input")
        expected = dict(theirs.named_parameters())
        for key, parameter in ours.named_parameters():
            assert_close(parameter.grad, expected[key].grad, f"gradient of {key}")
        for key, buffer in theirs.named_buffers():
            mine = dict(ours.named_buffers())[key]
            if buffer.is_floating_point():
                assert_close(mine, buffer, key)
            else:
                assert mine.item() == buffer.item()


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding_has_torchs_values_and_gradients(
    padding_idx: int | None, rng: np.random.Generator
) -> None:
    ours, theirs = layer_pair(lambda m: m.Embedding(6, 3, padding_idx=padding_idx), np.float64, rng)
    x, tx = both(rng.integers(0, 6, size=(4, 5)))
    y, ty = ours(x), theirs(tx)
    assert_close(y, ty, "output")
    g, tg = both(rng.normal(size=ty.shape))
    y.backward(g)
    ty.backward(tg)
    assert_close(ours.weight.grad, theirs.weight.grad, "gradient")
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_prints_and_saves_as_torchs_does(name: str) -> None:
    ours, theirs = LAYERS[name][0](nn), LAYERS[name][0](torch.nn)
    assert repr(ours) == repr(theirs)
    mine, expected = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(expected)
    for key, value in expected.items():
        assert mine[key].shape == tuple(value.shape)
        assert str(mine[key].dtype) == str(value.dtype).removeprefix("torch.")
    # and back: torch takes ours
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in mine.items()})


def test_containers_print_as_torchs_do() -> None:
    def make(m: Any) -> Any:
        net = m.Sequential(m.Linear(2, 3), m.ReLU(inplace=True))
        net.add_module("tail", m.ModuleList([m.Linear(3, 3), m.Linear(3, 3), m.Dropout(0.2)]))
        net.heads = m.ModuleDict({"a": m.Identity(), "b": m.Softmax(dim=None)})
        net.empty = m.ModuleList()
        net.losses = m.ModuleList([m.MSELoss(), m.CrossEntropyLoss(), m.GaussianNLLLoss()])
        return net

    assert repr(make(nn)) == repr(make(torch.nn))


def test_one_hot() -> None:
    x, tx = both(np.array([[0, 2], [1, 1]]))
    for classes in (-1, 5):
        expected = torch.nn.functional.one_hot(tx, classes).numpy()
        mine = F.one_hot(x, classes).numpy()
        assert mine.dtype == expected.dtype
        np.testing.assert_array_equal(mine, expected)


def test_softmax_without_dim_warns_as_torch_does(rng: np.random.Generator) -> None:
    for shape in ((4,), (4, 3), (2, 3, 4), ()):
        x, tx = both(np.asarray(rng.normal(size=shape)))
        with pytest.warns(UserWarning, match="Implicit dimension choice for softmax") as record:
            mine = nn.Softmax()(x)
        assert record[0].filename == __file__
        with pytest.warns(UserWarning, match="Implicit dimension choice"):
            expected = torch.nn.Softmax()(tx)
        assert_close(mine, expected, str(shape))
