"""The command line: each source, each command, each way to fail."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

for package in ("matplotlib", "polars", "rich", "safetensors", "sklearn"):
    pytest.importorskip(package)

import mlpeak  # noqa: E402
from mlpeak import training  # noqa: E402
from mlpeak.cli import main  # noqa: E402

QUICK = ["--epochs", "2", "--hidden", "8"]


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def description(folder: str) -> dict:
    return json.loads((Path(folder) / "model.json").read_text("utf-8"))


def blobs(rows: int = 120) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    y = np.arange(rows) % 3
    return random.normal(size=(rows, 4)) + 3 * y[:, None], y


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    data = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


# ---- training reaches what it must ---------------------------------------------------------------


def test_digits_are_the_default_and_reach_97_percent(capsys):
    assert main(["train"]) == 0
    saved = description("digits-model")
    assert saved["metrics"]["accuracy"] >= 0.97
    files = sorted(path.name for path in Path("digits-model").iterdir())
    assert files == ["learning_curve.png", "model.json", "model.safetensors"]
    assert Path("digits-model/learning_curve.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    for words in ("1,438 rows to train on, 359 held out", "held out  accuracy 9", "trained   in"):
        assert words in out


def test_mnist_reaches_96_percent(mnist_10k):
    command = ["train", str(mnist_10k), "--hidden", "256", "--epochs", "20", "--batch-size", "200"]
    assert main([*command, "--out", "m", "--quiet"]) == 0
    saved = description("m")
    assert saved["metrics"]["accuracy"] >= 0.96
    assert (saved["training"]["rows"], saved["training"]["held_out_rows"]) == (8000, 2000)


def test_the_same_command_gives_the_same_bits_on_any_threads():
    for threads in ("1", "2"):
        assert main(["train", *QUICK, "--out", threads, "--threads", threads, "--quiet"]) == 0
    weights = [Path(threads, "model.safetensors").read_bytes() for threads in ("1", "2")]
    assert weights[0] == weights[1]


def test_another_seed_gives_another_model():
    for seed in ("0", "1"):
        assert main(["train", *QUICK, "--out", seed, "--seed", seed, "--quiet"]) == 0
    assert description("0")["weights"] != description("1")["weights"]


# ---- every source, there and back ----------------------------------------------------------------


def test_idx_pairs_train_and_test(capsys):
    random = np.random.default_rng(1)
    for part, rows in (("train", 60), ("t10k", 20)):
        labels = np.arange(rows) % 2
        images = random.integers(0, 100, size=(rows, 3, 3)) + 120 * labels[:, None, None]
        write_idx(Path(f"{part}-images-idx3-ubyte"), images)
        write_idx(Path(f"{part}-labels-idx1-ubyte.gz"), labels)
    assert main(["train", ".", *QUICK, "--out", "m"]) == 0
    assert "60 rows to train on, 20 held out, 9 features, 2 classes" in capsys.readouterr().out
    assert main(["predict", "m", "."]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 21
    assert "metric    accuracy" in shown.err


def test_one_idx_pair_is_cut_head_and_tail(capsys):
    labels = np.arange(50) % 2
    write_idx(Path("train-images.idx"), labels[:, None, None] * np.ones((50, 2, 2)))
    write_idx(Path("train-labels.idx"), labels)
    assert main(["train", ".", *QUICK, "--out", "m", "--validation-share", "0.1"]) == 0
    assert "45 rows to train on, 5 held out" in capsys.readouterr().out


@pytest.mark.parametrize("names", [("x", "y"), ("X", "y"), ("x_train", "y_train")])
def test_archive_there_and_back(names, capsys):
    x, y = blobs()
    arrays = dict(zip(names, (x, y), strict=True))
    if names[0] == "x_train":
        arrays |= {"x_test": x[:30], "y_test": y[:30]}
    np.savez("blobs.npz", **arrays)
    assert main(["train", "blobs.npz", "--quiet"]) == 0
    assert description("blobs-model")["metrics"]["accuracy"] > 0.9
    np.savez("new.npz", x=x[:5])
    assert main(["predict", "blobs-model", "new.npz", "--out", "p/predictions.csv"]) == 0
    with Path("p/predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [["row", "prediction", "probability"]] * 5
    assert all(0 <= float(row["probability"]) <= 1 for row in rows)


def write_table(path: str, rows: int = 150) -> None:
    lines = ["size,town,price,kind"]
    for i in range(rows):
        size, town = 20 + (i * 37) % 100, ("Ulm", "Bonn", "Rom")[i % 3]
        price = 3.0 * size + (50 if town == "Rom" else 0) + 0.5
        lines.append(f"{size if i % 11 else ''},{town},{price},{'big' if size > 70 else 'small'}")
    Path(path).write_text("\n".join(lines) + "\n")


def test_table_regression_there_and_back(capsys):
    write_table("homes.csv")
    assert main(["train", "homes.csv", "--target", "price", "--ignore", "kind"]) == 0
    assert "regression of 'price'" in capsys.readouterr().out
    assert description("homes-model")["metrics"]["r2"] > 0.8
    Path("new.csv").write_text("town,size,extra\nRom,100,1\nOslo,50,1\n")
    assert main(["predict", "homes-model", "new.csv"]) == 0
    shown = capsys.readouterr()
    header, rome, _ = shown.out.splitlines()
    assert header == "row,prediction"
    assert float(rome.split(",")[1]) == pytest.approx(350.5, abs=35)
    assert "column 'town': 1 of 2 values" in shown.err


def test_table_classification_there_and_back(capsys):
    write_table("homes.csv")
    command = ["train", "homes.csv", "--target", "kind", "--ignore", "price", "--out", "kinds"]
    assert main(command) == 0
    assert description("kinds")["target"] == {
        "task": "classification",
        "name": "kind",
        "classes": ["big", "small"],
    }
    capsys.readouterr()
    assert main(["predict", "kinds/model.safetensors", "homes.csv"]) == 0
    shown = capsys.readouterr()
    header, *rows = shown.out.splitlines()
    assert header == "row,prediction,probability,target"
    assert sum(r.split(",")[1] == r.split(",")[3] for r in rows) > 120
    assert "metric    accuracy" in shown.err


@pytest.mark.parametrize(
    ("labels", "later"),
    [
        (["True", "False", "Maybe"], ["True", "False"]),
        (["1.0", "2.0", "x"], ["1.0", "2.0"]),
        (["2020-01-01", "2020-02-02", "never"], ["2020-01-01", "2020-02-02"]),
    ],
)
def test_a_text_target_stays_text_in_a_file_that_holds_a_part_of_it(labels, later, capsys):
    lines = [f"{i % 3},{(i * 7) % 5},{labels[i % 3]}" for i in range(90)]
    Path("a.csv").write_text("\n".join(["u,v,y", *lines]))
    assert main(["train", "a.csv", "--target", "y", "--hidden", "8", "--quiet"]) == 0
    kept = [line for line in lines if line.split(",")[2] in later]
    Path("b.csv").write_text("\n".join(["u,v,y", *kept]))
    capsys.readouterr()
    assert main(["predict", "a-model", "b.csv"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[1].endswith(f",{later[0]}")
    assert "no class of the model" not in shown.err
    assert "accuracy 100.00 %" in shown.err


@pytest.mark.parametrize(
    ("target", "cell", "words"),
    [
        ("price", "unknown", "is to be a number; it holds 'unknown'"),
        ("price", "2020-01-01", "has the type Date"),
        ("price", "1e160", "values beyond 1e+150"),
    ],
)
def test_a_target_that_cannot_be_read_costs_the_metric_alone(target, cell, words, capsys):
    write_table("homes.csv")
    assert main(["train", "homes.csv", "--target", target, *QUICK, "--out", "m"]) == 0
    Path("new.csv").write_text(f"size,town,price,kind\n50,Ulm,{cell},big\n")
    capsys.readouterr()
    assert main(["predict", "m", "new.csv"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == "row,prediction"
    assert f"note      no metric: {'target' if 'beyond' not in words else 'column'}" in shown.err
    assert words in shown.err


def test_predictions_go_into_a_pipe_and_the_notes_beside_it(capsys):
    assert main(["train", *QUICK, "--out", "m", "--quiet"]) == 0
    capsys.readouterr()
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()), daemon=True)
    reader.start()
    assert main(["predict", "m", "digits", "--out", "pipe"]) == 0
    reader.join(20)
    assert len(read[0].splitlines()) == 1798
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "saved     1,797 predictions to pipe" in shown.err


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "learning_curve.png"])
def test_a_folder_where_a_file_is_to_be_is_refused_before_the_training(name, capsys, monkeypatch):
    def never(*arguments):
        raise AssertionError

    monkeypatch.setattr("mlpeak.cli.train.train", never)
    Path("m", name).mkdir(parents=True)
    assert main(["train", *QUICK, "--out", "m"]) == 2
    assert f"out: m/{name} is a folder" in capsys.readouterr().err


def test_out_may_name_the_weights_file():
    assert main(["train", *QUICK, "--out", "runs/a.safetensors", "--quiet"]) == 0
    names = sorted(path.name for path in Path("runs").iterdir())
    assert names == ["a.json", "a.safetensors", "a_learning_curve.png"]


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
@pytest.mark.parametrize("schedule", training.SCHEDULES)
def test_every_optimizer_and_schedule_trains(optimizer, schedule):
    x, y = blobs()
    np.savez("blobs.npz", x=x, y=y)
    command = ["train", "blobs.npz", "--optimizer", optimizer, "--schedule", schedule]
    assert main([*command, "--epochs", "20", "--batch-size", "16", "--quiet"]) == 0
    assert description("blobs-model")["metrics"]["accuracy"] > 0.8


@pytest.mark.parametrize("loss", training.LOSSES["regression"])
def test_every_regression_loss_trains(loss):
    x, _ = blobs()
    np.savez("sums.npz", x=x, y=x.sum(axis=1))
    assert main(["train", "sums.npz", "--loss", loss, "--quiet"]) == 0
    assert description("sums-model")["metrics"]["r2"] > 0.8


def test_linear_model_with_dropout_and_decay():
    assert main(["train", "--hidden", "", "--epochs", "1", "--weight-decay", "0.1", "--quiet"]) == 0
    assert description("digits-model")["architecture"]["hidden"] == []
    assert main(["train", *QUICK, "--dropout", "0.5", "--activation", "gelu", "--quiet"]) == 0


# ---- how it ends ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train", "none.csv"], "there is no file none.csv"),
        (["train", "none"], "there is no file or folder none"),
        (["train", "empty"], "empty has no IDX files"),
        (["train", "file.txt"], "file.txt is not a source: expected digits"),
        (["train", "--target", "y"], "digits has no columns"),
        (["train", "--hidden", "a"], "'a' is not a list of widths"),
        (["train", "--epochs", "0"], "epochs is 0; expected at least 1"),
        (["train", "--epochs", "x"], "argument --epochs: invalid int value"),
        (["train", "--batch-size", "0"], "batch size is 0"),
        (["train", "--lr", "nan"], "lr is nan"),
        (["train", "--threads", "-1"], "threads"),
        (["train", "--optimizer", "lion"], "expected one of adam, adamw"),
        (["train", "--schedule", "steps"], "expected cosine, onecycle, none"),
        (["train", "--loss", "mse"], "expected for classification cross_entropy"),
        (["train", "--activation", "step"], "activation is 'step'; expected one of relu"),
        (["train", "--validation-share", "1.5"], "validation share is 1.5"),
        (["train", "--task", "ranking"], "task is 'ranking'; expected auto, classification"),
        (["train", "--wat"], "unrecognized arguments: --wat"),
        (["predict", "nowhere", "digits"], "there is no model at nowhere"),
        (["predict"], "the following arguments are required: MODEL, SOURCE"),
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
    ],
)
def test_mistakes_are_one_line_and_code_2(command, words, capsys):
    Path("empty").mkdir()
    Path("file.txt").touch()
    assert main(command) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("mlpeak: ")
    assert shown.err.count("\n") == 1
    assert words in shown.err
    assert sorted(Path().iterdir()) == [Path("empty"), Path("file.txt")]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a": np.zeros(3)}, "has the arrays a; expected x and y"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3)}, "expected one y for each row of x"),
        ({"x": np.zeros((4, 2)), "y": np.array([0.0, 1, np.nan, 1])}, "y has 1 NaN"),
        ({"x": np.full((40, 2), np.inf), "y": np.arange(40) % 2}, "x has 64 values that are NaN"),
        ({"x": np.full((40, 2), 1e200), "y": np.arange(40) % 2}, "x holds values beyond 1e+150"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, int)}, "target 'y' has no values"),
        ({"x": np.array([["a"]] * 20), "y": np.arange(20) % 2}, "x has dtype <U1"),
    ],
)
def test_wrong_archives(arrays, words, capsys):
    np.savez("a.npz", **arrays)
    assert main(["train", "a.npz"]) == 2
    assert words in capsys.readouterr().err


def test_archives_that_are_none_are_named(capsys):
    x, y = blobs()
    np.savez_compressed("a.npz", x=x, y=y)
    archive = bytearray(Path("a.npz").read_bytes())
    # the packed bytes begin after 30 bytes, a name and a supplement; 3 is no kind of block
    archive[30 + archive[26] + archive[28]] |= 0b110
    Path("a.npz").write_bytes(archive)
    np.save("b.npy", x)
    Path("b.npy").rename("b.npz")
    for name, words in (("a.npz", "while decompressing"), ("b.npz", "as an .npy file does")):
        assert main(["train", name]) == 2
        shown = capsys.readouterr().err
        assert f"{name} cannot be read as a NumPy archive" in shown
        assert words in shown


def test_rows_that_overflow_are_refused_before_anything_is_written(monkeypatch, capsys):
    write_table("homes.csv")
    assert main(["train", "homes.csv", "--target", "price", *QUICK, "--out", "m"]) == 0
    Path("new.csv").write_text("size,town,kind\n50,Ulm,big\n1e60,Ulm,big\n")
    assert main(["predict", "m", "new.csv", "--out", "p.csv"]) == 2
    assert "column 'size' holds 1e+60, which is too far" in capsys.readouterr().err
    outputs = np.array([[1.0], [np.inf]], np.float32)
    monkeypatch.setattr("mlpeak.cli.predict.forward", lambda model, x: outputs)
    Path("new.csv").write_text("size,town,kind\n50,Ulm,big\n60,Ulm,big\n")
    assert main(["predict", "m", "new.csv", "--out", "p.csv"]) == 2
    assert "overflows for 1 of 2 rows, the first of them row 1" in capsys.readouterr().err
    assert not Path("p.csv").exists()


def test_pickles_are_not_opened(capsys):
    np.savez("a.npz", x=np.array([{}], object), y=np.zeros(1))
    assert main(["train", "a.npz"]) == 2
    assert "cannot be read as a NumPy archive" in capsys.readouterr().err


def test_model_and_source_must_match(capsys):
    write_table("homes.csv")
    assert main(["train", "homes.csv", "--target", "kind", *QUICK, "--quiet"]) == 0
    assert main(["train", *QUICK, "--quiet"]) == 0
    assert main(["predict", "homes-model", "digits"]) == 2
    assert "the model was trained on one" in capsys.readouterr().err
    assert main(["predict", "digits-model", "homes.csv"]) == 2
    assert "the model was trained on arrays" in capsys.readouterr().err
    np.savez("wide.npz", x=np.zeros((2, 65), np.uint8))
    assert main(["predict", "digits-model", "wide.npz"]) == 2
    assert "65 values; the model was trained on 64" in capsys.readouterr().err


def test_divergence_stops_with_code_1_and_saves_nothing(capsys):
    x, _ = blobs()
    np.savez("a.npz", x=x, y=x.sum(axis=1))
    command = ["train", "a.npz", "--optimizer", "sgd", "--lr", "1e9", "--activation", "identity"]
    assert main([*command, "--quiet"]) == 1
    assert "the loss became" in (error := capsys.readouterr().err)
    assert "try an --lr below 1e+09" in error
    assert not list(Path("a-model").iterdir())


def test_divergence_leaves_the_last_good_parameters():
    from mlpeak.mlp import Architecture
    from mlpeak.tables import ValueTarget

    model = Architecture(4, (8,), 1, "identity").build()
    before = [p.detach().numpy().copy() for p in model.parameters()]
    x = blobs()[0].astype(np.float32)
    y = x[:, :1]
    settings = training.Settings(optimizer="sgd", lr=1e9)
    with pytest.raises(training.NonFiniteLossError) as caught:
        training.train(model, ValueTarget("y", 0.0, 1.0), (x, y), (x, y), settings)
    assert caught.value.epoch == 1
    for parameter, array in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.detach().numpy(), array)


def test_ctrl_c_saves_the_model_so_far(monkeypatch, capsys):
    from mlpeak.cli.progress import Lines

    report = Lines.on_epoch

    def interrupt(self, epoch):
        report(self, epoch)
        if epoch.number == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Lines, "on_epoch", interrupt)
    before = signal.getsignal(signal.SIGINT)
    assert main(["train", "--hidden", "8", "--epochs", "500"]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert "stopped   by Ctrl-C in epoch 2" in capsys.readouterr().out
    saved = description("digits-model")
    assert saved["training"]["stopped"]
    assert saved["training"]["epochs"] == 2
    assert main(["predict", "digits-model", "digits"]) == 0


def test_training_runs_in_a_thread_that_gets_no_signals():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["train", *QUICK, "--quiet"])))
    thread.start()
    thread.join()
    assert codes == [0]


def test_bar_in_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["train", *QUICK]) == 0
    assert "epoch 2/2" in capsys.readouterr().out


def test_missing_packages_are_named_before_the_work(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == (
        'mlpeak: the learning curve needs matplotlib: pip install "mlpeak[cli]"\n'
    )


@pytest.mark.parametrize("command", [["--help"], ["train", "--help"], ["predict", "--help"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as done:
        main(command)
    assert done.value.code == 0
    assert "usage: mlpeak" in capsys.readouterr().out


def test_info_prints_the_configuration(capsys):
    assert main(["info"]) == 0
    assert f"version   {mlpeak.__version__}" in capsys.readouterr().out


# ---- as a process --------------------------------------------------------------------------------


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = str(Path(mlpeak.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "mlpeak", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


def test_process_trains_and_predicts():
    done = run("train", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    done = run("predict", "digits-model", "digits")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1798


def test_process_fails_with_one_line():
    done = run("train", "none.npz")
    assert done.returncode == 2
    assert done.stderr == "mlpeak: there is no file none.npz\n"
