"""One column of a table as network input: what is learned from it, and how it is applied.

A number column (numbers, booleans, dates) becomes one feature, standardised, and a second one that
says where values were missing if any were. A category column (text) becomes one 0/1 feature a level
and one for everything else: rare levels, levels never seen in training, missing values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

# sums of squares of standardised columns must stay finite in float64
LARGEST = 1e150

# deviations below this are scaled before they are squared: beside a square of 1e-280 the smallest
# float64, 5e-324, is 2e-44
SMALLEST = 1e-140

# what the numbers of a column count
UNITS = {"number": "numbers", "boolean": "booleans", "days": "dates", "seconds": "times"}

# what text may look like that is no reason why a column of a unit is text
_INCONSPICUOUS = {
    "boolean": r"^(?i:true|false)$",
    "days": r"^\d[\d./:T -]*$",
    "seconds": r"^\d[\d.:]*$",
}


def unit_of(series: pl.Series) -> str | None:
    """Return what a column counts, "text", "empty", or None for a type no feature is made of."""
    import polars as pl

    dtype = series.dtype
    if series.null_count() == len(series):
        return "empty"
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype in (pl.Date, pl.Datetime):
        return "days"
    if dtype in (pl.Time, pl.Duration):
        return "seconds"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    return None


def as_numbers(series: pl.Series) -> NDArray[np.float64]:
    """Return a column as float64 with NaN for missing; dates as days since 1970-01-01.

    Times of day and durations come in seconds. Infinite values count as missing.
    """
    import polars as pl

    dtype = series.dtype
    unit = 1.0
    if dtype == pl.Date:
        series = series.cast(pl.Int32)
    elif dtype == pl.Datetime:
        series, unit = series.dt.epoch("us"), 86_400e6
    elif dtype == pl.Time:
        series, unit = series.cast(pl.Int64), 1e9
    elif dtype == pl.Duration:
        series, unit = series.dt.total_microseconds(), 1e6
    # divided here: polars multiplies by the reciprocal, which rounds twice
    values: NDArray[np.float64] = series.cast(pl.Float64).fill_null(math.nan).to_numpy() / unit
    values[~np.isfinite(values)] = math.nan
    if values.size and np.nanmax(np.abs(values), initial=0.0) > LARGEST:
        raise ValueError(f"column {series.name!r} holds values beyond {LARGEST:g}")
    return values


def as_levels(series: pl.Series) -> pl.Series:
    """Return a column as text, with 1.0 as 1: missing values elsewhere make codes real numbers."""
    import polars as pl

    levels: pl.Series = series.cast(pl.String).str.replace(r"^([+-]?\d+)\.0*$", "${1}")
    return levels


def mean_and_scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and population standard deviation; a constant and 1 for a constant.

    The sums are exactly rounded, so they are the same on every CPU.
    """
    if values.min() == values.max():
        return float(values[0]), 1.0
    mean = math.fsum(values.tolist()) / len(values)
    deviations = values - mean
    largest = float(np.abs(deviations).max())
    unit = largest if largest < SMALLEST else 1.0
    square = math.fsum(((deviations / unit) ** 2).tolist()) / len(values)
    return mean, unit * math.sqrt(square)


