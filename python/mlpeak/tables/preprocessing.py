"""A whole table as network input: which columns are used, and the matrix made of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mlpeak.tables.columns import (
    UNITS,
    CategoryColumn,
    Column,
    NumberColumn,
    as_levels,
    as_numbers,
    column_from_json,
    unit_of,
)

if TYPE_CHECKING:
    import polars as pl

MAX_LEVELS = 50
_ID_NAME = re.compile(
    r"(^|[_\W])(id|idx|index|key|row|nr|no|uuid)$|[a-z]I[dD]$"
    # the index that pandas writes, after none, one or more times there and back
    r"|^$|^Unnamed: [\d.]+$|^__index_level_\d+__$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TablePreprocessing:
    """How the columns of a table become features.

    Attributes
    ----------
    columns : tuple of NumberColumn or CategoryColumn
        The columns in use, in the table's order.
    left_out : dict of str to str
        The columns that are not, and why.
    notes : tuple of str
        What a user should know about the columns in use; not part of the JSON.

    Examples
    --------
    >>> import polars
    >>> table = polars.DataFrame({"age": [20, 40, None], "town": ["Ulm", "Bonn", "Ulm"]})
    >>> rows = TablePreprocessing.fit(table)
    >>> rows.features
    ['age', 'age missing', 'town=Ulm', 'town other']
    >>> rows.transform(table)[0].shape
    (3, 4)
    """

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        table: pl.DataFrame,
        *,
        ignore: Collection[str] = (),
        categorical: Collection[str] = (),
        max_levels: int = MAX_LEVELS,
    ) -> TablePreprocessing:
        """Choose the columns and learn from the training part what their features need.

        Parameters
        ----------
        table : polars.DataFrame
            The rows to train on, without the target.
        ignore : collection of str
            Columns to leave out.
        categorical : collection of str
            Columns of numbers that are codes, to be treated as text.
        max_levels : int
            How many levels of a text column get a feature of their own.

        Raises
        ------
        ValueError
            If a named column is not in the table, a column has a type no feature can be made of,
            or no column is left.
        """
        for name in (*ignore, *categorical):
            if name not in table.columns:
                raise ValueError(f"there is no column {name!r}; {_names(table.columns)}")
        columns: list[Column] = []
        left_out: dict[str, str] = {}
        notes: list[str] = []
        for series in table:
            name = series.name
            unit = unit_of(series)
            if name in ignore:
                left_out[name] = "as asked"
            elif unit is None:
                raise ValueError(
                    f"column {name!r} has the type {series.dtype}; expected "
                    f"{', '.join(UNITS.values())} or text, or leave it out with --ignore {name}"
                )
            elif unit == "empty":
                left_out[name] = "no values"
            elif series.n_unique() == 1:
                left_out[name] = "the same value everywhere"
            elif unit == "text" or name in categorical:
                known = as_levels(series).drop_nulls()
                distinct = known.n_unique()
                if distinct > 0.9 * known.len():
                    left_out[name] = "nearly every value differs, as in a name or identifier"
                    continue
                column = CategoryColumn.fit(series, max_levels)
                columns.append(column)
                if distinct > len(column.levels):
                    notes.append(
                        f"column {name!r}: {len(column.levels)} of {distinct} levels have a "
                        "feature of their own, the rest share one"
                    )
            elif _counts_rows(series) and _ID_NAME.search(name):
                left_out[name] = "it numbers the rows"
            else:
                columns.append(NumberColumn.fit(series))
                if _counts_rows(series):
                    notes.append(
                        f"column {name!r} numbers the rows; if it means nothing, leave it out "
                        f"with --ignore {name}"
                    )
        if not columns:
            reasons = "; ".join(f"{name!r}: {why}" for name, why in left_out.items())
            raise ValueError(f"no column is left to learn from ({reasons or 'the table has none'})")
        return cls(tuple(columns), left_out, tuple(notes))

    @property
    def features(self) -> list[str]:
        """The name of each feature, in order."""
        return [feature for column in self.columns for feature in column.features]

    @property
    def in_features(self) -> int:
        """The number of features."""
        return len(self.features)

    def transform(self, table: pl.DataFrame) -> tuple[NDArray[np.float32], list[str]]:
        """Return the features of a table and remarks on what its columns hold.

        Parameters
        ----------
        table : polars.DataFrame
            With at least the columns in use; others are not looked at.

        Returns
        -------
        features : ndarray of float32, shape (rows, in_features)
        remarks : list of str

        Raises
        ------
        ValueError
            If a column is missing or holds something else than in training.
        """
        absent = [column.name for column in self.columns if column.name not in table.columns]
        if absent:
            raise ValueError(
                f"the table lacks {_names(absent)}, which the model was trained on; "
                f"it has {_names(table.columns)}"
            )
        out = np.empty((table.height, self.in_features), np.float32)
        remarks = []
        start = 0
        for column in self.columns:
            stop = start + len(column.features)
            remark = column.transform(table[column.name], out[:, start:stop])
            if remark is not None:
                remarks.append(remark)
            start = stop
        return out, remarks

    @property
    def text_columns(self) -> list[str]:
        """The columns that `read_table` must leave as text."""
        return [column.name for column in self.columns if isinstance(column, CategoryColumn)]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "kind": self.kind,
            "columns": [column.to_json() for column in self.columns],
            "left_out": self.left_out,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> TablePreprocessing:
        """Undo `to_json`."""
        return cls(tuple(column_from_json(c) for c in fields["columns"]), dict(fields["left_out"]))


def _names(names: Collection[str]) -> str:
    shown = ", ".join(repr(name) for name in list(names)[:20])
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return f"column{'s' if len(names) != 1 else ''} {shown}{more}"


def _counts_rows(series: pl.Series) -> bool:
    """Return whether the integers of a column are those of n rows, each once, in any order.

    The training part of a split table holds most of them, so gaps up to half are allowed as long
    as no value comes twice and the values fill their range.
    """
    if not series.dtype.is_integer() or series.null_count() or len(series) < 20:
        return False
    values = as_numbers(series)
    spread = float(values.max() - values.min())
    return series.n_unique() == len(series) and spread < 2 * len(series)
