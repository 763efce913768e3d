"""`CompiledStep.fit`: the bits of an eager loop, data of all kinds, validation, refusals."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpeak
from fit_cases import (
    BYTES,
    CLASSES,
    WEIGHT,
    N,
    X,
    Y,
    adam,
    bits,
    class_step,
    classifier,
    line_step,
    need,
)
from mlpeak import kernels, nn, optim
from mlpeak.compiler import EverySteps, Progress, Schedule
from mlpeak.data import DataLoader, TensorDataset, read_idx_folder

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
    ("loss", "last"),
    [
        (nn.BCEWithLogitsLoss, nn.Identity),
        (nn.BCELoss, nn.Sigmoid),
        (lambda: nn.functional.binary_cross_entropy, nn.Sigmoid),
    ],
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


@pytest.mark.parametrize("weighted", [False, True])
def test_accuracy_leaves_out_what_the_loss_ignores(weighted: bool) -> None:
    accuracies = []
    target = CLASSES.copy()
    target[::2] = -100
    for rows in (slice(None), slice(1, None, 2)):
        weight = (WEIGHT[rows],) if weighted else ()
        history = class_step().fit(
            X, CLASSES, epochs=2, batch_size=32, shuffle=False, metrics="accuracy",
            validation_data=(X[rows], target[rows], *weight),
        )  # fmt: skip
        accuracies.append(history.metrics["accuracy"])
    assert accuracies[0] == accuracies[1]
    assert min(accuracies[0]) > 0.2
    ignored = (X, np.full(N, -100))
    history = class_step().fit(
        X, CLASSES, epochs=1, batch_size=32, metrics="accuracy", validation_data=ignored
    )
    assert np.isnan(history.metrics["accuracy"]).all()


# what is refused


def test_validation_weights_of_a_loss_without_are_refused_before_an_epoch() -> None:
    mlpeak.manual_seed(2)
    model = nn.Linear(6, 2)
    step = mlpeak.compile(
        model, lambda output, target: ((output - target) ** 2).mean(), adam(model)
    )
    before = bits(step)
    with pytest.raises(TypeError, match="sample_weight"):
        step.fit(X, Y, epochs=1, batch_size=32, validation_data=(X, Y, WEIGHT))
    assert bits(step) == before


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
