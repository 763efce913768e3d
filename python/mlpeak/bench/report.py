"""What a benchmark leaves behind in words and numbers: a table and a JSON file."""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mlpeak._config import config
from mlpeak.bench.runner import Plan, Result
from mlpeak.bench.workloads import LIBRARIES

# counted up where the keys of the JSON change
SCHEMA = 2

Peak = Mapping[str, float]


def share_of_peak(result: Result, library: str, peak: Peak) -> float | None:
    """Return GFLOP/s over the FMA peak; None for a workload that is counted in bytes."""
    workload = result.workload
    if not workload.flops:
        return None
    return workload.flops / result.timings[library].median / peak[workload.dtype]


def timed(results: Sequence[Result]) -> list[str]:
    """Return the libraries that ran at least one of the workloads."""
    return [name for name in LIBRARIES if any(name in r.timings for r in results)]


def cells(result: Result, libraries: Sequence[str], peak: Peak) -> list[str]:
    """Return a row of the table: microseconds by library, ratio, spread, rate, share of peak."""
    workload, timings = result.workload, result.timings
    row = [workload.shape]
    for library in libraries:
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


def header(libraries: Sequence[str]) -> list[str]:
    """Return the names of `cells`."""
    times = [f"{name}, us" for name in libraries]
    return ["shape", *times, "ratio", "spread", "rate", "of peak"]


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
    libraries = timed(results)
    head = header(libraries)
    for group, members in groups_of(results).items():
        mean = geometric_mean_ratio(members)
        title = group if mean is None else f"{group} (geometric mean of ratios {mean:.2f})"
        _print_one(title, head, [cells(result, libraries, peak) for result in members])


def print_missing(results: Sequence[Result]) -> None:
    """Say which library could not run what, and why."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for library, why in result.missing.items():
            reasons.setdefault((library, why), []).append(result.workload.shape)
    for (library, why), shapes in reasons.items():
        print(f"{library} did not run {'; '.join(shapes)}: {why}")


def _print_one(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        print(f"\n{title}")
        for row in (head, *rows):
            line = [row[0].ljust(widths[0])]
            line += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            print("  ".join(line))
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in head:
        table.add_column(name, justify="left" if name == "shape" else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    # a file or a pipe has no width, and a table must not be cut there
    Console(width=None if sys.stdout.isatty() else 180).print(table)


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
        "missing": dict(result.missing),
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
