"""The picture of a training: loss and metric by epoch."""

from __future__ import annotations

import io
from pathlib import Path

from mlpeak._extras import missing_extra
from mlpeak.cli.progress import METRIC_NAMES
from mlpeak.io import write_atomically
from mlpeak.training import History


def check_matplotlib() -> None:
    """Raise an ImportError that says what to install, if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing_extra("matplotlib", "cli", "the learning curve") from error


def draw_learning_curve(history: History, title: str, path: Path) -> None:
    """Write a PNG with the loss on both parts and the metric on the rows held out."""
    # Figure without pyplot: no display, no global state
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [epoch.number for epoch in history.epochs]
    metric = next(iter(history.epochs[-1].test.metrics))
    values = [epoch.test.metrics[metric] for epoch in history.epochs]
    losses = [epoch.loss for epoch in history.epochs]
    test_losses = [epoch.test.loss for epoch in history.epochs]
    marker = "o" if len(epochs) == 1 else None

    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    left.plot(epochs, losses, marker=marker, label="training")
    left.plot(epochs, test_losses, marker=marker, label="held out")
    low, high = min(losses + test_losses), max(losses + test_losses)
    if low > 0 and high > 20 * low:
        left.set_yscale("log")
    left.set_ylabel("loss")
    left.legend()
    right.plot(epochs, values, marker=marker, color="tab:orange")
    right.set_ylabel(f"{METRIC_NAMES[metric]} (held out)")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomically(path, buffer.getvalue())
