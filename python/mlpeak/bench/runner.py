"""Turns between libraries, and their statistics. Knows nothing of what is measured."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from mlpeak.bench.worker import THREAD_VARIABLES, Message
from mlpeak.bench.workloads import Workload


class Player(Protocol):
    """One library's side: a `Worker` here, or a `Process` that has one."""

    def ask(self, message: Message) -> Message:
        """Carry out one request and return the answer."""

    def close(self) -> None:
        """Give back what the player holds."""


class PlayerError(RuntimeError):
    """A library's process failed or ended."""


class Process:
    """A `Worker` in a process of its own, stopped whenever it is not its turn.

    A library's waiting threads may spin for a while after a call; a stopped process takes no time
    from the next one, whatever its threads wait like.

    Parameters
    ----------
    family, library : str
        What to run: see `load_family` and `LIBRARIES`.
    cpus : sequence of int
        The CPUs to run on, one thread each.
    """

    def __init__(self, family: str, library: str, cpus: Sequence[int]) -> None:
        self.name = library
        threads = str(len(cpus))
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, threads)
        command = [sys.executable, "-m", "mlpeak.bench.worker", family, library, threads]
        with _pinned(cpus):
            self._child = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for the parent alone
                encoding="utf-8",
            )

    def ask(self, message: Message) -> Message:
        """Wake the process, pass the message on, and stop it again after its answer."""
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.send_signal(signal.SIGCONT)
            child.stdin.write(json.dumps(message) + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
            child.send_signal(signal.SIGSTOP)
        except BrokenPipeError:
            line = ""
        if not line:
            raise PlayerError(f"the process of {self.name} ended with code {child.wait()}")
        answer: Message = json.loads(line)
        if "error" in answer:
            raise PlayerError(f"{self.name}: {answer['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        # SIGKILL ends a stopped process too; there is nothing in it to save
        self._child.kill()
        self._child.communicate()


@contextmanager
def _pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Let processes started here run on `cpus` from their first instruction on."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def choose_cpus(threads: int) -> list[int]:
    """Return the CPUs to pin to.

    Raises
    ------
    ValueError
        If this process may not use that many.
    """
    if hasattr(os, "sched_getaffinity"):
        available = sorted(os.sched_getaffinity(0))
    else:
        available = list(range(os.cpu_count() or 1))
    if not 1 <= threads <= len(available):
        raise ValueError(f"threads: is {threads}; expected 1 to {len(available)} (CPUs to use)")
    return available[:threads]


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        How often each library has its turn.
    turn, warm_up : float
        Seconds of a turn, and of calls before the first; one call at least.
    peak_milliseconds, peak_bytes : int
        How long, and over how much memory, the machine's limits are measured.
    """

    rounds: int = 15
    turn: float = 0.005
    warm_up: float = 0.02
    peak_milliseconds: int = 500
    peak_bytes: int = 160_000_000


QUICK_PLAN = Plan(rounds=3, turn=0.001, warm_up=0.001, peak_milliseconds=20, peak_bytes=32 << 20)


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, by one library.

    Attributes
    ----------
    median, least : float
        Over the rounds.
    spread : float
        Distance of the quartiles over the median.
    """

    median: float
    least: float
    spread: float


@dataclass(frozen=True)
class Result:
    """A workload and its timing by library; one that cannot run it is missing.

    `missing` says why, for those that could run it on another machine.
    """

    workload: Workload
    timings: Mapping[str, Timing]
    missing: Mapping[str, str] = field(default_factory=dict)

    def ratio(self, library: str = "mlpeak") -> float | None:
        """Return how many times faster `library` is than the best other, or None if alone."""
        others = [t.median for name, t in self.timings.items() if name != library]
        if library not in self.timings or not others:
            return None
        return min(others) / self.timings[library].median


def summarize(seconds: Sequence[float]) -> Timing:
    """Return the median, the least and the spread of the rounds."""
    median = statistics.median(seconds)
    if len(seconds) > 1:
        low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return Timing(median, min(seconds), (high - low) / median)
    return Timing(median, median, 0.0)


def measure(workload: Workload, players: Mapping[str, Player], plan: Plan) -> Result:
    """Time one workload: in each round each library has one turn of equal length."""
    calls: dict[str, int] = {}
    missing: dict[str, str] = {}
    for library, player in players.items():
        answer = player.ask({"do": "prepare", "workload": workload.name, "warm_up": plan.warm_up})
        if answer["seconds"] is not None:
            calls[library] = max(1, round(plan.turn / answer["seconds"]))
        elif "why" in answer:
            missing[library] = answer["why"]
    rounds: dict[str, list[float]] = {library: [] for library in calls}
    for _ in range(plan.rounds):
        for library, count in calls.items():
            answer = players[library].ask({"do": "time", "calls": count})
            rounds[library].append(answer["seconds"])
    timings = {library: summarize(times) for library, times in rounds.items()}
    return Result(workload, timings, missing)


def measure_all(
    workloads: Sequence[Workload],
    players: Mapping[str, Player],
    plan: Plan,
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Time all workloads, calling `on_result` after each."""
    results = []
    for workload in workloads:
        results.append(measure(workload, players, plan))
        if on_result is not None:
            on_result(results[-1])
    return results


def measure_peak(player: Player, plan: Plan) -> dict[str, float]:
    """Return the machine's limits, measured.

    "float32" and "float64" are FLOP/s, "memory" and "level2" bytes/s; "level2_bytes" is the size
    of the second-level caches in use.
    """
    return player.ask(
        {"do": "peak", "milliseconds": plan.peak_milliseconds, "bytes": plan.peak_bytes}
    )


def merge_peaks(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the higher of each limit: what else runs on a machine can only lower one."""
    return {name: max(value, after[name]) for name, value in before.items()}
