"""Training gives the same bits on every tier and any number of threads, from the first day."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import _core, from_numpy, manual_seed, nn, optim
from nn_cases import arrays

STEPS = 50
THREADS = (1, 2, 4)


def classifier() -> tuple[nn.Module, Any, Any, Any]:
    """Relu layers, dropout and batch normalisation, wide enough that products run in parallel."""
    model = nn.Sequential(
        nn.Linear(70, 130), nn.BatchNorm1d(130), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(130, 65), nn.GELU(), nn.LayerNorm(65), nn.Linear(65, 10),
    )  # fmt: skip
    target = mlpeak.from_numpy(np.random.default_rng(1).integers(0, 10, 203))
    return model, nn.CrossEntropyLoss(label_smoothing=0.1), (203, 70), target


def regressor() -> tuple[nn.Module, Any, Any, Any]:
    model = nn.Sequential(
        nn.Linear(33, 64), nn.Tanh(), nn.RMSNorm(64), nn.Linear(64, 64), nn.SiLU(),
        nn.Linear(64, 3), nn.Softplus(),
    )  # fmt: skip
    target = np.random.default_rng(1).standard_normal((515, 3)).astype(np.float32)
    return model, nn.HuberLoss(), (515, 33), mlpeak.from_numpy(target)


def train_and_hash(
    make: Callable[[], tuple[nn.Module, Any, Any, Any]], make_optimizer: Callable[..., Any]
) -> str:
    mlpeak.manual_seed(7)
    model, loss_of, shape, target = make()
    x = mlpeak.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    optimizer = make_optimizer(model.parameters())
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss_of(model(x), target).backward()
        optimizer.step()
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        array = tensor.numpy()
        assert np.isfinite(array).all(), name
        digest.update(array.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("net", [classifier, regressor])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: optim.Adam(p, lr=1e-3),
        lambda p: optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True, weight_decay=1e-4),
    ],
    ids=["adam", "sgd"],
)
def test_training_gives_the_same_bits_everywhere(
    net: Callable[[], tuple[nn.Module, Any, Any, Any]], optimizer: Callable[..., Any]
) -> None:
    hashes = {}
    for tier in _core.tiers():
        _core.select_tier(tier)
        for threads in THREADS:
            mlpeak.set_num_threads(threads)
            hashes[tier, threads] = train_and_hash(net, optimizer)
    assert len(set(hashes.values())) == 1, hashes


def train() -> str:
    """Hash of every parameter and statistic after training, large enough to run on threads."""
    manual_seed(11)
    rng = np.random.default_rng(5)
    x = from_numpy(rng.normal(size=(257, 128)).astype(np.float32))
    y = from_numpy(rng.integers(0, 3, 257))
    model = nn.Sequential(
        nn.Linear(128, 200),
        nn.BatchNorm1d(200),
        nn.GELU(),
        nn.Dropout(0.1),
        nn.Linear(200, 97),
        nn.LayerNorm(97),
        nn.Tanh(),
        nn.Linear(97, 3),
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    digest = hashlib.sha256()
    for value in arrays(model).values():
        digest.update(value.tobytes())
    return digest.hexdigest()


def test_training_gives_the_same_bits_every_time(tier: str) -> None:
    expected = train()
    for threads in (1, 2, 4):
        mlpeak.set_num_threads(threads)
        assert train() == expected


def test_training_gives_the_same_bits_on_every_tier() -> None:
    before = _core.tier()
    hashes = set()
    for tier in _core.tiers():
        _core.select_tier(tier)
        hashes.add(train())
    _core.select_tier(before)
    assert len(hashes) == 1
