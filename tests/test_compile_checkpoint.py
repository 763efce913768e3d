"""Checkpoints of compiled steps: what they hold, what is refused, resuming after SIGKILL."""

from __future__ import annotations

import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpeak
from fit_cases import need
from mlpeak import nn, optim
from mlpeak.compiler import Callback, EverySteps, NonFiniteLossError, Progress, Schedule
from mlpeak.compiler.plain import from_plain, to_plain
from mlpeak.compiler.tensorfile import read_tensors, write_tensors

RNG = np.random.default_rng(5)
N = 203
X = RNG.random((N, 6), np.float32)
Y = (X @ RNG.standard_normal((6, 2))).astype(np.float32)

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.01, momentum=0.9),
    "adam": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.001, momentum=0.5, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.05),
}


def parts(optimizer: str = "adam", width: int = 8, seed: int = 0) -> Any:
    mlpeak.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Dropout(0.2), nn.Linear(width, 2))
    return model, nn.MSELoss(), OPTIMIZERS[optimizer](model.parameters())


def bits(step: Any) -> dict[str, bytes]:
    found = {name: t._array.tobytes() for name, t in step.model.state_dict().items()}
    for i, state in step.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensor = isinstance(value, mlpeak.Tensor)
            found[f"{i} {name}"] = value._array.tobytes() if tensor else str(value).encode()
    for i, known in enumerate((step.options.averages, step.options.sums)):
        for j, array in enumerate(known.values()):
            found[f"kept {i} {j}"] = array.tobytes()
    return found


OPTIONS = {"clip_norm": 0.5, "accumulate": 3, "ema": 0.9}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_loaded_step_goes_on_with_the_same_bits(
    optimizer: str, steps: int, tmp_path: Path
) -> None:
    step = mlpeak.compile(*parts(optimizer), **OPTIONS)
    for _ in range(steps):
        step(X[:50], Y[:50])
    step.optimizer.param_groups[0]["lr"] *= 0.7
    step.save(tmp_path / "step")
    expected = [step(X, Y).hex() for _ in range(7)]
    mlpeak.manual_seed(99)
    again = mlpeak.load_step(tmp_path / "step", *parts(optimizer, seed=3))
    assert (again.options.clip_norm, again.options.accumulate) == (0.5, 3)
    assert [again(X, Y).hex() for _ in range(7)] == expected
    assert bits(again) == bits(step)


def test_buffers_come_back(tmp_path: Path) -> None:
    def with_buffers() -> Any:
        mlpeak.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
        return model, nn.MSELoss(), optim.Adam(model.parameters())

    need("batch_norm")
    step = mlpeak.compile(*with_buffers(), ema=0.9)
    for _ in range(3):
        step(X, Y)
    step.save(tmp_path / "step")
    again = mlpeak.load_step(tmp_path / "step", *with_buffers())
    assert int(again.model[1].num_batches_tracked) == 3
    assert [again(X, Y) for _ in range(3)] == [step(X, Y) for _ in range(3)]
    assert bits(again) == bits(step)
    mean = again.ema_state_dict()["1.running_mean"]._array
    assert (mean == step.model[1].running_mean._array).all()


def test_a_step_that_has_run_is_put_back(tmp_path: Path) -> None:
    step = mlpeak.compile(*parts(), **OPTIONS)
    step(X, Y)
    step.save(tmp_path / "step")
    expected = [step(X, Y) for _ in range(4)]
    from mlpeak.compiler.checkpoint import restore

    restore(step, tmp_path / "step")
    assert [step(X, Y) for _ in range(4)] == expected


