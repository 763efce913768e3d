"""From the SOURCE of the command line to prepared rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlpeak.sources.arrays import (
    ArrayPreprocessing,
    Pair,
    load_archive,
    load_archive_rows,
    load_digits,
    load_idx_folder,
)
from mlpeak.sources.dataset import (
    Dataset,
    Options,
    Preprocessing,
    Rows,
    check_parts,
    split_rows,
)
from mlpeak.tables import ClassTarget, TablePreprocessing, Target, fit_target, read_table
from mlpeak.tables.reading import TABLE_SUFFIXES, is_table
from mlpeak.tables.target import Values, classes_of, missing_values, target_values

if TYPE_CHECKING:
    import polars as pl

DIGITS = "digits"


def load_training(source: str, options: Options | None = None) -> Dataset:
    """Read a source and split it into rows to train on and rows held out.

    Parameters
    ----------
    source : str
        ``digits``, a folder of IDX files, an ``.npz`` archive or a CSV or Parquet file.
    options : Options, optional

    Notes
    -----
    What the source itself sets apart for the test stays apart (``t10k-*`` beside ``train-*``,
    ``x_test`` beside ``x_train``). A single pair of IDX files is cut: the last share of its rows is
    held out. Elsewhere the rows held out are drawn by the seed, from each class alike.

    Raises
    ------
    ValueError, FileNotFoundError, ImportError
        With a sentence that says what is wrong with the source or which package is missing.
    """
    options = options or Options()
    kind = _kind(source)
    if kind == "table":
        return _table(Path(source), options)
    if options.target or options.ignore or options.categorical:
        raise ValueError(f"{source} has no columns: --target, --ignore, --categorical need a table")
    if kind == "digits":
        return _drawn(load_digits(), DIGITS, options)
    if kind == "archive":
        pair, test = load_archive(Path(source))
        name = Path(source).stem
        return _drawn(pair, name, options) if test is None else _given(pair, test, name, options)
    pairs = load_idx_folder(Path(source))
    name = Path(source).resolve().name
    if len(pairs) == 2:
        return _given(pairs["train"], pairs["t10k"], name, options)
    (x, y), *_ = pairs.values()
    first = len(x) - round(len(x) * options.held_out)
    rows = np.arange(len(x))
    return _prepared((x, y), rows[:first], rows[first:], name, options)


def load_rows(source: str, preprocessing: Preprocessing, target: Target) -> Rows:
    """Read a source to predict for, prepared as a model was trained.

    Parameters
    ----------
    source : str
        As for `load_training`; of a source with a test part, that part.
    preprocessing : TablePreprocessing or ArrayPreprocessing
    target : ClassTarget or ValueTarget
        Its column, where a table has it, becomes ``Rows.target``; a note says so if it cannot be
        compared with the predictions.
    """
    kind = _kind(source)
    if isinstance(preprocessing, TablePreprocessing):
        if kind != "table":
            raise ValueError(f"{source} is no table, and the model was trained on one")
        text_columns = preprocessing.text_columns
        if isinstance(target, ClassTarget) and any(isinstance(c, str) for c in target.classes):
            text_columns.append(target.name)
        notes: list[str] = []
        frame = read_table(source, text_columns, notes)
        x, remarks = preprocessing.transform(frame)
        notes += remarks
        if target.name not in frame.columns:
            return Rows(x, None, notes)
        known, remarks = _comparable(lambda: target_values(frame[target.name]), target)
        return Rows(x, known, notes + remarks)
    if kind == "table":
        raise ValueError(f"{source} is a table, and the model was trained on arrays")
    values: Values | None
    if kind == "digits":
        array, values = load_digits()
    elif kind == "archive":
        array, values = load_archive_rows(Path(source))
    else:
        pairs = load_idx_folder(Path(source))
        array, values = pairs.get("t10k", next(iter(pairs.values())))
    if values is None:
        return Rows(preprocessing.transform(array), None)
    known, remarks = _comparable(lambda: values, target)
    return Rows(preprocessing.transform(array), known, remarks)


def _comparable(read: Callable[[], Values], target: Target) -> tuple[Values | None, list[str]]:
    """Return the target values, or none and a note where the target's kind is another."""
    try:
        values = read()
        target.encode(values)
    except ValueError as error:
        return None, [f"no metric: {error}"]
    return values, []


