"""`CompiledStep.fit`: the bits of an eager loop, data of all kinds, callbacks, and how it ends."""

from __future__ import annotations

import math
import os
import random
import re
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
from mlpeak import kernels, nn, optim
from mlpeak.compiler import Callback, EverySteps, NonFiniteLossError, Progress, Schedule
from mlpeak.compiler.bar import Bar
from mlpeak.compiler.rules import RULES
from mlpeak.data import DataLoader, TensorDataset, read_idx_folder

RNG = np.random.default_rng(5)
N = 203  # with batches of 32 the last has 11
X = RNG.random((N, 6), np.float32)
CLASSES = RNG.integers(0, 3, N)
Y = (X @ RNG.standard_normal((6, 2))).astype(np.float32)
BYTES = RNG.integers(0, 256, (N, 6), np.uint8)
WEIGHT = RNG.uniform(0.5, 2, N).astype(np.float32)


def classifier(norm: bool = False) -> nn.Sequential:
    mlpeak.manual_seed(1)
    middle = nn.BatchNorm1d(16) if norm else nn.Tanh()
    return nn.Sequential(nn.Linear(6, 16), middle, nn.ReLU(), nn.Dropout(0.25), nn.Linear(16, 3))


def need(*kernels: str) -> None:
    """Skip a test of layers whose kernels the engine does not have."""
    line_step()(X, Y)  # the rules are there once something was compiled
    lacking = [name for name in kernels if name not in RULES]
    if lacking:
        pytest.skip(f"{', '.join(lacking)} does not compile")


def adam(model: nn.Module, lr: float = 0.01) -> optim.Adam:
    return optim.Adam(model.parameters(), lr=lr)


def class_step(norm: bool = False, **options: Any) -> Any:
    model = classifier(norm)
    return mlpeak.compile(model, nn.CrossEntropyLoss(), adam(model), **options)


