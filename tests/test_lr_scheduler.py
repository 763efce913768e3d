"""Schedules against PyTorch over 50 steps, their resumption and refusals."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlpeak import nn, optim
from mlpeak._from_data import from_numpy
from mlpeak.optim import lr_scheduler
from mlpeak.optim.lr_scheduler.cosine import cos_pi

STEPS = 50


def make_optimizer(package: Any, name: str = "SGD") -> Any:
    """An optimizer with two groups; `package` is mlpeak's optim or torch's."""
    if package is optim:
        a, b = (nn.Parameter(from_numpy(np.zeros(1))) for _ in range(2))
    else:
        import torch

        a, b = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    options = {"momentum": 0.9} if name == "SGD" else {}
    groups = [{"params": [a]}, {"params": [b], "lr": 0.02}]
    return getattr(package, name)(groups, lr=0.5, **options)


# each is made with mlpeak.optim.lr_scheduler and torch.optim.lr_scheduler
SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "LambdaLR": lambda m, o: m.LambdaLR(o, lambda epoch: 0.95**epoch),
    "LambdaLR-list": lambda m, o: m.LambdaLR(o, [lambda e: 1 / (e + 1), lambda e: e % 3]),
    "StepLR": lambda m, o: m.StepLR(o, step_size=7, gamma=0.5),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [3, 20, 20, 31], gamma=0.3),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, T_max=50),
    "CosineAnnealingLR-waves": lambda m, o: m.CosineAnnealingLR(o, T_max=8, eta_min=0.01),
    "CosineAnnealingLR-1": lambda m, o: m.CosineAnnealingLR(o, T_max=1),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, max_lr=1.0, total_steps=50),
    "OneCycleLR-linear": lambda m, o: m.OneCycleLR(
        o, [1.0, 0.1], epochs=10, steps_per_epoch=6, pct_start=0.4, anneal_strategy="linear"
    ),
    "OneCycleLR-three": lambda m, o: m.OneCycleLR(
        o,
        max_lr=1.0,
        total_steps=60,
        three_phase=True,
        base_momentum=[0.8, 0.7],
        max_momentum=0.9,
        div_factor=10.0,
        final_div_factor=100.0,
    ),
    "OneCycleLR-still": lambda m, o: m.OneCycleLR(
        o, max_lr=1.0, total_steps=55, cycle_momentum=False
    ),
}


def trace(scheduler: Any, steps: int) -> np.ndarray:
    """Rates and momenta of both groups, step by step."""
    rows = []
    for _ in range(steps):
        groups = scheduler.optimizer.param_groups
        rows.append(
            [g["lr"] for g in groups]
            + [g["betas"][0] if "betas" in g else g["momentum"] for g in groups]
            + list(scheduler.get_last_lr())
        )
        scheduler.optimizer.step()
        scheduler.step()
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_is_torchs(name: str, optimizer: str) -> None:
    torch = pytest.importorskip("torch")
    ours = SCHEDULES[name](lr_scheduler, make_optimizer(optim, optimizer))
    theirs = SCHEDULES[name](torch.optim.lr_scheduler, make_optimizer(torch.optim, optimizer))
    steps = STEPS - 1 if name == "OneCycleLR" else STEPS
    # 50 products of rounded factors, of which the cosine's are least exact: near the lowest point
    # 1 + cos is (pi / 50)^2 / 2 = 2e-3, with an error of an ulp of 1
    np.testing.assert_allclose(trace(ours, steps), trace(theirs, steps), rtol=1e-11, atol=1e-15)
    assert ours.last_epoch == theirs.last_epoch
    assert ours.base_lrs == pytest.approx(theirs.base_lrs, rel=1e-15)


PLATEAUS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "patience": {"patience": 2, "factor": 0.5},
    "max": {"mode": "max", "patience": 1},
    "abs": {"threshold_mode": "abs", "threshold": 0.05, "patience": 3},
    "max-abs": {"mode": "max", "threshold_mode": "abs", "threshold": 0.05, "patience": 0},
    "cooldown": {"patience": 1, "cooldown": 4, "factor": 0.3},
    "min_lr": {"patience": 0, "min_lr": [0.1, 0.001], "eps": 1e-3},
}


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateau_is_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    metrics = np.random.default_rng(2).normal(size=STEPS).cumsum() / 10
    rates = []
    for package in (optim, torch.optim):
        scheduler = package.lr_scheduler.ReduceLROnPlateau(
            make_optimizer(package), **PLATEAUS[name]
        )
        rows = []
        for metric in metrics:
            scheduler.step(metric)
            rows.append([*scheduler.get_last_lr(), scheduler.num_bad_epochs, scheduler.best])
        rates.append(rows)
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-15)
    assert rates[0][-1][0] < 0.5 or name == "defaults"


def test_plateau_takes_a_tensor() -> None:
    scheduler = lr_scheduler.ReduceLROnPlateau(make_optimizer(optim), patience=0)
    scheduler.step(from_numpy(np.array(1.0)))
    scheduler.step(from_numpy(np.array(1.0)))
    assert scheduler.get_last_lr() == pytest.approx([0.05, 0.002])


@pytest.mark.parametrize("name", SCHEDULES)
def test_resuming_from_a_state_continues_the_schedule(name: str) -> None:
    whole = trace(SCHEDULES[name](lr_scheduler, make_optimizer(optim)), 40)
    first = SCHEDULES[name](lr_scheduler, make_optimizer(optim))
    trace(first, 15)
    second = SCHEDULES[name](lr_scheduler, make_optimizer(optim))
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(trace(second, 25), whole[15:])
    assert "optimizer" not in first.state_dict()


@pytest.mark.parametrize("name", SCHEDULES)
def test_torchs_state_continues(name: str) -> None:
    torch = pytest.importorskip("torch")
    theirs = SCHEDULES[name](torch.optim.lr_scheduler, make_optimizer(torch.optim))
    trace(theirs, 15)
    ours = SCHEDULES[name](lr_scheduler, make_optimizer(optim))
    ours.optimizer.load_state_dict(theirs.optimizer.state_dict())
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(trace(ours, 25), trace(theirs, 25), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("name", [n for n in SCHEDULES if not n.startswith("LambdaLR")])
def test_a_pickled_schedule_continues(name: str) -> None:
    whole = trace(SCHEDULES[name](lr_scheduler, make_optimizer(optim)), STEPS)
    scheduler = SCHEDULES[name](lr_scheduler, make_optimizer(optim))
    trace(scheduler, 20)
    np.testing.assert_array_equal(trace(pickle.loads(pickle.dumps(scheduler)), 30), whole[20:])


def test_a_plateau_resumes() -> None:
    first, second = (
        lr_scheduler.ReduceLROnPlateau(make_optimizer(optim), patience=2) for _ in range(2)
    )
    for metric in (1.0, 2.0, 2.0):
        first.step(metric)
    second.load_state_dict(first.state_dict())
    for scheduler in (first, second):
        scheduler.step(2.0)
    assert first.get_last_lr() == second.get_last_lr() == pytest.approx([0.05, 0.002])


@pytest.mark.parametrize(
    "name", ["StepLR", "MultiStepLR", "ExponentialLR", "CosineAnnealingLR-waves"]
)
def test_resuming_from_the_last_epoch_is_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    cls, *_ = name.partition("-")
    options = {
        "StepLR": {"step_size": 6},
        "MultiStepLR": {"milestones": [12, 20]},
        "ExponentialLR": {"gamma": 0.9},
        "CosineAnnealingLR": {"T_max": 8},
    }[cls]
    rates = []
    for package in (optim, torch.optim):
        optimizer = make_optimizer(package)
        for group in optimizer.param_groups:
            group["initial_lr"] = 2 * group["lr"]
        scheduler = getattr(package.lr_scheduler, cls)(optimizer, **options, last_epoch=11)
        rates.append(trace(scheduler, 20))
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-12, atol=1e-15)


def test_callable_objects_keep_their_state() -> None:
    class Decay:
        def __init__(self, rate: float) -> None:
            self.rate = rate

        def __call__(self, epoch: int) -> float:
            return self.rate**epoch

    state = lr_scheduler.LambdaLR(make_optimizer(optim), Decay(0.5)).state_dict()
    fresh = lr_scheduler.LambdaLR(make_optimizer(optim), Decay(0.9))
    fresh.load_state_dict(state)
    assert fresh.lr_lambdas[0].rate == 0.5  # type: ignore[attr-defined]


def test_stepping_before_the_optimizer_warns() -> None:
    optimizer = make_optimizer(optim)
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`") as record:
        scheduler.step()
    assert record[0].filename == __file__
    optimizer.step()
    lr_scheduler.StepLR(optimizer, 3).step()


REFUSALS: dict[str, tuple[Callable[[Any, Any], Any], type[Exception]]] = {
    "lambdas": (lambda m, o: m.LambdaLR(o, [abs]), ValueError),
    "no-steps": (lambda m, o: m.OneCycleLR(o, 1.0), ValueError),
    "total_steps": (lambda m, o: m.OneCycleLR(o, 1.0, total_steps=-1), ValueError),
    "epochs": (lambda m, o: m.OneCycleLR(o, 1.0, epochs=0, steps_per_epoch=2), ValueError),
    "steps_per_epoch": (
        lambda m, o: m.OneCycleLR(o, 1.0, epochs=2, steps_per_epoch=0),
        ValueError,
    ),
    "pct_start": (lambda m, o: m.OneCycleLR(o, 1.0, 9, pct_start=1.5), ValueError),
    "anneal": (lambda m, o: m.OneCycleLR(o, 1.0, 9, anneal_strategy="sine"), ValueError),
    "factor": (lambda m, o: m.ReduceLROnPlateau(o, factor=1.0), ValueError),
    "mode": (lambda m, o: m.ReduceLROnPlateau(o, mode="up"), ValueError),
    "threshold_mode": (lambda m, o: m.ReduceLROnPlateau(o, threshold_mode="x"), ValueError),
    "min_lr": (lambda m, o: m.ReduceLROnPlateau(o, min_lr=[0.1]), ValueError),
    "optimizer": (lambda m, o: m.StepLR(o.param_groups, 3), TypeError),
    "initial_lr": (lambda m, o: m.StepLR(o, 3, last_epoch=4), KeyError),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    make, error = REFUSALS[name]
    messages = []
    for package in (optim, torch.optim):
        with pytest.raises(error) as caught:
            make(package.lr_scheduler, make_optimizer(package))
        messages.append(str(caught.value))
    # torch goes on at length about what to do without an initial_lr
    assert messages[1].startswith(messages[0].rstrip('"'))


def test_one_cycle_ends_and_needs_a_momentum() -> None:
    optimizer = make_optimizer(optim)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=2)
    optimizer.step()
    scheduler.step()
    scheduler.step()
    with pytest.raises(ValueError, match="Tried to step 3 times"):
        scheduler.step()
    adagrad = optim.Adagrad(make_optimizer(optim).param_groups[0]["params"])
    with pytest.raises(ValueError, match="must support momentum or beta1"):
        lr_scheduler.OneCycleLR(adagrad, 1.0, total_steps=9)
    with pytest.raises(ValueError, match="max_lr must have the same length"):
        lr_scheduler.OneCycleLR(optimizer, [1.0], total_steps=9)


def test_cosine_is_within_two_ulp_of_one() -> None:
    mpmath = pytest.importorskip("mpmath")
    for t in [*np.linspace(-2.5, 4.5, 701), 1e-9, 0.25, 0.5, 1.0, 1e6 + 0.25]:
        with mpmath.workdps(40):
            exact = float(mpmath.cos(mpmath.pi * mpmath.mpf(float(t))))
        assert abs(cos_pi(float(t)) - exact) <= 2 * 2.0**-52
    assert [cos_pi(t) for t in (0.0, 0.5, 1.0, 1.5, 2.0)] == [1.0, 0.0, -1.0, 0.0, 1.0]
