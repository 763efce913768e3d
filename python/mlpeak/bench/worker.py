"""One library's side of a benchmark: prepares a workload and times it when told to.

As a program, ``python -m mlpeak.bench.worker FAMILY LIBRARY THREADS`` answers one JSON line on
standard output for each on standard input, and sleeps in between.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from time import perf_counter
from typing import Any

from mlpeak.bench.workloads import LIBRARIES, Call, Unavailable, Workload, load_family

Message = dict[str, Any]

# what starts threads at import reads its number from here
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

PR_SET_PDEATHSIG = 1


class Worker:
    """Runs the workloads of one library in this process.

    Parameters
    ----------
    library : str
        One of `LIBRARIES`.
    workloads : sequence of Workload
        What `ask` may prepare, by name.
    threads : int
        How many threads the library may use.

    Raises
    ------
    ValueError
        If there is no such library.
    ImportError
        If it is not installed.
    """

    def __init__(self, library: str, workloads: Sequence[Workload], threads: int) -> None:
        if library not in LIBRARIES:
            raise ValueError(f"library: is {library!r}; expected {', '.join(LIBRARIES)}")
        self.name = library
        self.threads = threads
        self.workloads = {w.name: w for w in workloads}
        self.version = _configure(library, threads)
        self.call: Call | None = None

    def ask(self, message: Message) -> Message:
        """Carry out one request; ``message["do"]`` is the name of the method that does."""
        actions = {"describe": self._describe, "peak": self._peak, "prepare": self._prepare,
                   "time": self._time}  # fmt: skip
        return actions[message["do"]](message)

    def close(self) -> None:
        """Drop the arrays of the last workload."""
        self.call = None

    def _describe(self, message: Message) -> Message:
        return {"version": self.version, "threads": self.threads}

    def _peak(self, message: Message) -> Message:
        """Measure the machine's limits with the tier in use."""
        from mlpeak import _core

        milliseconds = message["milliseconds"]
        level2 = _core._level2_cache_bytes() * self.threads
        return {
            "float32": _core._fma_peak("float32", milliseconds),
            "float64": _core._fma_peak("float64", milliseconds),
            "memory": _core._memory_bandwidth(message["bytes"], milliseconds),
            "level2": _core._memory_bandwidth(level2 // 2, milliseconds),
            "level2_bytes": level2,
        }

    def _prepare(self, message: Message) -> Message:
        """Make the arrays, warm up, and say how many seconds a call takes."""
        self.call = None  # the last workload's arrays go first
        prepare = self.workloads[message["workload"]].prepare.get(self.name)
        if prepare is None:
            return {"seconds": None}
        try:
            self.call = prepare()
        except Unavailable as error:
            return {"seconds": None, "why": str(error)}
        self._seconds(1)
        calls = 1
        while (seconds := self._seconds(calls)) * calls < message["warm_up"]:
            calls *= 2
        return {"seconds": seconds}

    def _time(self, message: Message) -> Message:
        # The first calls of a turn find the caches as another library left them, and threads
        # asleep: they do not count.
        self._seconds(max(2, message["calls"] // 4))
        return {"seconds": self._seconds(message["calls"])}

    def _seconds(self, calls: int) -> float:
        """Return the mean time of a call."""
        call = self.call
        if call is None:
            raise RuntimeError("nothing is prepared")
        start = perf_counter()
        for _ in range(calls):
            call()
        return (perf_counter() - start) / calls


def _configure(library: str, threads: int) -> str:
    """Set the library's number of threads where the environment does not; return its version."""
    if library == "mlpeak":
        import mlpeak

        mlpeak.set_num_threads(threads)
        return mlpeak.config()["version"]
    package = LIBRARIES[library]
    if package == "torch":
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        return str(torch.__version__)
    # the others take it from the environment or from the CPUs they may use
    return str(import_module(package).__version__)


def main(argv: Sequence[str]) -> None:
    """Serve one library over standard input and output until the input ends."""
    if sys.platform == "linux":
        # the parent stops us while others run; without it nobody would let us go on or end us
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    family, library, threads = argv
    # what a library prints must not mix with the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker: Worker | None = None
    for line in sys.stdin:
        try:
            if worker is None:
                worker = Worker(library, load_family(family), int(threads))
            answer = worker.ask(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
