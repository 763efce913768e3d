"""Seconds and accuracy of one whole training: 784-256-10 on 8,000 images of MNIST.

    python benchmarks/training/mnist_10k.py FOLDER [--threads N] [--rounds N] [--json FILE]

FOLDER holds the t10k pair of IDX files; the last 2,000 images are held out. Twenty epochs of
batches of 200, shuffled, Adam with a step size of 0.003, float32, by mlpeak and by those of PyTorch
and scikit-learn that are installed. Each training has a process of its own, pinned to the same
cores, and the libraries take turns. Timed is all from data in memory to the trained net: making the
model, compiling it, every epoch; not the imports. mlpeak trains on the images' bytes, the others on
float32, which they need; the conversion is not timed. Printed are medians; the spread is the
quartiles' distance over the median, and the accuracy is the mean over the rounds, each from its own
seed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

EPOCHS, BATCH, HIDDEN, TRAIN, LR = 20, 200, 256, 8000, 3e-3
SCALE = 1 / 255  # of the images' bytes

Predict = Callable[[Any], Any]
Train = Callable[[Any, Any], Predict]


def with_mlpeak(seed: int) -> Train:
    """Return a function that trains on (x, y) and returns one from x to classes."""
    import mlpeak
    from mlpeak import compile, nn, optim  # a name's module is imported when it is first asked for

    def train(x: Any, y: Any) -> Predict:
        mlpeak.manual_seed(seed)
        model = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
        step = compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=LR))
        step.fit(x, y, epochs=EPOCHS, batch_size=BATCH, scale=SCALE, progress=False)
        return lambda x: compile(model.eval()).predict(x, scale=SCALE).argmax(axis=1)

    return train


def with_torch(seed: int) -> Train:
    """Eager, with fused Adam."""
    import torch
    from torch import nn, optim

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    def train(x: Any, y: Any) -> Predict:
        torch.manual_seed(seed)
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        model = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
        loss_of = nn.CrossEntropyLoss()
        optimizer = optim.Adam(model.parameters(), lr=LR, fused=True)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x)).split(BATCH):
                optimizer.zero_grad(set_to_none=True)
                loss_of(model(x[rows]), y[rows]).backward()
                optimizer.step()

        def predict(x: Any) -> Any:
            with torch.inference_mode():
                return model(torch.from_numpy(x)).argmax(dim=1).numpy()

        return predict

    return train


def with_sklearn(seed: int) -> Train:
    """``MLPClassifier``, stopped by its number of epochs alone."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    def train(x: Any, y: Any) -> Predict:
        model = MLPClassifier(
            (HIDDEN,),
            alpha=0,
            batch_size=BATCH,
            learning_rate_init=LR,
            max_iter=EPOCHS,
            tol=0,
            n_iter_no_change=EPOCHS,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            predict: Predict = model.fit(x, y).predict
        return predict

    return train


LIBRARIES = {"mlpeak": with_mlpeak, "torch": with_torch, "sklearn": with_sklearn}


def run_once(folder: Path, library: str, seed: int) -> dict[str, float]:
    """Train in this process and return seconds and held-out accuracy."""
    import numpy as np

    from mlpeak.data import read_idx_folder

    images, labels = read_idx_folder(folder)["t10k"]
    x = images.reshape(len(images), -1)
    if library != "mlpeak":
        x = x.astype(np.float32) * np.float32(SCALE)
    y = labels.astype(np.int64)
    train = LIBRARIES[library](seed)
    start = time.perf_counter()
    predict = train(x[:TRAIN], y[:TRAIN])
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "accuracy": float(np.mean(predict(x[TRAIN:]) == y[TRAIN:]))}


def run_in_process(folder: Path, library: str, seed: int, cpus: Sequence[int]) -> dict[str, float]:
    """Run `run_once` in a process that has these CPUs, a thread each."""
    from mlpeak.bench.runner import _pinned
    from mlpeak.bench.worker import THREAD_VARIABLES

    command = [sys.executable, __file__, str(folder), "--library", library, "--seed", str(seed)]
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(len(cpus)))
    with _pinned(cpus):
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--library", dest="alone", choices=LIBRARIES, help="train once, here, by this one alone"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(run_once(arguments.folder, arguments.alone, arguments.seed)))
        return

    from mlpeak.bench.report import machine
    from mlpeak.bench.runner import choose_cpus, summarize

    cpus = choose_cpus(arguments.threads)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in LIBRARIES if find_spec(name)}
    for seed in range(arguments.rounds):
        for library, found in runs.items():
            found.append(run_in_process(arguments.folder, library, seed, cpus))

    print(f"{machine()['cpu']}, {len(cpus)} threads, medians of {arguments.rounds}")
    print("library  seconds  spread  accuracy")
    for library, found in runs.items():
        timing = summarize([run["seconds"] for run in found])
        accuracy = statistics.mean(run["accuracy"] for run in found)
        print(f"{library:7}  {timing.median:7.3f}  {timing.spread:6.0%}  {accuracy:8.2%}")
    if arguments.json:
        report = {"machine": machine(), "threads": len(cpus), "cpus": cpus, "runs": runs}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