def line_step(lr: float = 0.01, **options: Any) -> Any:
    mlpeak.manual_seed(2)
    model = nn.Linear(6, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    optimizer.param_groups[0]["lr"] = lr  # may be negative: then it climbs
    return mlpeak.compile(model, nn.MSELoss(), optimizer, **options)


def bits(step: Any) -> dict[str, bytes]:
    """All that training changes."""
    found = {name: t._array.tobytes() for name, t in step.model.state_dict().items()}
    for i, state in step.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            found[f"{i} {name}"] = (
                value._array.tobytes() if isinstance(value, mlpeak.Tensor) else bytes([value % 251])
            )
    return found


# the bits of an eager loop


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("norm", [False, True])
def test_fit_has_the_bits_of_an_eager_loop(
    shuffle: bool, weighted: bool, threads: int, norm: bool
) -> None:
    need(*["batch_norm"] * norm)
    mlpeak.set_num_threads(threads)
    step = class_step(norm)
    history = step.fit(
        X, CLASSES, epochs=3, batch_size=32, shuffle=shuffle,
        sample_weight=WEIGHT if weighted else None,
    )  # fmt: skip
    model, loss_of = classifier(norm), nn.CrossEntropyLoss()
    optimizer = adam(model)
    loader = DataLoader(TensorDataset(X, CLASSES, WEIGHT), batch_size=32, shuffle=shuffle)
    for epoch in range(3):
        losses, sizes = [], []
        for x, y, w in loader:
            optimizer.zero_grad()
            loss = loss_of(model(x), y, **({"sample_weight": w} if weighted else {}))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            sizes.append(w.double().sum().item() if weighted else len(x))
        # sums of at most 32 float64 weights: in another order a few ulp apart
        assert history.loss[epoch] == pytest.approx(np.average(losses, weights=sizes), rel=1e-13)
    eager = mlpeak.compile(model, loss_of, optimizer)
    assert bits(step) == bits(eager)
    assert history.steps == 21
    assert history.stopped == "epochs"


def test_pieces_do_not_change_the_bits(tmp_path: Path) -> None:
    whole, pieces = class_step(), class_step()
    a = whole.fit(X, CLASSES, epochs=3, batch_size=32, validation_data=(X, CLASSES))
    mlpeak.manual_seed(1)
    pieces = class_step()
    b = pieces.fit(
        X, CLASSES, epochs=3, batch_size=32, validation_data=(X, CLASSES), max_seconds=1000,
        callbacks=[EverySteps(2, lambda p: None), EverySteps(5, lambda p: None)],
        checkpoint=tmp_path / "c", every=3,
    )  # fmt: skip
    assert bits(whole) == bits(pieces)
    assert (a.loss, a.validation_loss) == (b.loss, b.validation_loss)


def test_bytes_with_a_scale_train_as_the_floats_do() -> None:
    a, b = class_step(), class_step()
    mlpeak.manual_seed(9)
    a.fit(BYTES, CLASSES, epochs=2, batch_size=32, scale=1 / 255, validation_data=(BYTES, CLASSES))
    mlpeak.manual_seed(9)
    floats = BYTES.astype(np.float32) * np.float32(1 / 255)
    b.fit(floats, CLASSES, epochs=2, batch_size=32, validation_data=(floats, CLASSES))
    assert bits(a) == bits(b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_memory_maps_train_and_predict_as_arrays_do(tmp_path: Path, dtype: Any) -> None:
    data = BYTES.astype(dtype)
    mapped = np.memmap(tmp_path / "x", dtype, "w+", shape=data.shape)
    mapped[:] = data
    mapped.flush()
    mapped = np.memmap(tmp_path / "x", dtype, "r", shape=data.shape)
    results = []
    for x in (data, mapped):
        step = class_step()
        step.fit(x, CLASSES, epochs=2, batch_size=32)
        run = mlpeak.compile(step.model.eval())
        results.append((bits(step), run.predict(x, batch_size=50).tobytes()))
    assert results[0] == results[1]


def test_an_array_in_another_order_is_copied_and_a_map_refused(tmp_path: Path) -> None:
    a, b = line_step(), line_step()
    for step, x in ((a, X), (b, np.asfortranarray(X))):
        mlpeak.manual_seed(4)
        step.fit(x, Y, epochs=1, batch_size=50)
    assert bits(a) == bits(b)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(N, 12))
    with pytest.raises(ValueError, match="memory map that is not C-contiguous"):
        a.fit(mapped[:, ::2], Y, epochs=1, batch_size=50)
    with pytest.raises(ValueError, match="memory map that is not C-contiguous"):
        mlpeak.compile(a.model).predict(np.asarray(mapped)[:, ::2])


def test_several_inputs_and_targets() -> None:
    need("embedding_backward", "np.concatenate")

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.body = nn.Embedding(3, 4), nn.Linear(10, 2)

        def forward(self, i: Any, x: Any) -> Any:
            both = self.body(mlpeak.cat([self.table(i), x], dim=1))
            return both, both * 2

    def loss(output: Any, first: Any, second: Any) -> Any:
        return ((output[0] - first) ** 2).mean() + ((output[1] - second) ** 2).mean()

    def distance(output: Any, target: Any) -> float:
        return float(np.abs(output[1] - target[1]).mean())

    mlpeak.manual_seed(0)
    model = Two()
    step = mlpeak.compile(model, loss, adam(model, 0.05))
    history = step.fit(
        (CLASSES, X), (Y, Y), epochs=30, batch_size=32, metrics=[distance],
        validation_data=((CLASSES, X), (Y, Y)),
    )  # fmt: skip
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert history.metrics["distance"][-1] < 0.7 * history.metrics["distance"][0]
    with pytest.raises(ValueError, match="several outputs"):
        step.fit(
            (CLASSES, X), (Y, Y), epochs=1, batch_size=32, metrics="mse",
            validation_data=((CLASSES, X), (Y, Y)),
        )  # fmt: skip


def test_gradients_accumulate_over_the_ends_of_epochs() -> None:
    a, b = line_step(accumulate=3), line_step(accumulate=3)
    a.fit(X, Y, epochs=2, batch_size=50, shuffle=False)  # 10 steps: 3 updates, 1 step over
    for _ in range(2):
        for i in range(0, N, 50):
            b(X[i : i + 50], Y[i : i + 50])
    assert bits(a) == bits(b)
    assert a.phase == b.phase == 1
    assert a(X, Y) == b(X, Y)


# validation and metrics


@pytest.mark.parametrize("norm", [False, True])
def test_validation_is_in_evaluation_mode_and_training_mode_comes_back(norm: bool) -> None:
    need(*["batch_norm"] * norm)
    step = class_step(norm)
    step.model[2].eval()  # a layer that was frozen stays so
    history = step.fit(
        X, CLASSES, epochs=2, batch_size=32, metrics=["accuracy"], restore_best=False,
        validation_data=(X[:77], CLASSES[:77], WEIGHT[:77]),
    )  # fmt: skip
    assert [m.training for m in step.model] == [True, True, False, True, True]
    step.model.eval()
    with mlpeak.no_grad():
        output = step.model(mlpeak.from_numpy(X[:77]))
        weight = mlpeak.from_numpy(WEIGHT[:77])
        loss = step.loss(output, mlpeak.from_numpy(CLASSES[:77]), sample_weight=weight)
    assert history.validation_loss[-1] == loss.item()
    right = output.numpy().argmax(axis=1) == CLASSES[:77]
    accuracy = WEIGHT[:77][right].sum() / WEIGHT[:77].sum()
    # 77 float32 weights summed here, in float64 there
    assert history.metrics["accuracy"][-1] == pytest.approx(accuracy, rel=77 * 2**-24)


def test_metrics_of_numbers() -> None:
    step = line_step()
    names = ("mse", "rmse", "mae", "r2")
    history = step.fit(
        X, Y, epochs=1, batch_size=32, validation_data=(X, Y), metrics=names, restore_best=False
    )
    with mlpeak.no_grad():
        error = step.model(mlpeak.from_numpy(X)).numpy().astype(np.float64) - Y
    spread = ((Y - Y.mean(axis=0, dtype=np.float64)) ** 2).mean(axis=0)
    expected = {
        "mse": (error**2).mean(),
        "rmse": math.sqrt((error**2).mean()),
        "mae": np.abs(error).mean(),
        "r2": (1 - (error**2).mean(axis=0) / spread).mean(),
    }
    for name in names:
        assert history.metrics[name] == [pytest.approx(expected[name], rel=1e-12)], name


@pytest.mark.parametrize(
    ("loss", "last"), [(nn.BCEWithLogitsLoss, nn.Identity), (nn.BCELoss, nn.Sigmoid)]
)
def test_accuracy_of_two_classes(loss: Any, last: Any) -> None:
    target = (X[:, :1] > 0.5).astype(np.float32)
    mlpeak.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 1), last())
    step = mlpeak.compile(model, loss(), adam(model, 0.1))
    history = step.fit(
        X, target, epochs=40, batch_size=32, validation_data=(X, target), metrics=["accuracy"]
    )
    assert history.metrics["accuracy"][-1] > 0.9


