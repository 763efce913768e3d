"""Recognise handwritten digits with a 784-256-10 network, from IDX files to a confusion matrix.

Run ``python examples/mnist_mlp.py FOLDER``; the page is docs/mnist_mlp.md.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure

import mlpeak
from mlpeak import nn, optim
from mlpeak.data import DataLoader, TensorDataset, read_idx

BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[1] / "../shared/data/mnist-10k"
EPOCHS = 20
BATCH_SIZE = 256
LEARNING_RATE = 1e-3
CLASSES = 10


def default_folder() -> Path:
    """Return the folder named by MLPEAK_MNIST, or the one beside the repository."""
    return Path(os.environ.get("MLPEAK_MNIST", BESIDE_THE_REPOSITORY))


def load(folder: Path) -> tuple[np.ndarray, ...]:
    """Return images and labels to train on and to test on.

    The files are those of http://yann.lecun.com/exdb/mnist; where only the t10k pair is there, its
    first 80 % train and the rest tests.
    """

    def find(name: str) -> Path:
        path = next(folder.glob(f"{name}*"), None)
        if path is None:
            raise SystemExit(
                f"{folder} has no {name}...; name a folder with MNIST's files, or set MLPEAK_MNIST"
            )
        return path

    def read(part: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels = find(f"{part}-images"), find(f"{part}-labels")
        pixels = read_idx(images)
        # a row an image, centred about zero: MNIST's mean is 0.13 and its deviation 0.31
        rows = (pixels.reshape(len(pixels), -1) / np.float32(255) - 0.13) / 0.31
        return rows.astype(np.float32), read_idx(labels).astype(np.int64)

    if any(folder.glob("train-images*")):
        return *read("train"), *read("t10k")
    images, labels = read("t10k")
    cut = len(images) * 8 // 10
    return images[:cut], labels[:cut], images[cut:], labels[cut:]


def outputs_of(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return the probability of each digit for each image."""
    model.eval()
    with mlpeak.no_grad():
        return nn.functional.softmax(model(mlpeak.from_numpy(images)), dim=-1).numpy()


def train(images: np.ndarray, labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray):
    """Return the model and, by epoch, the mean training loss and the test accuracy."""
    mlpeak.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, CLASSES))
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=LEARNING_RATE)
    rows = TensorDataset(mlpeak.from_numpy(images), mlpeak.from_numpy(labels))
    batches = DataLoader(rows, batch_size=BATCH_SIZE, shuffle=True)
    losses, accuracies = [], []
    for _ in range(EPOCHS):
        model.train()
        total = 0.0
        for inputs, targets in batches:
            loss = loss_function(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(inputs)
        losses.append(total / len(images))
        chosen = outputs_of(model, test_images).argmax(axis=1)
        accuracies.append(float((chosen == test_labels).mean()))
    return model, losses, accuracies


def confusion_matrix(true: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return how often digit i (row) was taken for digit j (column)."""
    return np.bincount(true * CLASSES + chosen, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def draw(losses, accuracies, images, true, probability) -> Figure:
    chosen = probability.argmax(axis=1)
    figure = Figure(figsize=(12, 4), dpi=150, layout="constrained")
    curve_part, matrix_part, sample_part = figure.subfigures(1, 3, width_ratios=(1.1, 1, 1))

    curve = curve_part.subplots()
    epochs = np.arange(1, EPOCHS + 1)
    curve.plot(epochs, losses, color="C0")
    curve.set(xlabel="epoch", title="Training curve")
    curve.set_ylabel("training loss", color="C0")
    right = curve.twinx()
    right.plot(epochs, accuracies, color="C1")
    right.set_ylabel("test accuracy", color="C1")
    curve.set_xticks([1, 5, 10, 15, 20])

    matrix = confusion_matrix(true, chosen)
    axes = matrix_part.subplots()
    axes.imshow(np.log1p(matrix), cmap="Blues")  # the errors are few: a log scale shows them
    for i, j in zip(*np.nonzero(matrix), strict=True):
        axes.text(
            j,
            i,
            matrix[i, j],
            ha="center",
            va="center",
            fontsize=7,
            color="white" if i == j else "black",
        )
    axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix")
    axes.set_xticks(range(CLASSES))
    axes.set_yticks(range(CLASSES))

    wrong = np.flatnonzero(chosen != true)
    surest_wrong = wrong[np.argsort(-probability[wrong].max(axis=1), kind="stable")[:8]]
    samples = np.concatenate([np.flatnonzero(chosen == true)[:8], surest_wrong])
    for place, sample in zip(sample_part.subplots(4, 4).flat, samples, strict=False):
        place.imshow(images[sample].reshape(28, 28), cmap="gray_r")
        right_one = chosen[sample] == true[sample]
        said = f"{chosen[sample]} ({probability[sample].max():.0%})"
        place.set_title(said, fontsize=8, pad=2, color="black" if right_one else "C3")
    for place in sample_part.axes:
        place.axis("off")
    sample_part.suptitle("Some right, and the surest wrong (red)", fontsize=12)
    return figure


def main(out_dir: Path, folder: Path | None = None) -> dict[str, float]:
    images, labels, test_images, test_labels = load(folder or default_folder())
    start = perf_counter()
    model, losses, accuracies = train(images, labels, test_images, test_labels)
    seconds = perf_counter() - start
    print(f"{len(images):,} images, {EPOCHS} epochs in {seconds:.2f} s")
    print(f"{accuracies[-1]:.2%} of {len(test_images):,} test images recognised")
    probability = outputs_of(model, test_images)
    out_dir.mkdir(parents=True, exist_ok=True)
    draw(losses, accuracies, test_images, test_labels, probability).savefig(
        out_dir / "mnist_mlp.png"
    )
    return {"accuracy": accuracies[-1]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where the IDX files are")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.folder)
