"""Predict an age and how sure the prediction is: a mean and a variance, by Gaussian NLL.

Run ``python examples/how_sure.py``; the page is docs/how_sure.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import NormalDist

import numpy as np
from matplotlib.figure import Figure

import mlpeak
from mlpeak import nn, optim
from mlpeak.data import DataLoader, TensorDataset

EPOCHS = 60


def true_mean(score: np.ndarray) -> np.ndarray:
    return 90.0 * score**1.3


def true_deviation(score: np.ndarray) -> np.ndarray:
    """Return the noise: a score says much about a child's age and little about an adult's."""
    return 1.0 + 11.0 * score**1.5


def make_data(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return invented scores of growth and wear, 0 to 1, and the ages in years."""
    random = np.random.default_rng(seed)
    score = random.uniform(0.0, 1.0, size=(rows, 1))
    age = true_mean(score) + random.normal(size=score.shape) * true_deviation(score)
    return score.astype(np.float32), age.astype(np.float32)


class AgeNet(nn.Module):
    """Two outputs from one trunk: the mean and the variance of a normal distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh())
        self.mean = nn.Linear(32, 1)
        self.raw_variance = nn.Linear(32, 1)

    def forward(self, score: mlpeak.Tensor) -> tuple[mlpeak.Tensor, mlpeak.Tensor]:
        """Return mean and variance for each score."""
        features = self.trunk(score)
        # softplus keeps a variance positive
        variance = nn.functional.softplus(self.raw_variance(features))
        return self.mean(features), variance


def train(score: np.ndarray, age: np.ndarray) -> AgeNet:
    """Train on ages in units of 30 years about 40, where a fresh net's outputs of order 1 fit."""
    mlpeak.manual_seed(0)
    model = AgeNet()
    # 0.5 (log variance + error^2 / variance): to say a small variance pays only if it is true
    loss_function = nn.GaussianNLLLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    rows = TensorDataset(mlpeak.from_numpy(score), mlpeak.from_numpy((age - 40) / 30))
    for _ in range(EPOCHS):
        for inputs, targets in DataLoader(rows, batch_size=100, shuffle=True):
            mean, variance = model(inputs)
            loss = loss_function(mean, targets, variance)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return model


def predict(model: AgeNet, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation in years."""
    with mlpeak.no_grad():
        mean, variance = model(mlpeak.from_numpy(score))
    return 40 + 30 * mean.numpy(), 30 * np.sqrt(variance.numpy())


def coverage(error: np.ndarray, deviation: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return how many true ages fall into the central interval said to hold each share."""
    widths = np.array([NormalDist().inv_cdf(0.5 + share / 2) for share in shares])
    return (np.abs(error / deviation)[..., None] <= widths).mean(axis=(0, 1))


def main(out_dir: Path) -> dict[str, float]:
    score, age = make_data(2000, seed=1)
    model = train(score, age)

    new_score, new_age = make_data(4000, seed=2)  # calibration is judged on data not seen
    mean, deviation = predict(model, new_score)
    error = new_age - mean
    same_for_all = np.full_like(error, error.std())  # what a net trained on MSE alone could say
    young = new_score[:, 0] < 1 / 3
    shares = np.linspace(0.05, 0.95, 19)

    figure = Figure(figsize=(9.5, 4.1), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    left.plot(score[::3], age[::3], ".", color="0.7", markersize=2.5)
    line = np.linspace(0, 1, 200, dtype=np.float32)[:, None]
    line_mean, line_deviation = predict(model, line)
    low, high = line_mean - 1.96 * line_deviation, line_mean + 1.96 * line_deviation
    left.plot(line, line_mean, color="C0", label="predicted mean")
    left.fill_between(
        line[:, 0], low[:, 0], high[:, 0], color="C0", alpha=0.25, label="predicted 95 %"
    )
    for sign in (-1.96, 1.96):
        edge = true_mean(line) + sign * true_deviation(line)
        left.plot(line, edge, "k:", linewidth=1, label="true 95 %" if sign > 0 else None)
    left.set(xlabel="score", ylabel="age in years", title="An age, and how sure")
    left.legend(loc="upper left")

    learnt = coverage(error, deviation, shares)
    right.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    right.plot(shares, learnt, "o-", color="C0", markersize=4, label="own variance, all")
    right.plot(
        shares,
        coverage(error[young], deviation[young], shares),
        "C0--",
        label="own variance, youngest third",
    )
    right.plot(
        shares,
        coverage(error[young], same_for_all[young], shares),
        "C3--",
        label="one variance, youngest third",
    )
    right.plot(
        shares,
        coverage(error[~young], same_for_all[~young], shares),
        "C3:",
        label="one variance, the others",
    )
    right.set(
        xlabel="share promised",
        ylabel="share found",
        title="Calibration on new data",
        aspect="equal",
    )
    right.set(xlim=(0, 1), ylim=(0, 1))
    right.legend(fontsize=8, loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.3)

    worst = float(np.abs(learnt - shares).max())
    found = float(coverage(error, deviation, np.array([0.95]))[0])
    print(f"of the intervals said to hold 95 %, {found:.1%} hold the true age")
    print(f"largest gap between promised and found: {worst:.1%}")
    for probe in (0.1, 0.9):
        (m,), (d,) = predict(model, np.array([[probe]], np.float32))
        noise = true_deviation(probe)
        print(f"score {probe}: {m[0]:.1f} +- {d[0]:.1f} years (noise truly {noise:.1f})")
    out_dir.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_dir / "how_sure.png")
    return {"coverage of 95 %": found, "largest gap": worst}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    main(parser.parse_args().out)