# how it ends


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
        every = 100  # an epoch has 102 steps: the 100th of the last one's

        def on_step(self, progress: Progress) -> None:
            if progress.steps == 200:
                for group in progress.optimizer.param_groups:
                    group["lr"] = 1e25

        def on_epoch(self, progress: Progress) -> None:
            states.append(bits(step))

    y = Y.copy()
    with pytest.raises(NonFiniteLossError):
        step.fit(X, y, epochs=9, batch_size=2, shuffle=False, callbacks=Spoil())
    # whichever step it was noticed in, the second epoch's end is not what is kept
    assert bits(step) == states[0]


def test_a_last_update_that_spoils_the_parameters_is_noticed() -> None:
    step = line_step(lr=1e38)
    before = bits(step)
    with pytest.raises(NonFiniteLossError, match="epoch 1, step 1"):
        step.fit(X * 1e3, Y, epochs=1, batch_size=N)
    assert bits(step) == before


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
    x, y = X[:64], Y[:64]  # epochs of 2 steps: Python's part of the time is as large as it gets
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


# callbacks


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


# what is refused


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": 1.5}, TypeError, "epochs is float"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"patience": 0}, ValueError, "patience is 0"),
        ({"max_seconds": 0}, ValueError, "max_seconds is 0"),
        ({"every": 3}, ValueError, "every is given without checkpoint"),
        ({"checkpoint": "/no/such/folder/c"}, ValueError, "folder does not exist"),
        ({"metrics": "mse"}, ValueError, "without validation_data"),
        ({"metrics": "f1", "validation_data": (X, Y)}, ValueError, "metrics holds 'f1'"),
        ({"metrics": [3], "validation_data": (X, Y)}, TypeError, "metrics holds int"),
        ({"metrics": ["mse"] * 2, "validation_data": (X, Y)}, ValueError, "'mse' twice"),
        ({"validation_data": X}, TypeError, "validation_data"),
        ({"validation_data": (X, Y[:5])}, ValueError, "has 5 samples; expected 203"),
        ({"validation_data": (X[:, :5], Y)}, ValueError, r"expected \(samples, 6\)"),
        ({"callbacks": [3]}, TypeError, "callbacks holds 3"),
        ({"callbacks": EverySteps(0, print)}, ValueError, "every is 0"),
        ({"scale": 0.5}, ValueError, "X has dtype float32"),
        ({"sample_weight": X}, ValueError, r"expected \(batch,\)"),
        ({"X": X[:0], "y": Y[:0]}, ValueError, "no samples"),
        ({"X": X.astype(np.float16)}, TypeError, "dtype float16"),
        ({"y": Y[:100]}, ValueError, "y has 100 samples; expected 203"),
    ],
)
def test_wrong_arguments_are_refused(change: dict[str, Any], error: Any, words: str) -> None:
    step = line_step()
    before = bits(step)
    arguments: dict[str, Any] = {"X": X, "y": Y, "epochs": 1, "batch_size": 32, **change}
    with pytest.raises(error, match=words):
        step.fit(**arguments)
    assert bits(step) == before


