"""What callbacks of `fit` hear and may change; the bar."""

from __future__ import annotations

import math
import os
import signal
import sys
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
from mlpeak.compiler import Callback, EverySteps, Progress, Schedule
from mlpeak.compiler.bar import Bar


def test_callbacks_hear_of_steps_and_epochs() -> None:
    steps: list[tuple[int, float]] = []
    epochs: list[tuple[int, float, float | None, dict[str, float], float]] = []

    class Notes(Callback):
        every = 4

        def on_step(self, progress: Progress) -> None:
            steps.append((progress.steps, progress.loss))

        def on_epoch(self, progress: Progress) -> None:
            assert progress.samples_per_second > 0
            epochs.append(
                (progress.epoch, progress.loss, progress.validation_loss, progress.metrics,
                 progress.lr)
            )  # fmt: skip

    step = class_step()
    history = step.fit(
        X, CLASSES, epochs=2, batch_size=32, callbacks=[Notes()], metrics=["accuracy"],
        validation_data=(X, CLASSES),
    )  # fmt: skip
    assert [s for s, _ in steps] == [4, 8, 12]
    assert all(math.isfinite(loss) for _, loss in steps)
    accuracies = history.metrics["accuracy"]
    assert epochs == [
        (i + 1, history.loss[i], history.validation_loss[i], {"accuracy": accuracies[i]}, 0.01)
        for i in range(2)
    ]


@pytest.mark.parametrize("every", [None, 1, 3])
def test_a_schedule_is_the_eager_one(every: int | None) -> None:
    step = line_step(lr=0.1)
    schedule = optim.lr_scheduler.CosineAnnealingLR(step.optimizer, T_max=25)
    history = step.fit(
        X, Y, epochs=3, batch_size=32, shuffle=False, callbacks=[Schedule(schedule, every)]
    )
    mlpeak.manual_seed(2)
    model = nn.Linear(6, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    eager = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=25)
    made, rates = 0, []
    for _ in range(3):
        for i in range(0, N, 32):
            optimizer.zero_grad()
            nn.MSELoss()(
                model(mlpeak.from_numpy(X[i : i + 32])), mlpeak.from_numpy(Y[i : i + 32])
            ).backward()
            optimizer.step()
            rate = optimizer.param_groups[0]["lr"]
            made += 1
            if every and made % every == 0:
                eager.step()
        rates.append(rate)  # of the epoch's last step, whatever the next one's is
        if every is None:
            eager.step()
    assert history.lr == rates
    assert bits(step) == bits(mlpeak.compile(model, nn.MSELoss(), optimizer))


def test_a_plateau_is_told_the_validation_loss() -> None:
    step = line_step()
    plateau = optim.lr_scheduler.ReduceLROnPlateau(step.optimizer, patience=0)
    history = step.fit(
        X, Y, epochs=3, batch_size=32, validation_data=(X, -Y), callbacks=[Schedule(plateau)]
    )  # what is learnt is wrong there
    assert plateau.best == history.validation_loss[0] < history.validation_loss[1]
    assert history.lr == [0.01, 0.01, 0.001]


def test_a_callback_may_change_the_parameters() -> None:
    step = line_step()

    def zero(progress: Progress) -> None:
        with mlpeak.no_grad():
            step.model.weight.zero_()
            step.model.bias.zero_()

    history = step.fit(X, Y, epochs=3, batch_size=N, shuffle=False, callbacks=[zero])
    expected = float((Y.astype(np.float64) ** 2).mean())
    # a mean of N float32 squares, each rounded, in lanes: far below N rounding errors
    assert history.loss[1:] == [pytest.approx(expected, rel=N * 2**-24)] * 2


def test_a_callback_may_freeze_a_layer() -> None:
    step, seen = class_step(), []

    def freeze(progress: Progress) -> None:
        step.model[0].weight.requires_grad_(False)
        seen.append(step.model[0].weight._array.tobytes())

    step.fit(X, CLASSES, epochs=3, batch_size=32, callbacks=[freeze])
    assert len(set(seen)) == 1


