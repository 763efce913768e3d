"""Two stacked linear layers are one linear layer; an activation between them changes that.

Run ``python examples/why_nonlinear.py``; the page is docs/why_nonlinear.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import mlpeak
from mlpeak import nn, optim

HIDDEN = 32
STEPS = 800


def make_data() -> tuple[np.ndarray, np.ndarray]:
    """Return 400 points on two spirals wound around each other, and which spiral each is on."""
    random = np.random.default_rng(seed=0)
    labels = np.arange(400) % 2
    turn = np.sqrt(random.uniform(0.02, 1.0, size=400)) * 2.5 * np.pi
    angle = turn + np.pi * labels  # the second spiral is the first, turned by half a circle
    points = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) / (1.6 * np.pi)
    points += random.normal(0.0, 0.04, size=points.shape)
    return points.astype(np.float32), labels.astype(np.int64)


def train(model: nn.Sequential, points: np.ndarray, labels: np.ndarray) -> float:
    """Train on all points at once and return the share that ends up classified right."""
    inputs, targets = mlpeak.from_numpy(points), mlpeak.from_numpy(labels)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(STEPS):
        loss = loss_function(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with mlpeak.no_grad():
        chosen = model(inputs).numpy().argmax(axis=1)
    return float((chosen == labels).mean())


def collapsed(model: nn.Sequential) -> tuple[mlpeak.Tensor, mlpeak.Tensor]:
    """Return weight and bias of the one linear layer that the model's linear layers are."""
    # W2 (W1 x + b1) + b2 = (W2 W1) x + (W2 b1 + b2): 32 hidden units, still one 2x2 matrix
    first, *others = [layer for layer in model if isinstance(layer, nn.Linear)]
    weight, bias = first.weight, first.bias
    with mlpeak.no_grad():
        for layer in others:
            weight, bias = layer.weight @ weight, layer.weight @ bias + layer.bias
    return weight, bias


def draw_regions(axes, model: nn.Sequential, points: np.ndarray, labels: np.ndarray) -> None:
    """Colour the plane by the probability the model gives to the second spiral."""
    side = np.linspace(-1.8, 1.8, 120, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    with mlpeak.no_grad():
        probability = nn.functional.softmax(model(mlpeak.from_numpy(grid)), dim=-1).numpy()[:, 1]
    field = probability.reshape(120, 120)
    axes.contourf(side, side, field, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.55)
    axes.contour(side, side, field, levels=[0.5], colors="black", linewidths=1)
    for label, colour in ((0, "#2166ac"), (1, "#b2182b")):
        axes.plot(*points[labels == label].T, ".", color=colour, markersize=5)
    axes.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")


def main(out_dir: Path) -> dict[str, float]:
    points, labels = make_data()
    figure = Figure(figsize=(9, 4.9), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    accuracy = {}
    for axes, name, middle in (
        (panels[0], "linear", nn.Identity()),
        (panels[1], "tanh", nn.Tanh()),
    ):
        mlpeak.manual_seed(0)  # both nets start from the same weights
        model = nn.Sequential(nn.Linear(2, HIDDEN), middle, nn.Linear(HIDDEN, 2))
        accuracy[name] = train(model, points, labels)
        draw_regions(axes, model, points, labels)
        title = "Linear, linear" if name == "linear" else "Linear, tanh, linear"
        axes.set_title(f"{title}: {accuracy[name]:.0%} right")
        print(f"{title:22} {accuracy[name]:.1%} right")
        if name == "linear":
            weight, bias = collapsed(model)
            with mlpeak.no_grad():
                inputs = mlpeak.from_numpy(points)
                apart = (model(inputs) - (inputs @ weight.T + bias)).abs().max().item()
            print(f"  and one layer with W2 W1 says the same, to {apart:.1e}")
    panels[1].set_ylabel("")
    out_dir.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_dir / "why_nonlinear.png")
    return {**accuracy, "collapsed layer differs by": apart}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    main(parser.parse_args().out)