def test_wrong_classes_are_refused() -> None:
    step = class_step()
    with pytest.raises(ValueError, match="y holds 3 at position 7"):
        step.fit(X, np.where(np.arange(N) == 7, 3, 0), epochs=1, batch_size=32)
    with pytest.raises(ValueError, match=r"validation_data\[1\] holds -1 at position 0"):
        step.fit(X, CLASSES, epochs=1, batch_size=32, validation_data=(X, CLASSES * 0 - 1))


# averages and a real data set


def test_moving_averages_are_a_state_of_the_model() -> None:
    step = class_step(ema=0.9)
    start = {n: t._array.copy() for n, t in step.model.state_dict().items()}
    average = start["0.weight"].copy()

    def follow(progress: Progress) -> None:
        # the engine's own formula, one rounding an operation
        average[...] += (step.model[0].weight._array - average) * np.float32(1 - 0.9)

    step.fit(X, CLASSES, epochs=2, batch_size=32, callbacks=[EverySteps(1, follow)])
    found = step.ema_state_dict()
    assert found.keys() == start.keys()
    # 14 updates of numbers below 1, each with at most three roundings
    np.testing.assert_allclose(found["0.weight"]._array, average, rtol=0, atol=14 * 3 * 2**-24)
    classifier().load_state_dict(found)
    with pytest.raises(RuntimeError, match="no averages"):
        class_step().ema_state_dict()


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc/self/status")
    line = next(x for x in status.read_text().splitlines() if x.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


def test_a_map_is_not_copied(tmp_path: Path) -> None:
    rows = 500_000
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(rows, 784))  # 1.6 GB, no disk
    y = np.zeros((rows, 1), np.float32)
    mlpeak.manual_seed(0)
    model = nn.Linear(784, 1)
    step = mlpeak.compile(model, nn.MSELoss(), adam(model))
    before = anonymous_bytes()
    history = step.fit(mapped, y, epochs=1, batch_size=64, max_seconds=0.2)
    assert history.steps > 0
    grown = anonymous_bytes() - before
    assert grown < mapped.nbytes / 20, f"{grown / 1e6:.0f} MB more"


PAGE = Path(__file__).parent.parent / "docs" / "compiled_step.md"


@pytest.mark.skipif(not PAGE.exists(), reason="needs the repository, not only the package")
def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S):
        exec(compile(block, PAGE.name, "exec"), names)
    first, last = capsys.readouterr().out.splitlines()
    assert first.split()[0] in ("patience", "epochs")
    assert float(first.split()[2]) > 0.95
    assert last == "8"
    assert len(names["losses"]) == 320 // 20  # 10 epochs of 32 steps
    names["folder"].cleanup()


def test_784_256_10_learns_mnist(mnist_10k: Path) -> None:
    images, labels = read_idx_folder(mnist_10k)["t10k"]
    order = kernels.permutation(len(images), seed=0)
    x, y = images.reshape(-1, 784)[order], labels[order]
    mlpeak.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    # smoothing makes it 97.3 % in the mean of five seeds; without it 95.9 %
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    step = mlpeak.compile(model, loss, adam(model, 5e-3))
    cosine = Schedule(optim.lr_scheduler.CosineAnnealingLR(step.optimizer, T_max=20))
    history = step.fit(
        x[:9000], y[:9000], epochs=20, batch_size=200, scale=1 / 255, metrics="accuracy",
        validation_data=(x[9000:], y[9000:]), restore_best=False, callbacks=cosine,
    )  # fmt: skip
    assert history.metrics["accuracy"][-1] >= 0.96
