"""``mlpeak train``: load, train, test, save."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import numpy as np

import mlpeak
from mlpeak import io
from mlpeak.cli.curve import check_matplotlib, draw_learning_curve
from mlpeak.cli.progress import format_metric, make_progress
from mlpeak.compiler.errors import NonFiniteLossError
from mlpeak.mlp import Architecture
from mlpeak.sources import Dataset, Options, load_training
from mlpeak.tables import ClassTarget
from mlpeak.training import History, Settings, train

INTERRUPTED = 130


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    # what is wrong with the arguments or missing is said before anything takes time
    settings = Settings(
        loss=arguments.loss,
        optimizer=arguments.optimizer,
        lr=arguments.lr,
        schedule=arguments.schedule,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        weight_decay=arguments.weight_decay,
        seed=arguments.seed,
    )
    options = Options(
        target=arguments.target,
        task=arguments.task,
        held_out=arguments.validation_share,
        seed=arguments.seed,
        ignore=arguments.ignore,
        categorical=arguments.categorical,
    )
    check_matplotlib()
    io.check_safetensors()
    mlpeak.set_num_threads(arguments.threads)

    start = perf_counter()
    data = load_training(arguments.source, options)
    loading = perf_counter() - start
    settings.make_loss(data.target.task)
    architecture = Architecture(
        data.preprocessing.in_features,
        arguments.hidden,
        data.target.out_features,
        arguments.activation,
        arguments.dropout,
    )
    model_path, curve_path = output_paths(arguments.out, data.name)
    mlpeak.manual_seed(settings.seed)
    model = architecture.build()
    if not arguments.quiet:
        _print_plan(data, architecture, settings, loading)

    rows = len(data.x_train)
    epochs = settings.total_epochs(rows)
    progress = make_progress(epochs, settings.steps(rows), arguments.quiet)
    try:
        with progress.listening():
            history = train(
                model,
                data.target,
                (data.x_train, data.y_train),
                (data.x_test, data.y_test),
                settings,
                progress,
            )
    except NonFiniteLossError as error:
        raise ArithmeticError(
            f"{error}; nothing saved; try an --lr below {settings.rate:g}"
        ) from None
    if not history.epochs:
        print("stopped before the first update; nothing saved")
        return INTERRUPTED
    _print_result(data, history)
    last = history.epochs[-1]
    saved = io.SavedModel(
        model,
        architecture,
        data.preprocessing,
        data.target,
        {"loss": last.test.loss, **last.test.metrics},
        {
            **asdict(settings),
            "lr": settings.rate,
            "epochs": last.number,
            "rows": rows,
            "held_out_rows": len(data.x_test),
            "stopped": history.stopped,
        },
    )
    weights, description = io.save(model_path, saved)
    draw_learning_curve(history, data.name, curve_path)
    print(f"saved     {weights}, {description.name}, {curve_path.name}")
    return INTERRUPTED if history.stopped else 0


def output_paths(out: str | None, name: str) -> tuple[Path, Path]:
    """Return the paths of the weights and the learning curve, with their folder made.

    `out` is a folder, or a file name ending in ``.safetensors``; without it the folder is
    ``<name>-model``.

    Raises
    ------
    OSError
        If the folder cannot be made, or a folder stands where a file is to be written.
    """
    path = Path(out) if out else Path(f"{name}-model")
    if path.suffix == io.WEIGHTS_SUFFIX:
        weights, curve = path, path.with_name(f"{path.stem}_learning_curve.png")
    else:
        weights, curve = path / f"{io.DEFAULT_NAME}{io.WEIGHTS_SUFFIX}", path / "learning_curve.png"
    for file in (*io.model_paths(weights), curve):
        if file.is_dir():
            raise IsADirectoryError(f"out: {file} is a folder; expected a file or nothing there")
    weights.parent.mkdir(parents=True, exist_ok=True)
    return weights, curve


def _print_plan(
    data: Dataset, architecture: Architecture, settings: Settings, loading: float
) -> None:
    target = data.target
    predicted = (
        f"{len(target.classes)} classes"
        if isinstance(target, ClassTarget)
        else f"regression of {target.name!r}"
    )
    rows = len(data.x_train)
    print(
        f"data      {data.name}: {rows:,} rows to train on, {len(data.x_test):,} held out, "
        f"{data.preprocessing.in_features} features, {predicted} (loaded in {loading:.2f} s)"
    )
    for note in data.notes:
        print(f"note      {note}")
    widths = "-".join(map(str, architecture.widths))
    print(f"network   {widths}, {architecture.activation}, {architecture.parameters:,} parameters")
    schedule = "" if settings.schedule == "none" else f" ({settings.schedule})"
    threads = mlpeak.get_num_threads()
    print(
        f"training  {settings.optimizer}, lr {settings.rate:g}{schedule}, batches of "
        f"{settings.batch_size}, {settings.total_epochs(rows)} epochs, seed {settings.seed}, "
        f"{threads} thread{'s' if threads != 1 else ''}"
    )


def _print_result(data: Dataset, history: History) -> None:
    last = history.epochs[-1]
    if history.stopped:
        print(f"stopped   by Ctrl-C in epoch {last.number}; this is the model so far")
    print(f"trained   in {history.seconds:.2f} s, {last.number} epochs")
    scores = ", ".join(format_metric(*metric) for metric in last.test.metrics.items())
    if isinstance(data.target, ClassTarget):
        common = np.bincount(data.y_test).max() / len(data.y_test)
        scores += f" (always the most frequent class: {100 * common:.2f} %)"
    print(f"held out  {scores}")