def test_a_bar_draws_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent, shown = class_step(), class_step()
    mlpeak.manual_seed(1)
    silent.fit(X, CLASSES, epochs=3, batch_size=2, validation_data=(X, CLASSES))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    mlpeak.manual_seed(1)
    shown.fit(X, CLASSES, epochs=3, batch_size=2, validation_data=(X, CLASSES))
    text = capsys.readouterr().err
    assert "epoch 3/3" in text
    assert "samples/s" in text
    assert bits(silent) == bits(shown)
    monkeypatch.undo()


def test_a_bar_draws_with_rich(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    bar = Bar(2, 10)
    bar.draw(5, "loss 1")
    bar.close(20, "loss 0.5")
    assert "epoch 2/2 loss 0.5" in capsys.readouterr().err


class Told(Callback):
    """Write down what is heard, and press Ctrl-C or fail at one event."""

    def __init__(self, log: list[Any], name: str, every: int | None = None) -> None:
        self.log, self.name, self.every = log, name, every
        self.break_at: Any = None
        self.error: type[BaseException] = KeyboardInterrupt

    def _hear(self, event: Any) -> None:
        self.log.append((self.name, *event))
        if event == self.break_at:
            self.break_at = None
            raise self.error

    def on_step(self, progress: Progress) -> None:
        self._hear(("step", progress.steps))

    def on_epoch(self, progress: Progress) -> None:
        self._hear(("epoch", progress.epoch, progress.loss, progress.validation_loss))


def resumed(step: Any, callbacks: list[Any], **more: Any) -> Any:
    """Fit, and resume whenever it is broken off."""
    arguments = {"epochs": 3, "batch_size": 32, "validation_data": (X, CLASSES), **more}
    while True:
        try:
            return step.fit(X, CLASSES, callbacks=callbacks, resume=True, **arguments)
        except (KeyboardInterrupt, EOFError):
            continue


@pytest.mark.parametrize("error", [KeyboardInterrupt, EOFError])
@pytest.mark.parametrize("event", ["step", "epoch"])
def test_each_callback_hears_each_event_once_in_a_training_that_is_resumed(
    event: str, error: type[BaseException]
) -> None:
    logs: list[list[Any]] = []
    for broken in (False, True):
        log: list[Any] = []
        mlpeak.manual_seed(1)
        callbacks = [Told(log, "a", 2), Told(log, "b"), Told(log, "c", 1)]
        if broken:
            first = logs[0]
            at = next(e[1:] for e in first if e[0] == "a" and e[1] == event)
            callbacks[0].break_at, callbacks[0].error = at, error
        resumed(class_step(), callbacks)
        logs.append(log)
    assert logs[1] == logs[0]


@pytest.mark.parametrize("press", ["in a metric", "in a step"])
def test_ctrl_c_loses_no_step_of_a_schedule(press: str) -> None:
    rates = []
    for broken in (False, True):
        mlpeak.manual_seed(1)
        step = class_step()
        calls = 0

        def metric(output: Any, target: Any, broken: bool = broken) -> float:
            nonlocal calls
            calls += 1
            if broken and calls == 2 and press == "in a metric":
                os.kill(os.getpid(), signal.SIGINT)
            return 0.0

        def interrupt(progress: Progress, broken: bool = broken) -> None:
            if broken and progress.steps == 3 and press == "in a step":
                os.kill(os.getpid(), signal.SIGINT)

        schedule = optim.lr_scheduler.StepLR(step.optimizer, 1, 0.5)
        callbacks = [EverySteps(1, interrupt), Schedule(schedule)]
        rates.append(resumed(step, callbacks, metrics=[metric]).lr)
    assert rates[1] == rates[0]


def test_a_resumed_training_goes_on_counting_steps() -> None:
    step, seen = class_step(), []
    ends = Told([], "a", 1)
    ends.break_at = ("step", 9)
    with pytest.raises(KeyboardInterrupt):
        step.fit(X, CLASSES, epochs=2, batch_size=32, callbacks=[ends])
    step.fit(X, CLASSES, epochs=2, batch_size=32, resume=True,
             callbacks=[lambda progress: seen.append(progress.steps)])  # fmt: skip
    assert seen == [2 * -(-N // 32)]
