"""What a source yields: prepared rows to train on and rows held out, and how they were prepared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpeak import kernels
from mlpeak.sources.arrays import ArrayPreprocessing
from mlpeak.tables import TablePreprocessing, Target
from mlpeak.tables.target import TASKS, Values, decide_task

Preprocessing = TablePreprocessing | ArrayPreprocessing


def preprocessing_from_json(fields: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing that `to_json` of either kind described."""
    if fields["kind"] == TablePreprocessing.kind:
        return TablePreprocessing.from_json(fields)
    return ArrayPreprocessing.from_json(fields)


@dataclass(frozen=True)
class Options:
    """What a user may say about a source.

    Attributes
    ----------
    target : str or None
        The column to predict; tables only.
    task : {"auto", "classification", "regression"}
    held_out : float
        The share of rows held out for the test, above 0 and below 1.
    seed : int
        Decides which rows are held out where they are drawn.
    ignore, categorical : tuple of str
        Columns to leave out, and columns of numbers that are codes; tables only.
    """

    target: str | None = None
    task: str = "auto"
    held_out: float = 0.2
    seed: int = 0
    ignore: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.held_out < 1.0:
            raise ValueError(f"validation share is {self.held_out}; expected above 0 and below 1")
        if self.task not in ("auto", *TASKS):
            raise ValueError(f"task is {self.task!r}; expected auto, {' or '.join(TASKS)}")

    def decide_task(self, values: Values) -> str:
        """Return the task asked for, or the one the target values suggest."""
        return decide_task(values) if self.task == "auto" else self.task


@dataclass(frozen=True)
class Dataset:
    """Rows ready for training.

    Attributes
    ----------
    x_train, x_test : ndarray of float32, shape (rows, in_features)
    y_train, y_test : ndarray
        int64 class indices (rows,) or float32 standardised values (rows, 1).
    notes : list of str
        What the user should know about the data.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[Any]
    x_test: NDArray[np.float32]
    y_test: NDArray[Any]
    preprocessing: Preprocessing
    target: Target
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Rows:
    """Rows ready for prediction, with their target values where the source has them."""

    x: NDArray[np.float32]
    target: Values | None
    notes: list[str] = field(default_factory=list)


def split_rows(
    labels: Values | None, rows: int, held_out: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw the rows to hold out; with `labels`, the same share of each class.

    A class with a single row stays in the training part. The draw depends on the seed and the
    labels alone.

    Returns
    -------
    training, test : ndarray of int64
        Sorted row numbers.

    Raises
    ------
    ValueError
        If either part would be empty.
    """
    order = kernels.permutation(rows, seed=seed, stream=SPLIT_STREAM)
    test = np.zeros(rows, np.bool_)
    if labels is None:
        test[order[: round(rows * held_out)]] = True
    else:
        codes = np.unique(labels, return_inverse=True)[1][order]
        grouped = order[np.argsort(codes, kind="stable")]
        ends = np.cumsum(np.bincount(codes))
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            size = end - start
            share = min(max(round(size * held_out), 1), size - 1)
            test[grouped[start : start + share]] = True
    check_parts(rows - int(test.sum()), int(test.sum()))
    return np.flatnonzero(~test), np.flatnonzero(test)


def check_parts(training: int, test: int) -> None:
    """Refuse a split that leaves nothing to train on or nothing to test."""
    if training < 2 or test < 1:
        raise ValueError(
            f"{training + test} rows split into {training} to train on and {test} to test: "
            "at least 2 and 1 are needed; change --validation-share or bring more rows"
        )


# Philox streams name what random numbers are for
SPLIT_STREAM = 0x73706C
