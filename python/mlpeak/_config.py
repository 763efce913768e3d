"""What this installation is and how it runs."""

from __future__ import annotations

from typing import TypedDict

from mlpeak import _backend, _core


class Config(TypedDict):
    """The result of `config`."""

    version: str
    backend: str
    tier: str
    tiers: list[str]
    threads: int
    openmp: str
    compiler: str
    flags: str


def config() -> Config:
    """Return version, backend, tier, tiers this CPU can run, threads, OpenMP runtime and build.

    Returns
    -------
    Config
        A dictionary. ``openmp`` is ``"none"`` in a build without OpenMP, which runs on one thread.

    Examples
    --------
    >>> import mlpeak
    >>> mlpeak.config()["tier"] in mlpeak.config()["tiers"]
    True
    """
    return {
        "version": _core.version,
        "backend": _backend.get_backend(),
        "tier": _core.tier(),
        "tiers": _core.tiers(),
        "threads": _core.get_num_threads(),
        "openmp": _core.openmp,
        "compiler": _core.compiler,
        "flags": _core.flags,
    }


def show_config() -> None:
    """Print `config`, one entry a line."""
    for key, value in config().items():
        text = ", ".join(value) if isinstance(value, list) else value
        if key == "openmp" and value == "none":
            text = "none (this build is serial)"
        print(f"{key:9} {text}")


def get_num_threads() -> int:
    """Return how many threads a parallel call may use now.

    By default this is ``OMP_NUM_THREADS`` where it is set, else the smallest of CPU affinity,
    cgroup quota and physical cores, asked at each call.
    """
    return _core.get_num_threads()


def set_num_threads(threads: int) -> None:
    """Set the number of threads; 0 returns to the default. Results do not depend on it.

    Raises
    ------
    ValueError
        If `threads` is negative or above 4096.
    """
    _core.set_num_threads(threads)
