"""``mlpeak bench sklearn``: whole fits by mlpeak.sklearn and by scikit-learn, side by side."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlpeak._config import config
from mlpeak.bench import report
from mlpeak.bench.command import check_rounds
from mlpeak.bench.picture import check_matplotlib
from mlpeak.bench.runner import Timing, _pinned, choose_cpus, summarize
from mlpeak.bench.sklearn_workloads import QUICK, Fit, make_fits, mnist_files, timed
from mlpeak.bench.worker import THREAD_VARIABLES

LIBRARIES = ("mlpeak", "sklearn")
COLORS = {"mlpeak": "tab:red", "sklearn": "tab:green"}

# a search takes minutes
ROUNDS, ROUNDS_OF_A_SEARCH = 5, 1

Time = Callable[[Fit, str], tuple[float, float]]


@dataclass(frozen=True)
class Result:
    """A fit with its seconds and its score, by library."""

    fit: Fit
    timings: dict[str, Timing]
    scores: dict[str, float]

    @property
    def ratio(self) -> float:
        """How many times faster mlpeak is."""
        return self.timings["sklearn"].median / self.timings["mlpeak"].median


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    mnist = arguments.mnist or os.environ.get("MLPEAK_MNIST")
    if mnist:
        mnist_files(mnist)
    fits = choose_fits(bool(mnist), arguments.quick, arguments.only)
    cpus = [choose_cpus(threads) for threads in arguments.threads]
    rounds = 1 if arguments.quick else ROUNDS
    if arguments.rounds is not None:
        rounds = check_rounds(arguments.rounds)
    check_matplotlib()
    folder = Path(arguments.out or "bench-sklearn")
    folder.mkdir(parents=True, exist_ok=True)
    for chosen in cpus:
        measure_on(chosen, fits, mnist, rounds, folder)
    return 0


def measure_on(
    cpus: Sequence[int], fits: Sequence[Fit], mnist: str | None, rounds: int, folder: Path
) -> None:
    """Measure on these CPUs and leave a table, a JSON file and a picture."""
    with _processes(cpus) as processes:

        def time(fit: Fit, library: str) -> tuple[float, float]:
            seconds, score = processes[library].ask(timed, fit, library, mnist)
            return seconds, score

        results = [measure(fit, time, rounds) for fit in fits]
    cores = "1 core" if len(cpus) == 1 else f"{len(cpus)} cores"
    title = (
        f"{report.machine()['cpu']}, {cores}: mlpeak {config()['version']}, "
        f"scikit-learn {version('scikit-learn')}"
    )
    print(f"{title}; medians of {rounds}")
    print_table(results)
    stem = folder / f"sklearn-{len(cpus)}"
    report.write_json(as_json(results, cpus, rounds), stem.with_suffix(".json"))
    draw(results, title, stem.with_suffix(".png"))
    print(f"saved     {stem}.json and .png")


def choose_fits(mnist: bool, quick: bool, only: Sequence[str]) -> list[Fit]:
    """Return what to measure: what has one of the texts in its name, or all.

    Raises
    ------
    ValueError
        If a text is in no name.
    """
    fits = [f for f in make_fits(mnist) if not quick or f.name in QUICK]
    for text in only:
        if not any(text in f.name for f in fits):
            names = "; ".join(f.name for f in fits)
            raise ValueError(f"only: is {text!r}; expected a part of one of: {names}")
    return [f for f in fits if any(text in f.name for text in only or [""])]


class _Process:
    """A process that is stopped whenever it is not asked: its waiting threads may spin for long."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool
        self._id = pool.submit(os.getpid).result()
        os.kill(self._id, signal.SIGSTOP)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what the function returns there."""
        os.kill(self._id, signal.SIGCONT)
        try:
            return self._pool.submit(function, *arguments).result()
        finally:
            os.kill(self._id, signal.SIGSTOP)

    def close(self) -> None:
        """Let it end."""
        os.kill(self._id, signal.SIGCONT)


@contextmanager
def _processes(cpus: Sequence[int]) -> Iterator[dict[str, _Process]]:
    """A process for each library: in one, OpenMP's and BLAS's threads would meet."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(len(cpus))))
    with ExitStack() as stack:
        try:
            context = multiprocessing.get_context("spawn")
            processes = {}
            with _pinned(cpus):
                for library in LIBRARIES:
                    pool = stack.enter_context(ProcessPoolExecutor(1, mp_context=context))
                    processes[library] = _Process(pool)
                    stack.callback(processes[library].close)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        yield processes


def measure(fit: Fit, time: Time, rounds: int) -> Result:
    """Time a fit by the two libraries in turn."""
    rounds = ROUNDS_OF_A_SEARCH if fit.what == "search" else rounds
    seconds: dict[str, list[float]] = {library: [] for library in LIBRARIES}
    scores = {}
    for _ in range(rounds):
        for library in LIBRARIES:
            taken, scores[library] = time(fit, library)
            seconds[library].append(taken)
    return Result(fit, {name: summarize(s) for name, s in seconds.items()}, scores)


HEADER = ("", "mlpeak, s", "sklearn, s", "ratio", "spread", "score", "of sklearn")


def cells(result: Result) -> list[str]:
    """Return a row of the table."""
    timings = result.timings
    return [
        result.fit.name,
        *(f"{timings[library].median:.3g}" for library in LIBRARIES),
        f"{result.ratio:.1f}",
        f"{max(t.spread for t in timings.values()):.0%}",
        *(f"{result.scores[library]:.4f}" for library in LIBRARIES),
    ]


def print_table(results: Sequence[Result]) -> None:
    """Print the results, a line each."""
    rows = [list(HEADER), *(cells(result) for result in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *rest in rows:
        line = [name.ljust(widths[0])]
        line += [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        print("  ".join(line))


def as_json(results: Sequence[Result], cpus: Sequence[int], rounds: int) -> dict[str, Any]:
    """Return everything as JSON's types; times are seconds."""
    return {
        "schema": report.SCHEMA,
        "family": "sklearn",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": report.machine(),
        "versions": {name: version(name) for name in ("scikit-learn", "numpy", "scipy")},
        "build": config(),
        "threads": len(cpus),
        "cpus": list(cpus),
        "rounds": rounds,
        "results": [
            {
                **vars(result.fit),
                "ratio": result.ratio,
                "timings": {name: vars(t) for name, t in result.timings.items()},
                "scores": result.scores,
            }
            for result in results
        ],
    }


def draw(results: Sequence[Result], title: str, path: Path) -> None:
    """Write a PNG: how many times faster each fit is."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.4 * len(results) + 1.6), dpi=110, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots()
    names = [result.fit.name for result in results]
    ratios = [result.ratio for result in results]
    bars = axes.barh(names, ratios, color=COLORS["mlpeak"])
    axes.bar_label(bars, [f"{ratio:.1f}" for ratio in ratios], padding=3)
    axes.axvline(1, color=COLORS["sklearn"], label="scikit-learn")
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as scikit-learn")
    axes.margins(x=0.1)
    axes.legend(loc="lower right")
    figure.savefig(path, format="png")
