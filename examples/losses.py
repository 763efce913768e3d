"""What a loss cares about: outliers under MSE, L1 and Huber; wrong certainty under two losses.

Run ``python examples/losses.py``; the page is docs/losses.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import mlpeak
from mlpeak import nn, optim

TRUE_SLOPE, TRUE_INTERCEPT = 2.0, 1.0
CLASSES = 3


def make_line() -> tuple[np.ndarray, np.ndarray]:
    """Return 60 points near y = 2 x + 1, of which the last 8 are badly wrong."""
    random = np.random.default_rng(seed=3)
    x = np.sort(random.uniform(0.0, 3.0, size=(60, 1)), axis=0)
    y = TRUE_SLOPE * x + TRUE_INTERCEPT + random.normal(0.0, 0.3, size=x.shape)
    y[-8:] -= random.uniform(6.0, 10.0, size=(8, 1))
    return x.astype(np.float32), y.astype(np.float32)


def fit_line(x: np.ndarray, y: np.ndarray, loss_function: nn.Module) -> tuple[float, float]:
    """Return the slope and intercept that `loss_function` prefers."""
    inputs, targets = mlpeak.from_numpy(x), mlpeak.from_numpy(y)
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 0.0)
    nn.init.constant_(model.bias, 0.0)
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    steps = 500
    # L1's gradient does not shrink near the optimum, so the steps have to
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    for _ in range(steps):
        loss = loss_function(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.weight.item(), model.bias.item()


def make_classes() -> tuple[np.ndarray, np.ndarray]:
    """Return 300 points in three clouds."""
    random = np.random.default_rng(seed=5)
    labels = np.arange(300) % CLASSES
    centres = np.array([[0.0, 1.5], [-1.3, -0.75], [1.3, -0.75]])
    points = centres[labels] + random.normal(0.0, 0.6, size=(300, 2))
    return points.astype(np.float32), labels.astype(np.int64)


def accuracy_by_step(points: np.ndarray, labels: np.ndarray, loss_name: str) -> list[float]:
    """Train a classifier that starts certain and wrong; return its accuracy by step."""
    inputs, targets = mlpeak.from_numpy(points), mlpeak.from_numpy(labels)
    one_hot = mlpeak.from_numpy(np.eye(CLASSES, dtype=np.float32)[labels])
    model = nn.Linear(2, CLASSES)
    # logits of the right layout, turned by one class: sure of the wrong answer everywhere
    wrong = np.array([[2.4, -1.5], [0.0, 3.0], [-2.4, -1.5]], np.float32)
    model.load_state_dict(
        {"weight": mlpeak.from_numpy(wrong), "bias": mlpeak.zeros(CLASSES)},
    )
    cross_entropy, mse = nn.CrossEntropyLoss(), nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    accuracy = []
    for _ in range(300):
        logits = model(inputs)
        accuracy.append(float((logits.detach().numpy().argmax(axis=1) == labels).mean()))
        if loss_name == "cross-entropy":
            loss = cross_entropy(logits, targets)
        else:
            loss = mse(nn.functional.softmax(logits, dim=-1), one_hot)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return accuracy


def main(out_dir: Path) -> dict[str, float]:
    regression = {"MSE": nn.MSELoss(), "L1": nn.L1Loss(), "Huber": nn.HuberLoss(delta=1.0)}
    figure = Figure(figsize=(12, 3.9), dpi=150, layout="constrained")
    shapes, lines, classes = figure.subplots(1, 3)

    errors = np.linspace(-4, 4, 201, dtype=np.float32)
    zero = mlpeak.zeros(1)
    for name, loss_function in regression.items():
        costs = [loss_function(mlpeak.tensor([float(e)]), zero).item() for e in errors]
        shapes.plot(errors, costs, label=name)
    shapes.set(xlabel="error", ylabel="loss", ylim=(0, 8), title="What an error costs")
    shapes.legend()

    x, y = make_line()
    lines.plot(x, y, "o", color="0.65", markersize=4)
    ends = np.array([0.0, 3.0])
    slopes = {}
    for name, loss_function in regression.items():
        slopes[name], intercept = fit_line(x, y, loss_function)
        lines.plot(ends, slopes[name] * ends + intercept, label=f"{name}: slope {slopes[name]:.2f}")
        print(f"{name:6} slope {slopes[name]:5.2f}  intercept {intercept:5.2f}")
    lines.plot(
        ends, TRUE_SLOPE * ends + TRUE_INTERCEPT, "k:", label=f"truth: slope {TRUE_SLOPE:.2f}"
    )
    lines.set(xlabel="x", ylabel="y", title="A line through data with outliers")
    lines.legend(fontsize=8, loc="lower left")

    points, labels = make_classes()
    reached = {}
    for name in ("cross-entropy", "MSE"):
        accuracy = accuracy_by_step(points, labels, name)
        reached[name] = next((step for step, a in enumerate(accuracy) if a >= 0.9), len(accuracy))
        classes.plot(accuracy, label=name)
        print(f"{name:13} 90 % right after {reached[name]} steps")
    classes.set(xlabel="step", ylabel="accuracy", title="Unlearning a wrong certainty")
    classes.legend(loc="lower right")
    for axes in (shapes, lines, classes):
        axes.grid(alpha=0.3)

    out_dir.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_dir / "losses.png")
    return {
        **{f"slope {k}": v for k, v in slopes.items()},
        **{f"steps {k}": v for k, v in reached.items()},
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    main(parser.parse_args().out)
