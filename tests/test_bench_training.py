"""``mlpeak bench training``: every library trains the same net in the same way."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlpeak.bench.training import adam, latency, nets, sgd
from mlpeak.bench.workloads import LIBRARIES, load_family, picture_of

# torch.compile's own imports and JAX's use of NumPy warn of what is not ours
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STEPS = 12
EPS = float(np.finfo(np.float32).eps)

# batches, widths and outputs that fill no vector; learning rates at which the loss falls well
NETS = [
    nets.Net("classes, relu, Adam", (21, 17, 5), 13, "relu", "adam", 1e-2),
    nets.Net("classes, tanh, Adam", (8, 33, 31, 4), 16, "tanh", "adam", 1e-2),
    nets.Net("binary, relu, Adam", (9, 20, 15, 1), 19, "relu", "adam", 1e-2),
    nets.Net("binary, tanh, Adam", (28, 30, 1), 10, "tanh", "adam", 1e-2),
    nets.Net("classes, relu, SGD", (16, 18, 16), 12, "relu", "sgd", 0.5),
    nets.Net("binary, tanh, SGD", (5, 7, 1), 6, "tanh", "sgd", 0.5),
]


def losses_of(library, net):
    """The loss of each of some steps."""
    step = nets.training_step(library, net)
    return np.array([step() for _ in range(STEPS)])


@pytest.fixture
def peer(library):
    """The library's name, if it is installed; its settings are put back afterwards."""
    package = pytest.importorskip(LIBRARIES[library])
    if library == "torch-compile" and not shutil.which(os.environ.get("CXX", "g++")):
        pytest.skip("torch.compile needs a C++ compiler")
    if LIBRARIES[library] != "torch":
        yield library
        return
    enabled = package.is_grad_enabled()
    yield library
    package.set_grad_enabled(enabled)


