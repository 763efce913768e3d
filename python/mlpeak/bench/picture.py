"""What a benchmark leaves behind to look at: bars by workload and library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from mlpeak._extras import missing_extra
from mlpeak.bench.report import Peak, groups_of, share_of_peak, timed
from mlpeak.bench.runner import Result

COLORS = {
    "mlpeak": "tab:red",
    "numpy": "tab:blue",
    "torch": "tab:orange",
    "torch-compile": "tab:brown",
    "jax": "tab:green",
    "sklearn": "tab:purple",
}


def check_matplotlib() -> None:
    """Raise an ImportError that says what to install, if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing_extra("matplotlib", "bench", "the picture of a benchmark") from error


def draw(results: Sequence[Result], peak: Peak, title: str, shows: str, path: Path) -> None:
    """Write a PNG: a panel a group, bars by shape, the machine's limit as a line.

    The limit is the FMA peak of the dtype for products, and the memory's bandwidth for what is
    counted in bytes and does not fit into the second-level caches.

    Parameters
    ----------
    shows : {"rate", "share", "time"}
        How long a bar is: GFLOP/s or GB/s, percent of the FMA peak, or microseconds on a
        logarithmic axis.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    # two columns of panels, filled evenly by the number of shapes
    columns: list[list[tuple[str, list[Result]]]] = [[], []]
    for entry in groups_of(results).items():
        min(columns, key=lambda c: sum(len(rs) + 3 for _, rs in c)).append(entry)
    columns = [column for column in columns if column]
    tallest = max(sum(len(rs) + 3 for _, rs in column) for column in columns)
    libraries = timed(results)
    width = max(9.0, 6.5 * len(columns))
    row = max(0.32, 0.14 * len(libraries))  # a bar of a tenth of an inch can be seen
    size = width, max(3.5, row * tallest + 1)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    figure.suptitle("\n".join(wrap(title, round(9 * width))))
    parts = figure.subfigures(1, len(columns), squeeze=False)[0]
    for part, column in zip(parts, columns, strict=True):
        heights = [len(rs) + 3 for _, rs in column]
        axes = part.subplots(len(column), 1, squeeze=False, height_ratios=heights)
        for panel, (group, members) in zip(axes[:, 0], column, strict=True):
            _draw_group(panel, group, members, libraries, shows, peak)
    figure.legend(
        handles=[Patch(color=COLORS[name], label=name) for name in libraries],
        loc="outside lower center",
        ncols=len(libraries),
    )
    figure.savefig(path, format="png")


def _draw_group(
    axes: Any,
    group: str,
    results: Sequence[Result],
    libraries: Sequence[str],
    shows: str,
    peak: Peak,
) -> None:
    height = 0.8 / len(libraries)
    for k, library in enumerate(libraries):
        lengths = [
            _length(r, library, shows, peak) if library in r.timings else math.nan for r in results
        ]
        places = [i + (k - (len(libraries) - 1) / 2) * height for i in range(len(results))]
        bars = axes.barh(places, lengths, height, color=COLORS[library])
        if shows == "time":
            names = ["" if math.isnan(length) else f"{length:.3g}" for length in lengths]
            axes.bar_label(bars, names, padding=3)
    limits = [None if shows == "time" else _limit(r, peak) for r in results]
    for i, limit in enumerate(limits):
        if limit:
            place = 100 if shows == "share" else limit
            axes.vlines(place, i - 0.5, i + 0.5, color="black", linestyle="--")
    unit = results[0].workload.unit
    if drawn := [limit for limit in limits if limit]:
        name = "FMA peak" if results[0].workload.flops else "memory"
        axes.set_title(f"- -  {name}, {drawn[0]:,.0f} {unit}", loc="right", fontsize="medium")
    axes.set_yticks(range(len(results)), [r.workload.shape for r in results])
    axes.set_ylim(len(results) - 0.5, -0.5)
    if shows == "time":
        axes.set_xscale("log")
        axes.margins(x=0.15)  # room for the numbers
    else:
        axes.set_xlim(left=0)
    axes.set_xlabel({"rate": unit, "share": "% of the FMA peak", "time": "us"}[shows])
    axes.set_title(group, loc="left", fontweight="bold")
    axes.grid(axis="x", alpha=0.3)


def _length(result: Result, library: str, shows: str, peak: Peak) -> float:
    seconds = result.timings[library].median
    if shows == "time":
        return seconds * 1e6
    if shows == "share":
        return 100 * (share_of_peak(result, library, peak) or math.nan)
    return result.workload.rate(seconds)


def _limit(result: Result, peak: Peak) -> float | None:
    """Return the GFLOP/s or GB/s that the machine allows; None where a cache holds the arrays."""
    workload = result.workload
    if workload.flops:
        return peak[workload.dtype] * 1e-9
    return peak["memory"] * 1e-9 if workload.bytes > peak["level2_bytes"] else None
