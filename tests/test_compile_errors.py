"""What a compiled step refuses, in which words; nothing is changed by it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpeak
from compiled_steps import bits, good_step, network, samples
from mlpeak import nn, optim

WRONG: dict[str, tuple[Callable[[Any, Any], tuple[Any, ...]], type[Exception], str]] = {
    "class beyond": (lambda x, y: (x, y + 3), ValueError, r"expected integers in \[0, 3\)"),
    "class negative": (lambda x, y: (x, y - 5), ValueError, r"y holds -"),
    "fewer targets": (lambda x, y: (x, y[:-1]), ValueError, "y has 9 samples; expected 10"),
    "no samples": (lambda x, y: (x[:0], y[:0]), ValueError, "no samples"),
    "columns": (lambda x, y: (x[:, :5], y), ValueError, "5"),
    "complex": (lambda x, y: (x.astype(complex), y), TypeError, "complex128"),
    "text": (lambda x, y: (np.array(["a"] * 10), y), TypeError, "<U1"),
    "number": (lambda x, y: (1.0, y), ValueError, r"shape \(\)"),
    "two inputs": (lambda x, y: ((x, x), y), TypeError, "positional argument"),
    "weights of a matrix": (lambda x, y: (x, y, x), ValueError, "sample_weight has shape"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("warm", [False, True], ids=["first", "later"])
def test_wrong_input_is_refused_and_changes_nothing(name: str, warm: bool) -> None:
    make, error, text = WRONG[name]
    step, model, x, y = good_step()
    if warm:
        step(x, y)
    before = bits(model)
    with pytest.raises(error, match=text):
        step(*make(x, y))
    assert bits(model) == before


def test_arguments_of_compile_are_checked() -> None:
    model = nn.Linear(2, 1)
    loss, optimizer = nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1)
    anything: Any = mlpeak.compile
    with pytest.raises(TypeError, match=r"model is int; expected an nn\.Module"):
        anything(3)
    with pytest.raises(TypeError, match="optimizer is missing"):
        anything(model, loss)
    with pytest.raises(TypeError, match="optimizer is str"):
        anything(model, loss, "adam")
    for name, value in {"clip_norm": -1, "accumulate": 0, "ema": 1.5, "precision": "fp8"}.items():
        with pytest.raises(ValueError, match=f"compile: {name} is"):
            anything(model, loss, optimizer, **{name: value})
    with pytest.raises(ValueError, match="optimizer has no parameter of the model or the loss"):
        anything(nn.Linear(2, 1), loss, optimizer)


def test_branch_on_data_names_the_module_and_the_eager_way() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 1)

        def forward(self, x: Any) -> Any:
            y = self.inner(x)
            return y if float(y.sum().item()) > 0 else -y

    model = Branching()
    step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(mlpeak.CompileError, match=r"(?s)Branching.*loss\.backward"):
        step(np.ones((3, 2), np.float32), np.ones((3, 1), np.float32))


@pytest.mark.parametrize("warm", [False, True])
def test_errors_name_what_was_called(warm: bool) -> None:
    mlpeak.manual_seed(0)
    model = nn.Sequential(nn.Embedding(3, 2), nn.Flatten())
    step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    run = mlpeak.compile(model)
    x, y = np.zeros((4, 1), np.int64), np.zeros(4, np.int64)
    if warm:
        step(x, y)
        run(x)
    calls: dict[str, Callable[[Any], Any]] = {
        "step: x": lambda wrong: step(wrong, y),
        "fit: X": lambda wrong: step.fit(wrong, y, epochs=1, batch_size=2),
        "run: x": run,
        "predict: X": run.predict,
    }
    wrongs = [(x + 3, "holds 3"), (x[:0], "has"), (x[0, 0], "has shape"), (x + 1j, "has dtype")]
    for start, call in calls.items():
        for wrong, text in wrongs:
            with pytest.raises((TypeError, ValueError)) as raised:
                call(wrong)
            message = str(raised.value)
            # what differs from the others is named: y, where x has no samples
            assert message.startswith((f"{start} {text}", f"{start[:-1]}y has 4 samples")), message


def adam_after_a_step() -> tuple[Any, nn.Linear, Any, Any]:
    model = nn.Linear(4, 4)
    optimizer = optim.Adam(model.parameters())
    step = mlpeak.compile(model, nn.MSELoss(), optimizer, ema=0.9, accumulate=1)
    x = np.ones((3, 4), np.float32)
    step(x, x)
    return step, model, optimizer, x


def test_state_of_another_dtype_or_shape_is_refused() -> None:
    step, model, _, x = adam_after_a_step()
    model.double()
    with pytest.raises(TypeError, match="exp_avg has dtype float32; expected float64 like param"):
        step(x.astype(np.float64), x.astype(np.float64))
    step, model, _, x = adam_after_a_step()
    model.weight.data, model.bias.data = mlpeak.ones(6, 4), mlpeak.ones(6)
    with pytest.raises(ValueError, match=r"exp_avg has shape .*; expected .* like param"):
        step(x, np.ones((3, 6), np.float32))


@pytest.mark.parametrize("options", [{"ema": 0.9}, {"accumulate": 2}], ids=str)
def test_averages_and_sums_follow_a_changed_dtype(options: Any) -> None:
    model = nn.Linear(64, 64)
    step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), **options)
    x = np.ones((4, 64))
    step(x.astype(np.float32), x.astype(np.float32))
    model.double()
    for _ in range(3):
        assert np.isfinite(step(x, x))


def test_parameters_that_cannot_be_written_or_lie_apart_are_refused() -> None:
    x = np.ones((2, 3), np.float32)
    fixed = np.ones((2, 3), np.float32)
    fixed.flags.writeable = False
    turned = np.ones((3, 2), np.float32).T
    for array, text in ((fixed, "param is read-only"), (turned, "param is not C-contiguous")):
        model = nn.Linear(3, 2)
        model.weight.data = mlpeak.from_numpy(array)
        step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
        with pytest.raises(ValueError, match=text):
            step(x, np.ones((2, 2), np.float32))
    with pytest.raises(mlpeak.CompileError, match=r"reads weight, .*p\.data\.contiguous"):
        mlpeak.compile(model)(x)
    model.weight.data = model.weight.data.contiguous()
    assert mlpeak.compile(model)(x).shape == (2, 2)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model[1].running_mean.data = mlpeak.from_numpy(np.broadcast_to(np.float32(0), (2,)))
    step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(mlpeak.CompileError, match=r"running_mean, whose elements do not lie"):
        step(x, np.ones((2, 2), np.float32))


@pytest.mark.parametrize(
    ("name", "told"),
    [("running_mean", r"1\.running_mean"), ("num_batches_tracked", r"a count of shape \(\)")],
)
def test_a_read_only_buffer_is_refused_where_it_is_written(name: str, told: str) -> None:
    x = np.ones((2, 3), np.float32)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    getattr(model[1], name)._array.flags.writeable = False
    step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match=f"compile: {told} is read-only"):
        step(x, np.ones((2, 2), np.float32))
    assert mlpeak.compile(model.eval())(x).shape == (2, 2)


def test_a_later_step_does_not_take_a_weight_for_a_target() -> None:
    model = nn.Linear(3, 2)

    def loss(o: Any, y: Any, z: Any = None, sample_weight: Any = None) -> Any:
        each = ((o - y) ** 2).mean(1)
        if sample_weight is not None:
            return (each * sample_weight).mean()
        return each.mean() if z is None else (each + z).mean()

    step = mlpeak.compile(model, loss, optim.SGD(model.parameters(), lr=0.0))
    x, y, z = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32), np.full(4, 3, np.float32)
    added, weighted = step(x, (y, z)), step(x, y, z)
    assert added == pytest.approx(weighted / 3 + 3, rel=1e-6)
    assert [step(x, (y, z)), step(x, y, z)] == [added, weighted]
    with pytest.raises(TypeError, match="positional argument"):
        step((x, y), ())


class TwoOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.layer(x), self.layer(-x)


class Named(TwoOutputs):
    def forward(self, x: Any) -> Any:
        return {"a": self.layer(x)}


def named_loss(output: Any, y: Any) -> Any:
    return nn.functional.cross_entropy(output["a"], y)


def pair_loss(output: Any, y: Any) -> Any:
    return nn.functional.cross_entropy(output[0] - output[1], y)


ONCE = nn.CrossEntropyLoss()
#: model, loss, further arguments of a fit of 9 samples, and what is said
LATE: dict[str, tuple[Callable[[], nn.Module], Any, dict[str, Any], str]] = {
    "last batch of one": (
        lambda: nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3)), ONCE,
        {"max_seconds": 60}, "fit: X has a last batch of 1 samples; expected 2 or more"),
    "output of no tensors": (Named, named_loss, {"validation_data": 1}, "the model returns dict"),
    "metric of two outputs": (
        TwoOutputs, pair_loss, {"validation_data": 1, "metrics": "mse"}, "several outputs"),
    "metric of classes": (
        lambda: nn.Linear(6, 3), ONCE, {"validation_data": 1, "metrics": "r2"}, "target has 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", LATE)
def test_fit_refuses_before_the_first_step(name: str) -> None:
    make, loss, more, text = LATE[name]
    model = make()
    x, y = samples((6, 3), 9)
    if "validation_data" in more:
        more = {**more, "validation_data": (x, y)}
    step = mlpeak.compile(model, loss, optim.SGD(model.parameters(), lr=0.1))
    before = bits(model)
    with pytest.raises((ValueError, mlpeak.CompileError), match=text):
        step.fit(x, y, epochs=2, batch_size=4, **more)
    assert bits(model) == before


def test_fit_refuses_validation_targets_of_any_sample_before_the_first_step() -> None:
    model = nn.Linear(3, 1)
    step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    x, y = np.ones((10, 3), np.float32), np.ones((10, 1), np.float32)
    before, target = bits(model), y.copy()
    target[8] = np.nan
    with pytest.raises(ValueError, match="target holds nan at position 8"):
        step.fit(x, y, epochs=2, batch_size=4, validation_data=(x, target))
    assert bits(model) == before


def test_fit_refuses_a_folder_as_checkpoint(tmp_path: Path) -> None:
    step, _, x, y = good_step()
    with pytest.raises(ValueError, match="checkpoint is the folder"):
        step.fit(x, y, epochs=1, batch_size=4, checkpoint=tmp_path)


def test_what_no_array_or_number_is_names_its_argument() -> None:
    step, model, x, y = good_step()
    w = np.ones(10, np.float32)
    given: Any = step.fit
    run: Any = mlpeak.compile(model)
    wrong: dict[str, Callable[[], Any]] = {
        "step: sample_weight is 2 arrays": lambda: step(x, y, (w, w)),
        "fit: sample_weight is 2 arrays": lambda: given(
            x, y, epochs=1, batch_size=4, sample_weight=(w, w)),
        r"fit: validation_data\[2\] is 2 arrays": lambda: given(
            x, y, epochs=1, batch_size=4, validation_data=(x, y, (w, w))),
        "fit: max_seconds is str": lambda: given(x, y, epochs=1, batch_size=4, max_seconds="a"),
        "predict: batch_size is float": lambda: run.predict(x, batch_size=2.5),
        "predict: batch_size is NoneType": lambda: run.predict(x, batch_size=None),
    }  # fmt: skip
    for text, call in wrong.items():
        with pytest.raises((TypeError, ValueError), match=text):
            call()


def test_shapes_that_do_not_fit_are_told_without_the_numbers_of_a_sample_run() -> None:
    model = nn.Linear(3, 2)
    x = np.ones((8, 3), np.float32)
    with pytest.raises(ValueError, match=r"input has shape \(batch,\); expected \(\.\.\., 3\)"):
        mlpeak.compile(model)(x[0])
    step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match=r"target has shape \(batch,\); .* \(batch, 2\)"):
        step(x, x[:, 0])


def test_a_read_only_parameter_is_refused_where_it_is_trained() -> None:
    x, y = np.ones((5, 4), np.float32), np.zeros((5, 2), np.float32)
    for frozen in (False, True):
        model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        first = next(iter(model.parameters()))
        first._array.flags.writeable = False
        first.requires_grad = not frozen
        trained = [p for p in model.parameters() if p.requires_grad]
        step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(trained, lr=0.1))
        if frozen:
            step(x, y)
        else:
            with pytest.raises(ValueError, match="param is read-only"):
                step(x, y)


def test_weights_are_not_packed_while_a_thread_trains() -> None:
    model = network((64, 256, 256, 3))
    step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    x, y = samples((64, 3), 40000)
    bound = step.prepare((x,), (y,))
    thread = threading.Thread(target=lambda: step.fit(x, y, epochs=1, batch_size=64))
    thread.start()
    refused = ""
    while thread.is_alive() and not refused:
        try:
            bound.refresh()  # as a call whose arrays the native step does not take at once
        except RuntimeError as error:
            refused = str(error)
    thread.join()
    assert "running in another thread" in refused


class SumOfInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, *inputs: Any) -> Any:
        return self.layer(sum(inputs))


@pytest.mark.parametrize("count", [2, 15, 16, 20])
def test_any_number_of_inputs_and_no_more(count: int) -> None:
    model = SumOfInputs()
    step = mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=1e-4))
    x, y = (np.ones((4, 2), np.float32),) * count, np.ones((4, 1), np.float32)
    assert step(x, y) > step(x, y)
    before = bits(model)
    with pytest.raises(TypeError):
        step(x, (y, y))
    assert bits(model) == before