def test_the_file_is_one_of_safetensors(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    step = mlpeak.compile(*parts())
    step(X, Y)
    step.save(tmp_path / "step.safetensors")
    found = numpy.load_file(tmp_path / "step.safetensors")
    for name, tensor in step.model.state_dict().items():
        assert (found[f"model.{name}"] == tensor._array).all()


def test_arrays_of_every_type_come_back(tmp_path: Path) -> None:
    arrays = {
        str(dtype): np.arange(6).reshape(2, 3).astype(dtype)
        for dtype in ["f2", "f4", "f8", ">f4", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
    }
    arrays |= {"scalar": np.array(5), "empty": np.empty((0, 3), np.float32)}
    arrays["strided"] = np.arange(12.0).reshape(3, 4)[:, ::2]
    write_tensors(tmp_path / "f", "test", arrays, "text ü")
    found, text = read_tensors(tmp_path / "f", "test")
    assert text == "text ü"
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=name != ">f4")


def test_plain_values_come_back() -> None:
    from collections import Counter

    value = {"betas": (0.9, 0.999), 3: [None, True, "x"], "c": Counter([1, 1, 2]), "n": {}}
    again = from_plain(json.loads(json.dumps(to_plain(value, "it"))))
    assert again == value
    assert type(again["c"]) is Counter
    assert again["c"][77] == 0
    with pytest.raises(TypeError, match="it holds object"):
        to_plain([object()], "it")


# damage


def saved(tmp_path: Path) -> Path:
    step = mlpeak.compile(*parts())
    step(X, Y)
    step.save(tmp_path / "step")
    return tmp_path / "step"


def test_every_damaged_byte_and_every_cut_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()
    places = [*range(0, 16), *range(16, len(data), 61), len(data) - 1]
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for place in places:
        broken = bytearray(data)
        broken[place] ^= 0x04
        path.write_bytes(broken)
        if data[place : place + 1] == b" " and data[place:header].strip() == b"":
            continue  # the padding of the header
        with pytest.raises(ValueError, match=r"damaged|is no checkpoint|is a \w+ of mlpeak"):
            mlpeak.load_step(path, *parts())
    for length in (0, 1, 7, 8, 9, header - 1, header, header + 1, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"damaged|is no checkpoint"):
            mlpeak.load_step(path, *parts())


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x03\x04" * 9, struct.pack("<Q", 2) + b"{}", b"\xff" * 100]
)
def test_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(ValueError, match="is no checkpoint of mlpeak"):
        mlpeak.load_step(tmp_path / "f", *parts())


def test_a_file_of_another_kind_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "f", "picture", {}, "")
    with pytest.raises(ValueError, match="is a picture of mlpeak; expected a checkpoint"):
        mlpeak.load_step(tmp_path / "f", *parts())
    with pytest.raises(FileNotFoundError):
        mlpeak.load_step(tmp_path / "none", *parts())


def test_another_model_or_optimizer_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = saved(tmp_path)
    wide = parts(width=9)
    before = wide[0][0].weight._array.copy()
    with pytest.raises(ValueError, match=r"model.0.weight has shape \(8, 6\)"):
        mlpeak.load_step(path, *wide)
    assert (wide[0][0].weight._array == before).all()
    with pytest.raises(ValueError, match="optimizer is SGD; expected Adam"):
        mlpeak.load_step(path, *parts("sgd"))
    short = nn.Sequential(nn.Linear(6, 2))
    with pytest.raises(ValueError, match="parameters in the optimizer's groups"):
        mlpeak.load_step(path, short, nn.MSELoss(), optim.Adam(short.parameters()))
    other = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 2))
    with pytest.raises(ValueError, match=r"only .* model\.(1|3)\.bias"):
        mlpeak.load_step(path, other, nn.MSELoss(), optim.Adam(other.parameters()))


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path)
    data = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        mlpeak.compile(*parts()).save(path)
    assert path.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["step"]


# resuming


class Stop(Callback):
    """Break off at a step, as if the process had died there."""

    every = 1

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step(self, progress: Progress) -> None:
        if progress.steps == self.at:
            raise EOFError


def course(history: Any) -> Any:
    return history.loss, history.validation_loss, history.metrics, history.lr, history.steps


def train(step: Any, **more: Any) -> Any:
    schedule = optim.lr_scheduler.MultiStepLR(step.optimizer, [3, 7], gamma=0.5)
    callbacks = [Schedule(schedule, every=3), *more.pop("callbacks", [EverySteps(99, print)])]
    return step.fit(
        X, Y, **{"epochs": 4, "batch_size": 32, "validation_data": (X[:50], Y[:50]),
                 "metrics": "mae", "callbacks": callbacks, **more},
    )  # fmt: skip


