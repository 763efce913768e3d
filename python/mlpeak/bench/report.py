"""What a benchmark leaves behind: a table, a JSON file, a picture."""

from __future__ import annotations

import json
import math
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mlpeak._config import config
from mlpeak._extras import missing_extra
from mlpeak.bench.runner import Plan, Result
from mlpeak.bench.workloads import LIBRARIES

# counted up where the keys of the JSON change
SCHEMA = 1

COLORS = {"mlpeak": "tab:red", "numpy": "tab:blue", "torch": "tab:orange"}

Peak = Mapping[str, float]


def share_of_peak(result: Result, library: str, peak: Peak) -> float | None:
    """Return GFLOP/s over the FMA peak; None for a workload that is counted in bytes."""
    workload = result.workload
    if not workload.flops:
        return None
    return workload.flops / result.timings[library].median / peak[workload.dtype]


def cells(result: Result, peak: Peak) -> list[str]:
    """Return a row of the table: microseconds by library, ratio, spread, rate, share of peak."""
    workload, timings = result.workload, result.timings
    row = [workload.shape]
    for library in LIBRARIES:
        timing = timings.get(library)
        row.append("" if timing is None else f"{timing.median * 1e6:,.1f}")
    ratio = result.ratio()
    row.append("" if ratio is None else f"{ratio:.2f}")
    row.append(f"{max(t.spread for t in timings.values()):.0%}")
    ours = timings.get("mlpeak")
    row.append("" if ours is None else f"{workload.rate(ours.median):,.1f} {workload.unit}")
    share = share_of_peak(result, "mlpeak", peak) if ours else None
    row.append("" if share is None else f"{share:.0%}")
    return row


HEADER = ("shape", *(f"{name}, us" for name in LIBRARIES), "ratio", "spread", "rate", "of peak")


def groups_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the results by group, in order."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.workload.group, []).append(result)
    return groups


def geometric_mean_ratio(results: Sequence[Result]) -> float | None:
    """Return the geometric mean of the ratios to the best other library."""
    ratios = [ratio for r in results if (ratio := r.ratio()) is not None]
    return statistics.geometric_mean(ratios) if ratios else None


def print_table(results: Sequence[Result], peak: Peak) -> None:
    """Print a table a group, with rich where it is installed."""
    for group, members in groups_of(results).items():
        mean = geometric_mean_ratio(members)
        title = group if mean is None else f"{group} (geometric mean of ratios {mean:.2f})"
        _print_one(title, [cells(result, peak) for result in members])


def _print_one(title: str, rows: Sequence[Sequence[str]]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
        print(f"\n{title}")
        for row in (HEADER, *rows):
            line = [row[0].ljust(widths[0])]
            line += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            print("  ".join(line))
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in HEADER:
        table.add_column(name, justify="left" if name == "shape" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # a file or a pipe has no width, and a table must not be cut there
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def machine() -> dict[str, Any]:
    """Return what the figures depend on beside the code."""
    model = platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {"cpu": model, "system": platform.platform(), "python": platform.python_version()}


def as_json(
    family: str,
    results: Sequence[Result],
    peak: Peak,
    versions: Mapping[str, str],
    cpus: Sequence[int],
    plan: Plan,
) -> dict[str, Any]:
    """Return everything as JSON's types; times are seconds, limits FLOP/s and bytes/s."""
    return {
        "schema": SCHEMA,
        "family": family,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": dict(versions),
        "build": config(),
        "threads": len(cpus),
        "cpus": list(cpus),
        "plan": vars(plan),
        "peak": dict(peak),
        "results": [_result_as_json(result, peak) for result in results],
    }


def _result_as_json(result: Result, peak: Peak) -> dict[str, Any]:
    workload = result.workload
    return {
        "group": workload.group,
        "shape": workload.shape,
        "dtype": workload.dtype,
        "flops": workload.flops,
        "bytes": workload.bytes,
        "ratio": result.ratio(),
        "timings": {
            library: {
                **vars(timing),
                "rate": workload.rate(timing.median),
                "share_of_peak": share_of_peak(result, library, peak),
            }
            for library, timing in result.timings.items()
        },
    }


def write_json(report: Mapping[str, Any], path: Path) -> None:
    """Write the report, indented."""
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def check_matplotlib() -> None:
    """Raise an ImportError that says what to install, if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing_extra("matplotlib", "bench", "the picture of a benchmark") from error


def draw(results: Sequence[Result], peak: Peak, title: str, path: Path) -> None:
    """Write a PNG: a panel a group, bars by shape, the machine's limit as a line.

    The limit is the FMA peak of the dtype for products, and the memory's bandwidth for what is
    counted in bytes and does not fit into the second-level caches.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    # two columns of panels, filled evenly by the number of shapes
    columns: list[list[tuple[str, list[Result]]]] = [[], []]
    for entry in groups_of(results).items():
        min(columns, key=lambda c: sum(len(rs) + 3 for _, rs in c)).append(entry)
    columns = [column for column in columns if column]
    tallest = max(sum(len(rs) + 3 for _, rs in column) for column in columns)
    figure = Figure(
        figsize=(6.5 * len(columns), max(3.5, 0.32 * tallest + 1)), dpi=110, layout="constrained"
    )
    figure.suptitle(title)
    libraries = [name for name in LIBRARIES if any(name in r.timings for r in results)]
    parts = figure.subfigures(1, len(columns), squeeze=False)[0]
    for part, column in zip(parts, columns, strict=True):
        heights = [len(rs) + 3 for _, rs in column]
        axes = part.subplots(len(column), 1, squeeze=False, height_ratios=heights)
        for panel, (group, members) in zip(axes[:, 0], column, strict=True):
            _draw_group(panel, group, members, libraries, peak)
    figure.legend(
        handles=[Patch(color=COLORS[name], label=name) for name in libraries],
        loc="outside lower center",
        ncols=len(libraries),
    )
    figure.savefig(path, format="png")


def _draw_group(
    axes: Any, group: str, results: Sequence[Result], libraries: Sequence[str], peak: Peak
) -> None:
    height = 0.8 / len(libraries)
    for k, library in enumerate(libraries):
        rates = [
            r.workload.rate(r.timings[library].median) if library in r.timings else math.nan
            for r in results
        ]
        places = [i + (k - (len(libraries) - 1) / 2) * height for i in range(len(results))]
        axes.barh(places, rates, height, color=COLORS[library])
    limits = [_limit(r, peak) for r in results]
    for i, limit in enumerate(limits):
        if limit:
            axes.vlines(limit, i - 0.5, i + 0.5, color="black", linestyle="--")
    unit = results[0].workload.unit
    if drawn := [limit for limit in limits if limit]:
        name = "FMA peak" if results[0].workload.flops else "memory"
        axes.set_title(f"- -  {name}, {drawn[0]:,.0f} {unit}", loc="right", fontsize="medium")
    axes.set_yticks(range(len(results)), [r.workload.shape for r in results])
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(unit)
    axes.set_title(group, loc="left", fontweight="bold")
    axes.grid(axis="x", alpha=0.3)


def _limit(result: Result, peak: Peak) -> float | None:
    """Return the GFLOP/s or GB/s that the machine allows; None where a cache holds the arrays."""
    workload = result.workload
    if workload.flops:
        return peak[workload.dtype] * 1e-9
    return peak["memory"] * 1e-9 if workload.bytes > peak["level2_bytes"] else None
