"""``mlpeak predict``: the predictions of a saved model as CSV."""

from __future__ import annotations

import argparse
import csv
import io as text_io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mlpeak
from mlpeak import io
from mlpeak.cli.progress import format_metric
from mlpeak.sources import Rows, load_rows
from mlpeak.tables import Target, ValueTarget
from mlpeak.tables.target import missing_values
from mlpeak.training import forward, metrics, probabilities

# rows shown in a terminal; a file or a pipe gets all
SHOWN = 20


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    mlpeak.set_num_threads(arguments.threads)
    saved = io.load(arguments.model)
    rows = load_rows(arguments.source, saved.preprocessing, saved.target)
    outputs = forward(saved.model, rows.x)
    overflown = np.unique(np.nonzero(~np.isfinite(outputs))[0])
    if len(overflown):
        raise ValueError(
            f"{arguments.source}: the network overflows for {len(overflown)} of {len(outputs)} "
            f"rows, the first of them row {overflown[0]}; they hold values too far from those in "
            "training"
        )
    limit = SHOWN if arguments.out is None and sys.stdout.isatty() else len(outputs)
    text = text_io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        table(saved.target, outputs[:limit], rows.target)
    )
    # standard output, or the pipe behind --out, may be a CSV file in the making
    said = sys.stderr
    if arguments.out is None:
        sys.stdout.write(text.getvalue())
        if limit < len(outputs):
            print(f"... and {len(outputs) - limit:,} more; --out FILE writes all")
        sys.stdout.flush()
    else:
        path = Path(arguments.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        io.write_atomically(path, text.getvalue().encode())
        said = sys.stdout if path.is_file() else sys.stderr
        print(f"saved     {len(outputs):,} predictions to {path}", file=said)
    for line in remarks(saved.target, outputs, rows):
        print(line, file=said)
    return 0


def table(
    target: Target, outputs: NDArray[np.float32], true: NDArray[Any] | None
) -> Iterator[list[Any]]:
    """Yield a header and a row for each prediction.

    Columns: row (counted from 0), prediction, for classes the probability given to the class
    predicted, and the target where the source has it.
    """
    header: list[str] = ["row", "prediction"]
    columns: list[list[Any]]
    if isinstance(target, ValueTarget):
        columns = [[f"{value:.7g}" for value in target.decode(outputs)]]
    else:
        shares = probabilities(outputs)
        best = outputs.argmax(axis=1)
        header.append("probability")
        columns = [
            [target.classes[index] for index in best],
            [f"{share:.4f}" for share in shares.max(axis=1)],
        ]
    if true is not None:
        header.append("target")
        absent = missing_values(true)
        columns.append(
            ["" if gone else v for v, gone in zip(true.tolist(), absent, strict=True)][
                : len(outputs)
            ]
        )
    yield header
    for number, cells in enumerate(zip(*columns, strict=True)):
        yield [number, *cells]


def remarks(target: Target, outputs: NDArray[np.float32], rows: Rows) -> Iterator[str]:
    """Yield the notes on the source and, where targets are known, the metrics."""
    for note in rows.notes:
        yield f"note      {note}"
    if rows.target is None:
        return
    known = ~missing_values(rows.target)
    if not known.any():
        return
    codes = target.encode(rows.target[known])
    if not isinstance(target, ValueTarget) and (strange := int((codes < 0).sum())):
        yield f"note      {strange} targets are no class of the model and count as wrong"
    scores = metrics(target, outputs[known], codes)
    yield f"metric    {', '.join(format_metric(*score) for score in scores.items())}"
