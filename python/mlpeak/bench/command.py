"""``mlpeak bench``: start a process a library, measure, report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from mlpeak.bench import report
from mlpeak.bench.picture import check_matplotlib, draw
from mlpeak.bench.runner import (
    QUICK_PLAN,
    Plan,
    Process,
    Result,
    choose_cpus,
    measure_all,
    measure_peak,
    merge_peaks,
)
from mlpeak.bench.workloads import (
    LIBRARIES,
    SKLEARN,
    Workload,
    libraries_of,
    load_family,
    name_family,
    picture_of,
    select,
)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    # everything that can be wrong is found before the first measurement
    family = name_family(arguments.family, arguments.suite)
    if family == SKLEARN:
        from mlpeak.bench.sklearn_command import run as run_sklearn

        return run_sklearn(arguments)
    workloads = select(load_family(family, arguments.quick), arguments.only)
    libraries = choose_libraries(arguments.libraries, libraries_of(workloads))
    cpus = [choose_cpus(threads) for threads in arguments.threads]
    plan = choose_plan(arguments.quick, arguments.rounds)
    check_matplotlib()
    folder = Path(arguments.out or f"bench-{family}")
    folder.mkdir(parents=True, exist_ok=True)
    for chosen in cpus:
        measure_on(chosen, family, workloads, libraries, plan, folder)
    return 0


def measure_on(
    cpus: Sequence[int],
    family: str,
    workloads: Sequence[Workload],
    libraries: Sequence[str],
    plan: Plan,
    folder: Path,
) -> None:
    """Measure on these CPUs and leave a table, a JSON file and a picture."""
    with ExitStack() as stack:
        players = {}
        for library in libraries:
            players[library] = Process(family, library, cpus)
            stack.callback(players[library].close)
        versions = {
            library: player.ask({"do": "describe"})["version"]
            for library, player in players.items()
        }
        before = measure_peak(players["mlpeak"], plan)
        results = measure_all(workloads, players, plan, Progress(len(workloads)))
        after = measure_peak(players["mlpeak"], plan)
    peak = merge_peaks(before, after)

    what = ", ".join(f"{library} {version}" for library, version in versions.items())
    cores = "1 core" if len(cpus) == 1 else f"{len(cpus)} cores"
    title = f"{report.machine()['cpu']}, {cores}: {what}"
    print(title)
    print(
        f"FMA peak {peak['float32'] * 1e-9:,.1f} GFLOP/s (float64 {peak['float64'] * 1e-9:,.1f}), "
        f"memory {peak['memory'] * 1e-9:,.1f} GB/s, level 2 {peak['level2'] * 1e-9:,.1f} GB/s; "
        f"medians of {plan.rounds}; ratio: the best other's time over mlpeak's"
    )
    change = after["float32"] / before["float32"] - 1
    if abs(change) > 0.05:
        print(f"note      the FMA peak changed by {change:+.0%} meanwhile; was the machine busy?")
    report.print_table(results, peak)
    report.print_missing(results)
    stem = f"{family}-{len(cpus)}"
    report.write_json(
        report.as_json(family, results, peak, versions, cpus, plan), folder / f"{stem}.json"
    )
    draw(results, peak, title, picture_of(family), folder / f"{stem}.png")
    print(f"saved     {folder / stem}.json and .png")


def choose_libraries(names: Sequence[str], offered: Sequence[str]) -> list[str]:
    """Return the libraries to run: mlpeak, and those named or else all that are installed.

    `offered` are those that the workloads are written for.

    Raises
    ------
    ValueError
        If a name is unknown.
    ImportError
        If a library that was named is not installed.
    """
    for name in names:
        if name not in offered:
            raise ValueError(f"libraries: is {name!r}; expected {', '.join(offered)}")
        if not find_spec(LIBRARIES[name]):
            raise ImportError(f"libraries: {name} is not installed")
    return [
        name
        for name in offered
        if name == "mlpeak" or name in names or (not names and find_spec(LIBRARIES[name]))
    ]


def choose_plan(quick: bool, rounds: int | None) -> Plan:
    """Return how long to measure.

    Raises
    ------
    ValueError
        If `rounds` is below 1.
    """
    plan = QUICK_PLAN if quick else Plan()
    if rounds is None:
        return plan
    return Plan(
        check_rounds(rounds), plan.turn, plan.warm_up, plan.peak_milliseconds, plan.peak_bytes
    )


def check_rounds(rounds: int) -> int:
    """Return `rounds`, refusing less than 1."""
    if rounds < 1:
        raise ValueError(f"rounds: is {rounds}; expected at least 1")
    return rounds


class Progress:
    """One line that is written over in a terminal, nothing elsewhere."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.done = 0

    def __call__(self, result: Result) -> None:
        """Show how far it is."""
        self.done += 1
        if not sys.stderr.isatty():
            return
        end = "\n" if self.done == self.count else ""
        text = f"{self.done}/{self.count} {result.workload.name}"
        print(f"\r{text:<78.78}", end=end, file=sys.stderr, flush=True)
