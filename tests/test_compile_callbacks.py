"""What callbacks of `fit` hear and may change; the bar."""

from __future__ import annotations

import math
import sys

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
from mlpeak.compiler import Callback, Progress, Schedule
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
            made += 1
            if every and made % every == 0:
                eager.step()
        rates.append(optimizer.param_groups[0]["lr"])
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