def _kind(source: str) -> str:
    path = Path(source)
    if source == DIGITS and not path.exists():
        return "digits"
    if path.is_dir():
        return "idx"
    if path.suffix == ".npz":
        return "archive"
    if is_table(path):
        return "table"
    if path.exists():
        raise ValueError(
            f"{source} is not a source: expected digits, a folder of IDX files, an .npz file or a "
            f"table ({', '.join(TABLE_SUFFIXES)})"
        )
    raise FileNotFoundError(f"there is no file or folder {source}")


def _labels(values: Values, name: str, options: Options) -> Values | None:
    """Return the values to draw rows by, None for a regression; refuse useless classes first."""
    if options.decide_task(values) == "regression":
        return None
    classes_of(values, name)
    return values


def _drawn(pair: Pair, name: str, options: Options) -> Dataset:
    labels = _labels(pair[1], "y", options)
    training, test = split_rows(labels, len(pair[0]), options.held_out, options.seed)
    return _prepared(pair, training, test, name, options)


def _given(training: Pair, test: Pair, name: str, options: Options) -> Dataset:
    if training[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(
            f"{name}: rows to train on have shape {training[0].shape[1:]}, rows to test "
            f"{test[0].shape[1:]}"
        )
    both = (np.concatenate([training[0], test[0]]), np.concatenate([training[1], test[1]]))
    rows = np.arange(len(both[0]))
    cut = len(training[0])
    return _prepared(both, rows[:cut], rows[cut:], name, options)


def _prepared(
    pair: Pair,
    training: NDArray[np.int64],
    test: NDArray[np.int64],
    name: str,
    options: Options,
) -> Dataset:
    x, y = pair
    check_parts(len(training), len(test))
    target = fit_target(y, training, "y", options.decide_task(y))
    preprocessing = ArrayPreprocessing.fit(x[training])
    codes = target.encode(y)
    return Dataset(
        name,
        preprocessing.transform(x[training]),
        codes[training],
        preprocessing.transform(x[test]),
        codes[test],
        preprocessing,
        target,
    )


def _table(path: Path, options: Options) -> Dataset:
    reading: list[str] = []
    frame = read_table(path, options.categorical, reading)
    if options.target is None:
        raise ValueError(
            f"{path} is a table: name the column to predict with --target; it has "
            f"{', '.join(frame.columns)}"
        )
    if options.target not in frame.columns:
        raise ValueError(
            f"{path} has no column {options.target!r}; it has {', '.join(frame.columns)}"
        )
    values, frame, notes = _known_target(frame, options.target)
    notes += reading
    labels = _labels(values, options.target, options)
    training, test = split_rows(labels, frame.height, options.held_out, options.seed)
    target = fit_target(values, training, options.target, options.decide_task(values))
    features = frame.drop(options.target)
    preprocessing = TablePreprocessing.fit(
        features[training], ignore=options.ignore, categorical=options.categorical
    )
    notes += [f"column {name!r} left out: {why}" for name, why in preprocessing.left_out.items()]
    notes += preprocessing.notes
    x_train, _ = preprocessing.transform(features[training])
    x_test, remarks = preprocessing.transform(features[test])
    codes = target.encode(values)
    return Dataset(
        path.name.partition(".")[0],
        x_train,
        codes[training],
        x_test,
        codes[test],
        preprocessing,
        target,
        notes + [f"held out: {remark}" for remark in remarks if "levels" not in remark],
    )


def _known_target(frame: pl.DataFrame, target: str) -> tuple[Values, pl.DataFrame, list[str]]:
    """Drop the rows whose target is missing."""
    values: Values = target_values(frame[target])
    missing = missing_values(values)
    if not missing.any():
        return values, frame, []
    if missing.all():
        raise ValueError(f"target {target!r} has no values")
    kept: NDArray[Any] = np.flatnonzero(~missing)
    note = f"{int(missing.sum())} of {len(values)} rows have no {target!r} and were dropped"
    return values[kept], frame[kept], [note]