@pytest.mark.parametrize("every", [None, 3, 7])
@pytest.mark.parametrize("at", [1, 8, 14, 27])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_training_broken_off_goes_on_with_the_same_bits(
    every: int | None, at: int, shuffle: bool, tmp_path: Path
) -> None:
    whole = mlpeak.compile(*parts("sgd"), **OPTIONS)
    expected = train(whole, shuffle=shuffle)
    step = mlpeak.compile(*parts("sgd"), **OPTIONS)
    where: dict[str, Any] = {"checkpoint": tmp_path / "c", "every": every, "shuffle": shuffle}
    with pytest.raises(EOFError):
        train(step, callbacks=[Stop(at)], **where)
    resumed = mlpeak.compile(*parts("sgd", seed=7), **OPTIONS)
    if not (tmp_path / "c").exists():  # nothing was saved yet: a new start
        resumed = mlpeak.compile(*parts("sgd"), **OPTIONS)
    history = train(resumed, resume=True, **where)
    assert course(history) == course(expected)
    assert bits(resumed) == bits(whole)
    again = train(mlpeak.compile(*parts("sgd", seed=8), **OPTIONS), resume=True, **where)
    assert course(again) == course(expected), "a training that is done has nothing left to do"


def test_a_step_broken_off_goes_on_without_a_file() -> None:
    whole = mlpeak.compile(*parts())
    expected = train(whole)
    step = mlpeak.compile(*parts())
    with pytest.raises(EOFError):
        train(step, callbacks=[Stop(10)])
    assert step.position.history.stopped == "interrupted"
    # the callbacks' states are in checkpoints alone: the schedule is the caller's own here
    history = step.fit(X, Y, epochs=4, batch_size=32, resume=True)
    assert history.steps == expected.steps
    assert history.loss[0] == expected.loss[0]


def test_what_a_callback_saves_has_the_states_of_all(tmp_path: Path) -> None:
    def start(save: Any, made: Any) -> Any:
        step = mlpeak.compile(*made)
        later = Schedule(optim.lr_scheduler.StepLR(step.optimizer, 2, gamma=0.5))
        return step, [save, later]  # after a schedule that `train` has

    step, callbacks = start(lambda progress: step.save(tmp_path / str(progress.epoch)), parts())
    expected = train(step, callbacks=callbacks, epochs=5)
    for epoch in (1, 2, 3):
        made = parts(seed=5)
        _, callbacks = start(lambda _: None, made)
        again = mlpeak.load_step(tmp_path / str(epoch), *made)
        assert course(train(again, callbacks=callbacks, epochs=5, resume=True)) == course(expected)
        assert bits(again) == bits(step)


def test_a_schedule_made_before_the_step_is_loaded_goes_on(tmp_path: Path) -> None:
    """Also one that sets the learning rate when it is made."""

    def made(seed: int) -> Any:
        model, loss, optimizer = parts("sgd", seed=seed)
        schedule = Schedule(optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1 + t)))
        return (model, loss, optimizer), [schedule]

    of, callbacks = made(0)
    whole = mlpeak.compile(*of)
    expected = train(whole, callbacks=callbacks)
    of, callbacks = made(0)
    train(mlpeak.compile(*of), callbacks=callbacks, epochs=2, checkpoint=tmp_path / "c")
    of, callbacks = made(5)
    step = mlpeak.load_step(tmp_path / "c", *of)
    assert course(train(step, callbacks=callbacks, resume=True)) == course(expected)
    assert bits(step) == bits(whole)


def test_more_epochs_may_be_added(tmp_path: Path) -> None:
    whole = mlpeak.compile(*parts())
    expected = train(whole, epochs=6)
    first = mlpeak.compile(*parts())
    train(first, epochs=3, checkpoint=tmp_path / "c")
    second = mlpeak.load_step(tmp_path / "c", *parts(seed=5))
    history = train(second, epochs=6, resume=True)
    assert course(history)[0] == course(expected)[0]
    assert bits(second) == bits(whole)