def standardise(
    values: NDArray[Any],
    mean: float | NDArray[np.float64],
    scale: float | NDArray[np.float64],
    what: str,
) -> NDArray[np.float32]:
    """Return (values - mean) / scale, refusing values that are too far away for float32.

    Parameters
    ----------
    values : ndarray
        NaN stays NaN.
    mean, scale : float or ndarray
    what : str
        What to call the values in the error.
    """
    with np.errstate(over="ignore"):
        standard = (values - mean) / scale
    far = np.abs(standard) > np.finfo(np.float32).max
    if far.any():
        raise ValueError(
            f"{what} holds {values[far][0]:g}, which is too far from the values in training"
        )
    return standard.astype(np.float32)


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers: impute the median, standardise, mark missing values if any occurred."""

    kind: ClassVar[str] = "number"
    name: str
    unit: str
    median: float
    mean: float
    scale: float
    indicator: bool

    @classmethod
    def fit(cls, series: pl.Series) -> NumberColumn:
        """Learn median, mean and scale from the training part."""
        unit = unit_of(series)
        assert unit in UNITS
        values = as_numbers(series)
        missing = np.isnan(values)
        median = float(np.median(values[~missing])) if not missing.all() else 0.0
        values[missing] = median
        mean, scale = mean_and_scale(values)
        return cls(series.name, unit, median, mean, scale, bool(missing.any()))

    @property
    def features(self) -> list[str]:
        """The names of the features made of this column."""
        return [self.name, f"{self.name} missing"] if self.indicator else [self.name]

    def transform(self, series: pl.Series, out: NDArray[np.float32]) -> str | None:
        """Write the features of `series` to `out` (rows, features); return a remark or None."""
        values = as_numbers(self._checked(series))
        missing = np.isnan(values)
        values[missing] = self.median
        out[:, 0] = standardise(values, self.mean, self.scale, f"column {self.name!r}")
        if self.indicator:
            out[:, 1] = missing
        elif missing.any():
            return (
                f"column {self.name!r}: {missing.sum()} missing values (none in training) "
                f"replaced by the median {self._median_as_text()}"
            )
        return None

    def _median_as_text(self) -> str:
        if self.unit != "days":
            return f"{self.median:g}"
        return str(np.datetime64(round(self.median * 1440), "m"))

    def _checked(self, series: pl.Series) -> pl.Series:
        import polars as pl

        unit = unit_of(series)
        if unit in (self.unit, "empty") or {unit, self.unit} == {"number", "boolean"}:
            return series.cast(pl.Float64) if unit == "empty" else series
        if unit == "text" and self.unit == "number":
            numbers: pl.Series = (
                series.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
            )
            wrong = series.filter(numbers.is_null() & series.is_not_null())
            if wrong.is_empty():
                return numbers
            found = f"the text {str(wrong[0])!r}"
        elif unit == "text":
            texts = series.cast(pl.String).drop_nulls()
            strange = texts.filter(~texts.str.contains(_INCONSPICUOUS[self.unit]))
            found = f"the text {(texts if strange.is_empty() else strange)[0]!r}"
        else:
            found = UNITS.get(unit or "", f"the type {series.dtype}")
        raise ValueError(
            f"column {self.name!r} held {UNITS[self.unit]} in training; here it holds {found}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "mean": self.mean,
            "scale": self.scale,
            "indicator": self.indicator,
        }


@dataclass(frozen=True)
class CategoryColumn:
    """A column of text: one-hot over `levels`, with a last slot for everything else."""

    kind: ClassVar[str] = "category"
    name: str
    levels: tuple[str, ...]

    @classmethod
    def fit(cls, series: pl.Series, max_levels: int) -> CategoryColumn:
        """Keep the `max_levels` most frequent levels that occur at least twice."""
        counts: dict[str, int] = {}
        for level in as_levels(series).drop_nulls().to_list():
            counts[level] = counts.get(level, 0) + 1
        frequent = sorted((-count, level) for level, count in counts.items() if count > 1)
        return cls(series.name, tuple(sorted(level for _, level in frequent[:max_levels])))

    @property
    def features(self) -> list[str]:
        """The names of the features made of this column."""
        return [f"{self.name}={level}" for level in self.levels] + [f"{self.name} other"]

    def transform(self, series: pl.Series, out: NDArray[np.float32]) -> str | None:
        """Write the features of `series` to `out` (rows, features); return a remark or None."""
        slots = {level: slot for slot, level in enumerate(self.levels)}
        other = len(self.levels)
        texts: list[str | None] = as_levels(series).to_list()
        where = [other if text is None else slots.get(text, other) for text in texts]
        out[:] = 0.0
        out[np.arange(len(where)), where] = 1.0
        strange = sum(slot == other for slot in where) - texts.count(None)
        if strange:
            return (
                f"column {self.name!r}: {strange} of {len(where)} values are rare or unseen "
                "levels and share one feature"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"kind": self.kind, "name": self.name, "levels": list(self.levels)}


Column = NumberColumn | CategoryColumn


def column_from_json(fields: dict[str, Any]) -> Column:
    """Undo `to_json`."""
    values = {key: value for key, value in fields.items() if key != "kind"}
    if fields["kind"] == NumberColumn.kind:
        return NumberColumn(**values)
    return CategoryColumn(values["name"], tuple(values["levels"]))
