"""Read a CSV or Parquet file into a polars frame, with every column's type decided here.

A CSV file is read as text and each column is then given the first of these types that all its
values have: integer, real number, boolean, date, date and time, time of day, text. One rule in one
place, so that a column is read alike in training and later. `mlpeak.tables.numerals` says what is a
number.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from mlpeak._extras import missing_extra
from mlpeak.tables.numerals import read_numbers

if TYPE_CHECKING:
    import polars as pl

CSV_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
TABLE_SUFFIXES = CSV_SUFFIXES + PARQUET_SUFFIXES
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "?")
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y")
_DATETIMES = tuple(
    f"%Y-%m-%d{between}{time}{zone}"
    for zone in ("", "Z", "+00:00")
    for time in ("%H:%M:%S%.f", "%H:%M")
    for between in " T"
)
_TIMES = ("%H:%M:%S", "%H:%M")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_QUOTED_OR_BLANK_LINES = re.compile(rb'("[^"]*")|(?<=\n)(?:\r?\n)+')
_DAMAGED_GZIP = (gzip.BadGzipFile, zlib.error, EOFError)


def is_table(path: Path) -> bool:
    """Return whether the name ends as a CSV or Parquet file's does."""
    return path.name.lower().endswith(TABLE_SUFFIXES)


def read_table(
    path: str | Path, text_columns: Collection[str] = (), notes: list[str] | None = None
) -> pl.DataFrame:
    """Read a table.

    Parameters
    ----------
    path : str or Path
        A file ending in ``.csv``, ``.tsv`` (either also ``.gz``), ``.parquet`` or ``.pq``. The
        first line of a CSV file names the columns; the separator is the one of ``, ; tab |`` that
        is most frequent there outside quotes. Where it is ``;`` a comma in a number is the decimal
        mark (1,5 and 1.234,5), elsewhere it groups digits (1,234.5). Dates are 2024-12-31,
        2024/12/31, 31.12.2024 or 2024-12-31 23:59:59 (also with a T between, and in UTC with Z or
        +00:00 behind). Empty cells and NA, N/A, NaN, null and ? are missing values. Blank lines are
        no rows, but for a file of one column, where one is a missing value.
    text_columns : collection of str
        Columns of a CSV file to leave as text whatever their values look like.
    notes : list of str, optional
        Gets what a user should know about how columns were read.

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
            frame = _read_csv(path, text_columns, [] if notes is None else notes)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} cannot be read as a table: it is not text in UTF-8; save it in that encoding "
            '("CSV UTF-8" in a spreadsheet)'
        ) from error
    except (pl.exceptions.PolarsError, *_DAMAGED_GZIP) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path} cannot be read as a table: {reason}") from error
    if frame.height == 0:
        raise ValueError(f"{path} has a header but no rows")
    return frame


def _read_csv(path: Path, text_columns: Collection[str], notes: list[str]) -> pl.DataFrame:
    import polars as pl

    # unpacked here: polars takes a damaged file's error for the system's and does not name the file
    zipped = path.suffix.lower() == ".gz"
    content = gzip.decompress(path.read_bytes()) if zipped else path.read_bytes()
    if not content or content.isspace():
        raise ValueError(f"{path} is empty")
    separator = _separator(content)
    try:
        header, frame = _cells(content, separator, path)
    except pl.exceptions.PolarsError as error:
        reason = _first_long_row(content.decode("utf-8"), separator)
        if reason is None:
            raise
        raise ValueError(f"{path} cannot be read as a table: {reason}") from error
    columns: dict[str, pl.Series] = {}
    for title, series in zip(header, frame, strict=True):
        name = (title or "").strip()
        if name in columns:
            # the second without a name
            name = series.name
        stripped = series.alias(name).str.strip_chars()
        stripped = stripped.set(stripped.is_in(MISSING).fill_null(False), None)
        columns[name] = stripped if name in text_columns else _typed(stripped, separator, notes)
    return pl.DataFrame(columns)


def _cells(
    content: bytes, separator: str, path: Path
) -> tuple[tuple[str | None, ...], pl.DataFrame]:
    """Return the header as it stands and the cells below it as text."""
    import polars as pl

    content = content.removeprefix(_BYTE_ORDER_MARK).lstrip(b"\r\n")
    # the names as they stand: polars renames blank ones and the second of two equal ones
    header = pl.read_csv(
        content, separator=separator, has_header=False, n_rows=1, infer_schema=False
    ).row(0)
    given = [name.strip() for name in header if name and name.strip()]
    if len(set(given)) != len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise ValueError(f"{path} has two columns named {twice!r}")
    if len(header) > 1:
        content = _without_blank_lines(content)
    return header, pl.read_csv(
        content, separator=separator, infer_schema=False, null_values=list(MISSING)
    )


def _without_blank_lines(content: bytes) -> bytes:
    """Remove blank lines outside quotes, which polars takes for rows without values."""
    content = content.rstrip(b"\r\n") + b"\n"
    if b"\n\n" in content or b"\n\r\n" in content:
        content = _QUOTED_OR_BLANK_LINES.sub(lambda found: found[1] or b"", content)
    return content


def _first_long_row(text: str, separator: str) -> str | None:
    """Say where a row has more cells than the header; polars does not."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    width = 0
    try:
        for row in rows:
            width = width or len(row)
            if len(row) > width:
                return f"line {rows.line_num} has {len(row)} cells, the header {width}"
    except csv.Error:
        pass  # the words of polars stand
    return None


def _separator(content: bytes) -> str:
    """Guess from the header."""
    first = content.removeprefix(_BYTE_ORDER_MARK).lstrip(b"\r\n").partition(b"\n")[0]
    header = re.sub(r'"[^"]*"', "", first.decode("utf-8"))
    counts = {mark: header.count(mark) for mark in (",", ";", "\t", "|")}
    return max(counts, key=lambda mark: counts[mark])


def _typed(text: pl.Series, separator: str, notes: list[str]) -> pl.Series:
    """Return the column in the first type that keeps all its values."""
    import polars as pl

    missing = text.null_count()
    if missing == len(text):
        return pl.Series(text.name, [None] * len(text), pl.Null)
    numbers, note = read_numbers(text, separator)
    if note is not None:
        notes.append(note)
    if numbers is not None:
        return numbers
    lower = text.str.to_lowercase()
    if lower.drop_nulls().is_in(("true", "false")).all():
        return lower.is_in(("true",))
    first = text.drop_nulls().head(1)
    for date_type, formats in ((pl.Date, _DATES), (pl.Datetime, _DATETIMES), (pl.Time, _TIMES)):
        for form in formats:
            if first.str.strptime(date_type, form, strict=False).null_count() > 0:
                continue
            moment: pl.Series = text.str.strptime(date_type, form, strict=False)
            if moment.null_count() == missing:
                return moment
    return text
