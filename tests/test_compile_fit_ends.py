"""How a `fit` ends: patience, time, a loss that is not finite, callbacks, Ctrl-C."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpeak
from fit_cases import (
    CLASSES,
    N,
    X,
    Y,
    bits,
    class_step,
    line_step,
)
from mlpeak import nn, optim
from mlpeak.compiler import Callback, EverySteps, NonFiniteLossError, Progress, fit


def test_patience_stops_and_the_best_epoch_comes_back() -> None:
    seen: list[bytes] = []
    step = line_step(lr=0.1)

    def spoil(progress: Progress) -> None:
        seen.append(step.model.weight._array.tobytes())
        if progress.epoch == 4:
            progress.lr = -0.05  # climbs from here on

    history = step.fit(
        X, Y, epochs=50, batch_size=32, validation_data=(X, Y), patience=3, callbacks=[spoil]
    )
    assert history.stopped == "patience"
    assert history.best_epoch == 3
    assert len(history.loss) == len(seen) == 7
    assert step.model.weight._array.tobytes() == seen[3]
    assert step.model.weight._array.tobytes() != seen[-1]


@pytest.mark.parametrize("restore", [True, False])
def test_patience_without_validation_data_judges_by_the_training_loss(restore: bool) -> None:
    step = line_step(lr=-0.01)  # the first epoch is the best
    seen: list[bytes] = []
    history = step.fit(
        X, Y, epochs=50, batch_size=32, patience=2, restore_best=restore,
        callbacks=lambda p: seen.append(step.model.weight._array.tobytes()),
    )  # fmt: skip
    assert (history.stopped, history.best_epoch, len(history.loss)) == ("patience", 0, 3)
    assert step.model.weight._array.tobytes() == seen[0 if restore else -1]


def test_time_is_up() -> None:
    step = line_step()
    started = time.perf_counter()
    history = step.fit(X, Y, epochs=10**9, batch_size=2, max_seconds=0.2)
    assert history.stopped == "max_seconds"
    assert 0.2 <= time.perf_counter() - started < 2


def test_time_is_up_within_an_epoch() -> None:
    step = line_step()
    x, y = np.tile(X, (10000, 1)), np.tile(Y, (10000, 1))
    history = step.fit(x, y, epochs=1, batch_size=1, max_seconds=0.02)
    assert history.stopped == "max_seconds"
    assert history.loss == []
    assert 0 < history.steps < len(x)
    assert history.unfinished is not None
    assert math.isfinite(history.unfinished)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_last_good_state_survives_a_loss_that_is_not_finite(momentum: float) -> None:
    mlpeak.manual_seed(2)
    model = nn.Linear(6, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=momentum)
    step = mlpeak.compile(model, nn.MSELoss(), optimizer)
    states: list[dict[str, bytes]] = []

    def callback(progress: Progress) -> None:
        states.append(bits(step))
        if progress.epoch == 3:
            progress.lr = 1e30

    with pytest.raises(NonFiniteLossError, match="epoch 4, step 2") as caught:
        step.fit(X, Y, epochs=9, batch_size=2, callbacks=[callback])
    assert (caught.value.epoch, caught.value.step) == (4, 2)
    assert len(caught.value.history.loss) == 3
    assert bits(step) == states[2]
    progress_lr = optimizer.param_groups[0]["lr"]
    assert progress_lr == 1e30
    optimizer.param_groups[0]["lr"] = 0.01
    assert len(step.fit(X, Y, epochs=2, batch_size=2).loss) == 2


def test_parameters_spoilt_at_the_end_of_an_epoch_are_not_the_last_good_ones() -> None:
    step = line_step()
    states: list[dict[str, bytes]] = []

    class Spoil(Callback):
        every = 203  # the last step but one of the second epoch

        def on_step(self, progress: Progress) -> None:
            progress.lr = 1e25

        def on_epoch(self, progress: Progress) -> None:
            states.append(bits(step))

    with pytest.raises(NonFiniteLossError, match="epoch 3, step 1"):
        step.fit(X, Y, epochs=9, batch_size=2, shuffle=False, callbacks=Spoil())
    assert bits(step) == states[0] != states[1]


def test_a_last_update_that_spoils_the_parameters_is_noticed() -> None:
    step = line_step(lr=1e38)
    before = bits(step)
    with pytest.raises(NonFiniteLossError, match="epoch 1, step 1"):
        step.fit(X * 1e3, Y, epochs=1, batch_size=N)
    assert bits(step) == before


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("norm", [False, True], ids=["layer", "batch norm"])
def test_no_step_follows_a_loss_that_is_not_finite(norm: bool, threads: int) -> None:
    mlpeak.set_num_threads(threads)
    layers = [nn.BatchNorm1d(4), nn.Linear(4, 1)] if norm else [nn.Linear(4, 1)]
    model = nn.Sequential(*layers)
    step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.01))
    x, y = np.ones((80, 4), np.float32), np.ones((80, 1), np.float32)
    y[20] = np.nan
    with pytest.raises(NonFiniteLossError, match="epoch 1, step 3") as caught:
        step.fit(x, y, epochs=1, batch_size=8, shuffle=False)
    assert caught.value.history.steps == 3


def test_a_callback_stops() -> None:
    def stop(progress: Progress) -> None:
        if progress.steps == 9:
            progress.stop()

    step = line_step()
    history = step.fit(X, Y, epochs=5, batch_size=32, callbacks=[EverySteps(3, stop)])
    assert (history.stopped, history.steps, len(history.loss)) == ("callback", 9, 1)
    resumed = step.fit(X, Y, epochs=5, batch_size=32, resume=True)
    whole = line_step()
    expected = whole.fit(X, Y, epochs=5, batch_size=32)
    assert resumed.loss == expected.loss
    assert bits(step) == bits(whole)


CTRL_C = """
import sys, threading, time, os, signal
import numpy as np, mlpeak
from mlpeak import nn, optim
mlpeak.manual_seed(0)
mlpeak.set_num_threads(int(sys.argv[1]))
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 1))
optimizer = optim.Adam(model.parameters())
step = mlpeak.compile(model, nn.MSELoss(), optimizer)
x = np.random.default_rng(0).random((20000, 64), np.float32)
y = x[:, :1].copy()
step.fit(x, y, epochs=1, batch_size=100)
sent = []
def kill():
    time.sleep(0.3)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=kill).start()