def reference_losses(net, epsilon_first=False):
    """The losses in float64, by the definitions alone: no code of any library's side.

    With `epsilon_first`, Adam adds its epsilon before the correction of the second moment's bias,
    the form at the end of section 2 of Kingma and Ba (arXiv:1412.6980).
    """
    params = [a.astype(np.float64) for pair in net.parameters() for a in pair]
    x, y = net.data()
    x = x.astype(np.float64)
    first, second = ([np.zeros_like(p) for p in params] for _ in range(2))
    losses = []
    for count in range(1, STEPS + 1):
        hidden = [x]
        for i in range(0, len(params), 2):
            z = hidden[-1] @ params[i].T + params[i + 1]
            last = i + 2 == len(params)
            hidden.append(z if last else np.tanh(z) if net.activation == "tanh" else z * (z > 0))
        if net.is_binary:
            losses.append(np.mean(np.logaddexp(0, z) - z * y))
            delta = (1 / (1 + np.exp(-z)) - y) / net.batch
        else:
            log_total = np.logaddexp.reduce(z, axis=1, keepdims=True)
            chosen = np.eye(net.sizes[-1])[y]
            losses.append(np.mean(log_total[:, 0] - (z * chosen).sum(axis=1)))
            delta = (np.exp(z - log_total) - chosen) / net.batch
        grads = [None] * len(params)
        for i in range(len(params) - 2, -1, -2):
            h = hidden[i // 2]
            grads[i], grads[i + 1] = delta.T @ h, delta.sum(axis=0)
            slope = 1 - h * h if net.activation == "tanh" else h > 0
            delta = delta @ params[i] * slope
        for p, g, m, v in zip(params, grads, first, second, strict=True):
            if net.optimizer == "sgd":
                p -= net.lr * g
                continue
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            correction = np.sqrt(1 - 0.999**count)
            root = np.sqrt(v) / correction + 1e-8 / (correction if epsilon_first else 1)
            p -= net.lr * m / (1 - 0.9**count) / root
    return np.array(losses)


def tolerance(net):
    """Of a loss: rounding of each layer's chain of products, of every step so far.

    A chain over k adds at most k / 2 rounding errors of eps on average of its size, and a step's
    error passes on to the next one with a factor near 1, for the steps are small.
    """
    return STEPS * len(net.sizes) * max(net.sizes) / 2 * EPS


CURVES = [
    pytest.param(library, net, id=f"{library}: {net.name}")
    for library in nets.PEERS
    # torch.compile takes seconds a net, and differs from eager in the forward pass alone
    for net in (NETS[3:4] if library == "torch-compile" else NETS)
]


@pytest.mark.parametrize(("library", "net"), CURVES)
def test_every_library_has_the_same_loss_curve(peer, net):
    expected = reference_losses(net, epsilon_first=peer == "sklearn")
    assert expected[0] - expected[-1] > 100 * tolerance(net), "the loss hardly moves"
    np.testing.assert_allclose(losses_of(peer, net), expected, rtol=0, atol=tolerance(net))


@pytest.mark.parametrize(
    "changed", [{"lr": 1.05e-2}, {"activation": "tanh"}, {"optimizer": "sgd"}], ids=str
)
def test_the_curve_shows_a_change_of_the_training(changed):
    """What the test above would have to find, it can find."""
    net = NETS[0]
    curves = [losses_of("numpy", n) for n in (net, replace(net, **changed))]
    assert np.abs(curves[0] - curves[1]).max() > 10 * tolerance(net)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("library", ["mlpeak", "numpy", "torch", "torch-compile", "jax"])
def test_every_library_has_the_same_logits(peer, activation):
    net = nets.Net("one row", (8, 33, 31, 4), 1, activation)
    h, _ = net.data()
    for i, (weight, bias) in enumerate(net.parameters()):
        z = h.astype(np.float64) @ weight.T + bias
        last = i + 2 == len(net.sizes)
        h = z if last else np.tanh(z) if activation == "tanh" else np.maximum(z, 0)
    found = np.asarray(nets.forward(peer, net)())
    np.testing.assert_allclose(found, h, rtol=0, atol=33 * 3 * EPS * max(1, np.abs(h).max()))


def test_long_runs_of_one_size_are_written_short():
    assert nets.Net("n", (32, *[64] * 8, 1), 128).shape == "n: 32-64x8-1 relu, 128"
    assert nets.Net("n", (64, 64, 64, 64), 64, "tanh").shape == "n: 64-64-64-64 tanh, 64"


def test_flops_leave_out_the_first_layers_input_gradient():
    net = nets.Net("n", (3, 5, 7), 2)
    assert net.forward_flops == 2 * 2 * (3 * 5 + 5 * 7)
    assert net.step_flops == 2 * 2 * (2 * 3 * 5 + 3 * 5 * 7)


def test_adam_in_numpy_is_the_same_in_chunks(monkeypatch):
    from mlpeak.bench.training import with_numpy

    whole = losses_of("numpy", NETS[0])
    monkeypatch.setattr(with_numpy, "CHUNK", 50)
    np.testing.assert_array_equal(losses_of("numpy", NETS[0]), whole)


def test_families_are_complete():
    sizes = {net.name: net.sizes for net in adam.NETS}
    assert sizes["rl"] == (8, 64, 64, 4)
    assert sizes["deep-narrow"] == (32, *[64] * 8, 1)
    assert list(sizes) == ["rl", "tab", "mnist-s", "mnist", "wide", "deep-narrow", "higgs"]
    for family, module in {"": adam, "-sgd": sgd, "-latency": latency}.items():
        workloads = load_family(f"training{family}")
        names = [w.name for w in workloads]
        assert len(names) == len(set(names))
        assert set(module.QUICK) <= set(names)
        assert picture_of(f"training{family}") in ("share", "time")
        assert all({"mlpeak", "numpy", "torch", "jax"} <= set(w.prepare) for w in workloads)


@pytest.mark.parametrize("suite", [None, "sgd", "latency"])
def test_command_runs_end_to_end_against_numpy(suite, tmp_path):
    pytest.importorskip("matplotlib")
    options = ["--quick", "--peers", "numpy", "--out", str(tmp_path)]
    family = "training" if suite is None else f"training-{suite}"
    if suite is not None:
        options += ["--suite", suite]
    done = subprocess.run(
        [sys.executable, "-m", "mlpeak", "bench", "training", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "FMA peak" in done.stdout
    assert (tmp_path / f"{family}-1.png").read_bytes().startswith(b"\x89PNG")
    read = json.loads((tmp_path / f"{family}-1.json").read_text("utf-8"))
    assert len(read["results"]) == len(load_family(family, quick=True))
    for result in read["results"]:
        assert result["shape"] in done.stdout
        assert set(result["timings"]) == {"mlpeak", "numpy"}
        assert result["flops"] > 0
        ours = result["timings"]["mlpeak"]
        share = result["flops"] / ours["median"] / read["peak"]["float32"]
        assert ours["share_of_peak"] == pytest.approx(share)


def test_unknown_suite_is_refused(capsys, tmp_path):
    from mlpeak.cli import main

    options = ["--suite", "nothing", "--out", str(tmp_path / "new")]
    assert main(["bench", "training", *options]) == 2
    assert "suite: is 'nothing'; expected sgd, latency" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_one_round_against_numpy_has_no_spread():
    script = Path(__file__).parents[1] / "benchmarks/training/against_numpy.py"
    measure = runpy.run_path(str(script))["measure"]
    result = measure((lambda: time.sleep(0.001), lambda: time.sleep(0.001)), 1)
    assert result["spread"] == 0.0
    assert result["numpy_us"] >= 1000


def test_bf16_is_timed_against_fp32():
    script = Path(__file__).parents[1] / "benchmarks/training/bf16.py"
    done = subprocess.run(
        [sys.executable, script, "1"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = [
        line.split() for line in done.stdout.splitlines() if line.startswith(("matmul", "step"))
    ]
    assert [row[0] for row in rows] == ["matmul"] * 3 + ["step"] * len(adam.NETS)
    for *_, fp32, bf16, ratio, _ in rows:
        fp32, bf16 = (float(text.replace(",", "")) for text in (fp32, bf16))
        assert float(ratio) == pytest.approx(fp32 / bf16, abs=0.01)


def test_a_whole_training_on_images_is_timed_and_tested(tmp_path):
    """benchmarks/training/mnist_10k.py on images that tell their class by where they are bright."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 8200).astype(np.uint8)
    images = rng.integers(0, 40, (8200, 28, 28)).astype(np.uint8)
    images[np.arange(8200), labels * 2] = 255
    for name, kind, array in (("images-idx3", 3, images), ("labels-idx1", 1, labels)):
        head = bytes((0, 0, 8, kind)) + np.array(array.shape, ">i4").tobytes()
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(head + array.tobytes())
    script = Path(__file__).parents[1] / "benchmarks/training/mnist_10k.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path, "--library", "mlpeak"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["accuracy"] == 1.0
    assert result["seconds"] > 0
