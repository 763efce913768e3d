"""Read a CSV or Parquet file into a polars frame, with every column's type decided here.

A CSV file is read as text and each column is then given the first of these types that all its
values have: integer, real number, boolean, date, date and time, time of day, text. One rule in one
place, so that a column is read alike in training and later.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from mlpeak._extras import missing_extra

if TYPE_CHECKING:
    import polars as pl

CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
TABLE_SUFFIXES = CSV_SUFFIXES + PARQUET_SUFFIXES
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "?")
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y")
_DATETIMES = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")
_TIMES = ("%H:%M:%S", "%H:%M")


def is_table(path: Path) -> bool:
    """Return whether the name ends as a CSV or Parquet file's does."""
    return path.name.lower().endswith(TABLE_SUFFIXES)


def read_table(path: str | Path, text_columns: Collection[str] = ()) -> pl.DataFrame:
    """Read a table.

    Parameters
    ----------
    path : str or Path
        A file ending in ``.csv``, ``.tsv`` (either also ``.gz``), ``.parquet`` or ``.pq``. The
        first line of a CSV file names the columns; the separator is the one of ``, ; tab |`` that
        is most frequent there. Empty cells and NA, N/A, NaN, null and ? are missing values.
    text_columns : collection of str
        Columns of a CSV file to leave as text whatever their values look like.

    Returns
    -------
    polars.DataFrame

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, has no rows, or is not what its name says.
    ImportError
        If polars is missing.
    """
    path = Path(path)
    try:
        import polars as pl
    except ImportError as error:
        raise missing_extra("polars", "cli", "reading a table") from error
    if not is_table(path):
        raise ValueError(
            f"{path} is no table: expected a name ending in {', '.join(TABLE_SUFFIXES)}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty")
    try:
        if path.name.lower().endswith(PARQUET_SUFFIXES):
            frame = pl.read_parquet(path)
        else:
            frame = _read_csv(path, text_columns)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path} cannot be read as a table: {reason}") from error
    if frame.height == 0:
        raise ValueError(f"{path} has a header but no rows")
    return frame


def _read_csv(path: Path, text_columns: Collection[str]) -> pl.DataFrame:
    import polars as pl

    separator = _separator(path)
    # the names as they stand: polars renames the second of two equal ones
    header = pl.read_csv(
        path, separator=separator, has_header=False, n_rows=1, infer_schema=False
    ).row(0)
    given = [name.strip() for name in header if name and name.strip()]
    if len(set(given)) != len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise ValueError(f"{path} has two columns named {twice!r}")
    frame = pl.read_csv(path, separator=separator, infer_schema=False, null_values=list(MISSING))
    columns = []
    for series in frame:
        stripped = series.str.strip_chars()
        stripped = stripped.set(stripped.is_in(MISSING).fill_null(False), None)
        name = series.name.strip()
        typed = stripped if name in text_columns else _typed(stripped, separator != ",")
        columns.append(typed.alias(name))
    return pl.DataFrame(columns)


def _separator(path: Path) -> str:
    """Guess from the header; a gzipped file is opened as such."""
    import gzip

    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        header = file.readline().decode("utf-8")
    counts = {mark: header.count(mark) for mark in (",", ";", "\t", "|")}
    return max(counts, key=lambda mark: counts[mark])


def _typed(text: pl.Series, decimal_comma: bool) -> pl.Series:
    """Return the column in the first type that keeps all its values."""
    import polars as pl

    missing = text.null_count()
    if missing == len(text):
        return pl.Series(text.name, [None] * len(text), pl.Null)
    # 02139 is a code, not the number 2139
    if not text.str.contains(r"^[+-]?0\d").any():
        numeral = text
        if decimal_comma and text.str.contains(r"^[+-]?\d*,\d+$").any():
            numeral = text.str.replace(",", ".", literal=True)
        for number_type in (pl.Int64, pl.Float64):
            number: pl.Series = numeral.cast(number_type, strict=False)
            if number.null_count() == missing:
                return number
    lower = text.str.to_lowercase()
    if lower.drop_nulls().is_in(("true", "false")).all():
        return lower.is_in(("true",))
    for date_type, formats in ((pl.Date, _DATES), (pl.Datetime, _DATETIMES), (pl.Time, _TIMES)):
        for form in formats:
            moment: pl.Series = text.str.strptime(date_type, form, strict=False)
            if moment.null_count() == missing:
                return moment
    return text