try:
    step.fit(x, y, epochs=10**9, batch_size=100)
except KeyboardInterrupt:
    late = time.perf_counter() - sent[0]
    history = step.position.history
    (count,) = {s["step"] for s in optimizer.state.values()}
    assert count == 200 + history.steps, (count, history.steps)
    assert history.stopped == "interrupted"
    with mlpeak.no_grad():
        eager = float(nn.MSELoss()(model(mlpeak.from_numpy(x)), mlpeak.from_numpy(y)))
    again = step(x, y)
    assert again == eager, (again, eager)
    steps = history.steps
    resumed = step.fit(x, y, epochs=len(history.loss) + 2, batch_size=100, resume=True)
    assert resumed.steps == 200 * len(resumed.loss), (resumed.steps, len(resumed.loss))
    assert resumed.steps > steps, (resumed.steps, steps)
    print("late", late)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_within_100_ms_leaves_a_usable_model(threads: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C, str(threads)], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(mlpeak.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    late = float(done.stdout.split()[1])
    assert late < 0.1, f"KeyboardInterrupt came {1000 * late:.0f} ms after the signal"


def test_interrupted_at_random_moments_and_resumed_has_the_bits_of_an_uninterrupted_run() -> None:
    x = X[:64]  # epochs of 2 steps: Python's part of the time is as large as it gets
    whole, step = class_step(), class_step()
    arguments: dict[str, Any] = {"epochs": 1500, "batch_size": 32, "restore_best": False}
    arguments |= {"validation_data": (x, CLASSES[:64]), "metrics": "accuracy"}
    mlpeak.manual_seed(3)
    started = time.perf_counter()
    expected = whole.fit(x, CLASSES[:64], **arguments)
    seconds = time.perf_counter() - started
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    mlpeak.manual_seed(3)
    interrupted, history = 0, None
    try:
        while history is None:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.05, 0.2) * seconds)
            try:
                history = step.fit(x, CLASSES[:64], **arguments, resume=interrupted > 0)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 1
    assert (history.loss, history.metrics) == (expected.loss, expected.metrics)
    assert bits(step) == bits(whole)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_step_is_left_before_anything_of_it_lasts(threads: int) -> None:
    """Ctrl-C early in a step does not wait for its end; resuming does that step again."""
    mlpeak.set_num_threads(threads)
    rng = np.random.default_rng(7)
    x = rng.random((2048, 512), np.float32)
    y = x[:, :1].copy()

    def wide_step() -> mlpeak.Step:
        mlpeak.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(512, 1024), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1),
        )  # fmt: skip
        return mlpeak.compile(model, nn.MSELoss(), optim.Adam(model.parameters()))

    arguments: dict[str, Any] = {"epochs": 3, "batch_size": 1024}
    whole, step = wide_step(), wide_step()
    mlpeak.manual_seed(3)
    started = time.perf_counter()
    expected = whole.fit(x, y, **arguments)
    seconds = (time.perf_counter() - started) / 6
    mlpeak.manual_seed(3)
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    interrupted, left, done, history = 0, 0, 0, None
    try:
        while history is None:
            moment = 0.15 if interrupted % 2 else random.uniform(0.5, 1.5)  # of a step
            if interrupted < 20:
                signal.setitimer(signal.ITIMER_REAL, moment * seconds)
            try:
                history = step.fit(x, y, **arguments, resume=interrupted > 0)
            except KeyboardInterrupt:
                steps = step.position.history.steps if step.position else 0
                interrupted += 1
                left += steps == done
                done = steps
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert left > 0, f"{interrupted} interrupts, after {seconds:.3f} s a step"
    assert history.loss == expected.loss
    assert bits(step) == bits(whole)


@pytest.mark.parametrize("end", ["epochs", "patience"])
def test_interrupted_in_the_last_moment_and_resumed_is_done(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the last things are done is raised when all is finished."""
    finish = fit.Fit._finish

    def finish_interrupted(self: fit.Fit) -> None:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)
        finish(self)

    monkeypatch.setattr(fit.Fit, "_finish", finish_interrupted)
    step = class_step()
    arguments: dict[str, Any] = {"epochs": 6, "batch_size": 32}
    if end == "patience":
        arguments |= {"epochs": 10**6, "validation_data": (X, CLASSES), "patience": 1}
    with pytest.raises(KeyboardInterrupt):
        step.fit(X, CLASSES, **arguments)
    assert step.position is not None
    before, epochs = bits(step), step.position.epoch
    history = step.fit(X, CLASSES, **arguments, resume=True)
    assert (history.stopped, len(history.loss)) == (end, epochs)
    assert bits(step) == before


def test_another_thread_may_work_meanwhile() -> None:
    step, count = line_step(), [0]
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            count[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    step.fit(np.tile(X, (500, 1)), np.tile(Y, (500, 1)), epochs=1, batch_size=2)
    done.set()
    thread.join()
    assert count[0] > 1000
