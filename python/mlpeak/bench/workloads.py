"""What a workload is, and the families of workloads by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

# library -> the package it needs, in the order of tables and pictures
LIBRARIES = {
    "mlpeak": "mlpeak",
    "numpy": "numpy",
    "torch": "torch",
    "torch-compile": "torch",
    "jax": "jax",
    "sklearn": "sklearn",
}

# family -> module with a function `workloads() -> list[Workload]`, a tuple QUICK of names, and
# PICTURE, what bars show: "rate", "share" of the FMA peak, or "time"
FAMILIES = {
    "kernels": "mlpeak.bench.kernels",
    "training": "mlpeak.bench.training.adam",
    "training-sgd": "mlpeak.bench.training.sgd",
    "training-latency": "mlpeak.bench.training.latency",
}

# not made of workloads: whole fits
SKLEARN = "sklearn"

Call = Callable[[], Any]


class Unavailable(Exception):
    """A library cannot run a workload on this machine; the message says why."""


@dataclass(frozen=True)
class Workload:
    """One thing to measure, the same for each library.

    Attributes
    ----------
    group, shape : str
        Where the workload stands in tables and pictures; together they are its name.
    dtype : str
        "float32" or "float64".
    flops, bytes : float
        Floating-point operations of a call, or else bytes that it reads and writes; the one that
        limits it is given, the other is 0.
    prepare : mapping of str to callable
        By library: makes the arrays and returns the call to be timed. It runs in that library's
        process alone, so it imports the library itself.
    """

    group: str
    shape: str
    dtype: str
    prepare: Mapping[str, Callable[[], Call]]
    flops: float = 0.0
    bytes: float = 0.0

    @property
    def name(self) -> str:
        """Group, shape and dtype."""
        return f"{self.group}, {self.shape}, {self.dtype}"

    @property
    def unit(self) -> str:
        """What its rate is measured in, per second."""
        return "GFLOP/s" if self.flops else "GB/s"

    def rate(self, seconds: float) -> float:
        """Return GFLOP/s or GB/s of a call that took `seconds`."""
        return (self.flops or self.bytes) / seconds * 1e-9


def name_family(family: str, suite: str | None) -> str:
    """Return a key of `FAMILIES`, or `SKLEARN`, for what the command line was given.

    Raises
    ------
    ValueError
        If there is no such family, or no such suite of it.
    """
    names = (*FAMILIES, SKLEARN)
    if family not in names:
        raise ValueError(f"family: is {family!r}; expected {', '.join(names)}")
    if not suite:
        return family
    suites = [name.removeprefix(f"{family}-") for name in names if name.startswith(f"{family}-")]
    if suite not in suites:
        legal = f"expected {', '.join(suites)}" if suites else f"{family} has none"
        raise ValueError(f"suite: is {suite!r}; {legal}")
    return f"{family}-{suite}"


def load_family(family: str, quick: bool = False) -> list[Workload]:
    """Return the workloads of a family, or the few that show that all of it works.

    Raises
    ------
    ValueError
        If there is no such family.
    """
    if family not in FAMILIES:
        raise ValueError(f"family: is {family!r}; expected {', '.join(FAMILIES)}")
    module = import_module(FAMILIES[family])
    workloads: list[Workload] = module.workloads()
    return [w for w in workloads if not quick or w.name in module.QUICK]


def picture_of(family: str) -> str:
    """Return what the bars of a family's picture show."""
    picture: str = import_module(FAMILIES[family]).PICTURE
    return picture


def libraries_of(workloads: Iterable[Workload]) -> list[str]:
    """Return the libraries that run at least one of the workloads."""
    found = {library for w in workloads for library in w.prepare}
    return [library for library in LIBRARIES if library in found]


def select(workloads: Sequence[Workload], only: Sequence[str]) -> list[Workload]:
    """Return the workloads with one of the texts in their name; all if there are no texts.

    Raises
    ------
    ValueError
        If a text is in no name; the message lists the groups.
    """
    for text in only:
        if not any(text.lower() in w.name.lower() for w in workloads):
            groups = "; ".join(dict.fromkeys(w.group for w in workloads))
            raise ValueError(f"only: no workload has {text!r} in its name; groups are {groups}")
    texts = [text.lower() for text in only] or [""]
    return [w for w in workloads if any(text in w.name.lower() for text in texts)]
