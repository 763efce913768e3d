"""Fit a line by gradient descent and compare it with the closed form.

Run ``python examples/linear_regression.py``; the page is docs/linear_regression.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import mlpeak
from mlpeak import nn, optim

STEPS = 300
LEARNING_RATE = 0.15
LEVELS = np.geomspace(0.2, 25, 13)  # of the contours: each 1.5 times the one inside it


def make_data() -> tuple[np.ndarray, np.ndarray]:
    """Return 60 points near y = 2 x - 1, as columns: a network wants (rows, features)."""
    random = np.random.default_rng(seed=1)
    x = random.uniform(0.0, 2.0, size=(60, 1)).astype(np.float32)
    y = 2.0 * x - 1.0 + random.normal(0.0, 0.4, size=x.shape)
    return x, y.astype(np.float32)


def closed_form(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept with the least mean squared error.

    Setting both derivatives of mean((a x + b - y)^2) to zero and solving gives these.
    """
    slope = np.mean((x - x.mean()) * (y - y.mean())) / np.mean((x - x.mean()) ** 2)
    return float(slope), float(y.mean() - slope * x.mean())


def descend(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the (slope, intercept) before each step and after the last, shape (STEPS + 1, 2)."""
    inputs, targets = mlpeak.from_numpy(x), mlpeak.from_numpy(y)
    model = nn.Linear(1, 1)  # y = weight x + bias: slope and intercept
    nn.init.constant_(model.weight, -1.5)  # start far away, so that the path is worth seeing
    nn.init.constant_(model.bias, 2.0)
    loss_function = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)

    path = [(model.weight.item(), model.bias.item())]
    for _ in range(STEPS):
        loss = loss_function(model(inputs), targets)  # how wrong the line is
        optimizer.zero_grad()  # gradients add up otherwise
        loss.backward()  # d loss / d slope and d loss / d intercept
        optimizer.step()  # parameter -= learning rate * gradient
        path.append((model.weight.item(), model.bias.item()))
    return np.array(path)


def draw(x: np.ndarray, y: np.ndarray, path: np.ndarray, best: tuple[float, float]) -> Figure:
    figure = Figure(figsize=(9.5, 4), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)

    left.plot(x, y, "o", color="0.65", markersize=4)
    ends = np.array([0.0, 2.0])
    for step, shade in ((0, 0.25), (3, 0.5), (10, 0.7), (STEPS, 1.0)):
        slope, intercept = path[step]
        left.plot(
            ends, slope * ends + intercept, color="C0", alpha=shade, label=f"after {step} steps"
        )
    left.plot(ends, best[0] * ends + best[1], "--", color="C1", linewidth=2, label="closed form")
    left.set(xlabel="x", ylabel="y", title="The line while it learns")
    left.legend(fontsize=8)

    # the loss of every line, over all slopes and intercepts
    slopes, intercepts = np.meshgrid(np.linspace(-2, 4, 160), np.linspace(-3, 3, 160))
    errors = slopes[..., None] * x[:, 0] + intercepts[..., None] - y[:, 0]
    losses = np.mean(errors**2, axis=-1)
    right.contourf(slopes, intercepts, losses, levels=LEVELS, cmap="Blues_r", extend="both")
    right.plot(*path.T, ".-", color="C3", markersize=4, linewidth=1, label="gradient descent")
    right.plot(*best, "*", color="C1", markersize=13, label="closed form")
    right.set(xlabel="slope", ylabel="intercept", title="Its path down the loss")
    right.legend(loc="lower left", fontsize=8)
    return figure


def main(out_dir: Path) -> dict[str, float]:
    x, y = make_data()
    best = closed_form(x, y)
    path = descend(x, y)
    print(f"closed form       slope {best[0]:.5f}  intercept {best[1]:.5f}")
    print(f"gradient descent  slope {path[-1, 0]:.5f}  intercept {path[-1, 1]:.5f}")
    out_dir.mkdir(parents=True, exist_ok=True)
    draw(x, y, path, best).savefig(out_dir / "linear_regression.png")
    return {
        "slope error": abs(path[-1, 0] - best[0]),
        "intercept error": abs(path[-1, 1] - best[1]),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    main(parser.parse_args().out)