def test_the_last_state_is_written_whatever_every_is(tmp_path: Path) -> None:
    whole = mlpeak.compile(*parts())
    train(whole, restore_best=False)
    step = mlpeak.compile(*parts())
    train(step, checkpoint=tmp_path / "c", every=10**6, restore_best=False)
    assert bits(mlpeak.load_step(tmp_path / "c", *parts(seed=5))) == bits(whole)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 16}, "batch_size is 16; expected 32"),
        ({"shuffle": False}, "shuffle is False; expected True"),
        ({"callbacks": []}, "callbacks has 0 members; expected 2"),
    ],
)
def test_other_data_is_no_continuation(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    train(mlpeak.compile(*parts()), checkpoint=tmp_path / "c")
    step = mlpeak.compile(*parts())
    arguments = {"checkpoint": tmp_path / "c", "resume": True, "epochs": 5, "batch_size": 32}
    callbacks = [EverySteps(99, print)] * 2
    with pytest.raises(ValueError, match=words):
        step.fit(X, Y, **{**arguments, "callbacks": callbacks, **change})


def test_spoilt_parameters_are_not_written(tmp_path: Path) -> None:
    step = mlpeak.compile(*parts("sgd"))
    step.fit(X, Y, epochs=1, batch_size=32, checkpoint=tmp_path / "c")
    data = (tmp_path / "c").read_bytes()
    step.optimizer.param_groups[0]["lr"] = 1e38
    with pytest.raises(NonFiniteLossError):
        step.fit(X * 1e3, Y, epochs=1, batch_size=N, checkpoint=tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == data


KILLED = """
import sys, json, hashlib
import numpy as np, mlpeak
from mlpeak import nn, optim
from mlpeak.compiler import Schedule
path, every = sys.argv[1], int(sys.argv[2])
mlpeak.set_num_threads(1)
mlpeak.manual_seed(0)
rng = np.random.default_rng(0)
x = rng.integers(0, 256, (3001, 32), np.uint8)
y = rng.integers(0, 5, 3001)
model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 5))
optimizer = optim.Adam(model.parameters(), lr=0.002)
step = mlpeak.compile(model, nn.CrossEntropyLoss(), optimizer, accumulate=2, ema=0.99)
schedule = Schedule(optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40))
print("start", flush=True)
history = step.fit(
    x, y, epochs=40, batch_size=40, scale=1 / 255, validation_data=(x[:500], y[:500]),
    metrics="accuracy", callbacks=schedule, checkpoint=path, every=every or None, resume=True,
)
digest = hashlib.sha256()
for state in (model.state_dict(), step.ema_state_dict(), *optimizer.state_dict()["state"].values()):
    for name, value in state.items():
        digest.update(name.encode())
        digest.update(value._array.tobytes() if hasattr(value, "_array") else str(value).encode())
course = [history.loss, history.validation_loss, history.metrics, history.lr, history.steps]
print("end", digest.hexdigest(), mlpeak.get_rng_state(), json.dumps(course))
"""


@pytest.mark.parametrize("every", [0, 41])
def test_killed_at_random_moments_and_resumed_has_the_bits_of_an_uninterrupted_run(
    every: int, tmp_path: Path
) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(mlpeak.__file__).parents[1])}

    def start(path: Path) -> Any:
        command = [sys.executable, "-c", KILLED, str(path), str(every)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        assert process.stdout is not None
        assert process.stdout.readline() == "start\n"
        return process

    whole = start(tmp_path / "whole")
    started = time.perf_counter()
    expected, _ = whole.communicate(timeout=60)
    seconds = time.perf_counter() - started
    assert expected.startswith("end")
    killed = 0
    for _ in range(30):
        process = start(tmp_path / "killed")
        time.sleep(random.uniform(0, 0.6) * seconds)
        process.send_signal(signal.SIGKILL)
        found, _ = process.communicate(timeout=60)
        killed += process.returncode == -signal.SIGKILL
        if killed >= 3 or found:
            break
    if not found:
        found, _ = start(tmp_path / "killed").communicate(timeout=60)
    assert killed > 0
    assert found == expected
