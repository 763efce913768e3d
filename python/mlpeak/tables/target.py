"""What a model learns to predict: a class or a value, and its encoding for the network."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mlpeak.tables.columns import as_numbers, mean_and_scale, standardise, unit_of

if TYPE_CHECKING:
    import polars as pl

Label = str | int | float | bool
Values = NDArray[Any]  # integers, float64 with NaN for missing, or objects with None for missing

TASKS = ("classification", "regression")

# integers are taken as classes up to this many of them, if each comes this often on average
MAX_INTEGER_CLASSES = 20
ROWS_A_CLASS = 5


@dataclass(frozen=True)
class ClassTarget:
    """One of several classes; encoded as its index."""

    task: ClassVar[str] = "classification"
    name: str
    classes: tuple[Label, ...]

    @property
    def out_features(self) -> int:
        """The number of network outputs: one logit a class."""
        return len(self.classes)

    def encode(self, values: Values) -> NDArray[np.int64]:
        """Return class indices, -1 where a value is missing or no class of the model."""
        exact = {_key(label): number for number, label in enumerate(self.classes)}
        # a column's type depends on all its cells: what was the text 1.0 may now be a number
        alike = {_key(_untyped(label)): number for number, label in enumerate(self.classes)}
        known = ~missing_values(values)
        codes = np.full(len(values), -1, np.int64)
        distinct, inverse = np.unique(values[known], return_inverse=True)
        found = [exact.get(_key(v), alike.get(_key(_untyped(v)), -1)) for v in distinct.tolist()]
        codes[known] = np.array(found, np.int64)[inverse]
        return codes

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"task": self.task, "name": self.name, "classes": list(self.classes)}


@dataclass(frozen=True)
class ValueTarget:
    """A number; encoded standardised, shape (rows, 1)."""

    task: ClassVar[str] = "regression"
    name: str
    mean: float
    scale: float

    @property
    def out_features(self) -> int:
        """The number of network outputs."""
        return 1

    def encode(self, values: Values) -> NDArray[np.float32]:
        """Return (values - mean) / scale as float32, NaN where missing."""
        numbers = _numbers(values, self.name)
        return standardise(numbers, self.mean, self.scale, f"target {self.name!r}")[:, None]

    def decode(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values that network outputs (rows, 1) stand for."""
        return outputs[:, 0].astype(np.float64) * self.scale + self.mean

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"task": self.task, "name": self.name, "mean": self.mean, "scale": self.scale}


Target = ClassTarget | ValueTarget


def target_from_json(fields: dict[str, Any]) -> Target:
    """Undo `to_json`."""
    if fields["task"] == ClassTarget.task:
        return ClassTarget(fields["name"], tuple(fields["classes"]))
    return ValueTarget(fields["name"], fields["mean"], fields["scale"])


def target_values(series: pl.Series) -> Values:
    """Return a target column as integers, float64 (NaN for missing) or objects (None)."""
    unit = unit_of(series)
    if unit in ("text", "boolean"):
        return np.array([*series.cast(_text_or_bool(unit)).to_list(), None], object)[:-1]
    if unit in ("number", "empty"):
        if series.dtype.is_integer() and not series.null_count():
            return series.to_numpy()
        import polars as pl

        return as_numbers(series.cast(pl.Float64))
    raise ValueError(
        f"target {series.name!r} has the type {series.dtype}; expected numbers, booleans or text"
    )


def _text_or_bool(unit: str) -> Any:
    import polars as pl

    return pl.String if unit == "text" else pl.Boolean


def missing_values(values: Values) -> NDArray[np.bool_]:
    """Return where a target is missing."""
    if values.dtype == object:
        return np.array([value is None for value in values.tolist()], np.bool_)
    if values.dtype.kind == "f":
        return np.isnan(values)
    return np.zeros(len(values), np.bool_)


def decide_task(values: Values) -> str:
    """Return "classification" for text, booleans and few distinct whole numbers."""
    if values.dtype.kind in "OUSb":
        return "classification"
    known = values[~missing_values(values)]
    distinct = np.unique(known)
    whole = known.dtype.kind in "iu" or bool(np.all(distinct == np.round(distinct)))
    few = len(distinct) <= MAX_INTEGER_CLASSES and len(known) >= ROWS_A_CLASS * len(distinct)
    return "classification" if whole and few else "regression"


def fit_target(values: Values, training: NDArray[np.int64], name: str, task: str) -> Target:
    """Return the target's encoding.

    Parameters
    ----------
    values : ndarray
        All target values, none missing. Classes are taken from all of them.
    training : ndarray of int64
        The rows to train on; mean and scale of a regression target come from these alone.
    name : str
        What to call it in errors.
    task : {"classification", "regression"}

    Raises
    ------
    ValueError
        If there is only one class or value, text is to be regressed on, or classes are nearly as
        many as rows.
    """
    if task == "regression":
        numbers = _numbers(values[training], name)
        if numbers.min() == numbers.max():
            raise ValueError(f"target {name!r} is {numbers[0]:g} in every row to train on")
        return ValueTarget(name, *mean_and_scale(numbers))
    return ClassTarget(name, classes_of(values, name))


def classes_of(values: Values, name: str) -> tuple[Label, ...]:
    """Return the sorted distinct labels, refusing one alone and nearly as many as rows."""
    if not len(values):
        raise ValueError(f"target {name!r} has no values: the source has 0 rows")
    distinct: list[Any] = np.unique(values).tolist()
    if len(distinct) < 2:
        raise ValueError(f"target {name!r} has the one class {distinct[0]!r}; two are needed")
    if len(distinct) > max(2, len(values) // 2):
        raise ValueError(
            f"target {name!r} has {len(distinct)} classes in {len(values)} rows; a class needs "
            "several rows (--task regression predicts a number)"
        )
    return tuple(_label(value) for value in distinct)


def _label(value: Any) -> Label:
    """Return 3.0 as 3: whole numbers come as floats from columns with missing values."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    label: Label = value
    return label


def _key(value: Any) -> str:
    """Return the text by which labels are compared: 1, 1.0 and "1" are the same class."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(_label(value))


def _untyped(value: Any) -> Any:
    """Return text as the boolean or the number it would be in a column of its like."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    # 01 is a code, not the number 1
    return float(value) if re.fullmatch(r"[+-]?(0|[1-9]\d*)(\.\d*)?", value) else value


def _numbers(values: Values, name: str) -> NDArray[np.float64]:
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    numbers: Sequence[float] = [_number(value, name) for value in values.tolist()]
    return np.array(numbers, np.float64)


def _number(value: Any, name: str) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"target {name!r} is to be a number; it holds {value!r}") from None
