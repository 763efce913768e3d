"""The arguments of each command. Modules that need NumPy or more are imported by the commands."""

from __future__ import annotations

import argparse
from typing import NoReturn

EXAMPLES = """\
examples:
  mlpeak train                                  the handwritten digits of scikit-learn
  mlpeak train mnist/ --hidden 256 --epochs 20  a folder of IDX files
  mlpeak train houses.csv --target price        a table; regression, for price is a number
  mlpeak predict houses-model new.csv --out prices.csv
"""


class UsageError(Exception):
    """Arguments that do not parse."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message} (see {self.prog} --help)")


def make_parser() -> Parser:
    """Return the parser; the namespace it fills has ``run``, the command to call."""
    parser = Parser(
        prog="mlpeak",
        description="Train multi-layer perceptrons on the CPU.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    _add_train(commands)
    _add_predict(commands)
    _add_bench(commands)
    info = commands.add_parser("info", help="show version, instruction set, threads and build")
    info.set_defaults(run=_info)
    return parser


def _add_train(commands: argparse._SubParsersAction[Parser]) -> None:
    train = commands.add_parser(
        "train",
        help="train a network, test it on held-out rows and save it",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.set_defaults(run=_train)
    add = train.add_argument
    add(
        "source",
        nargs="?",
        default="digits",
        metavar="SOURCE",
        help="digits (the default), a folder of IDX files, an .npz with x and y, "
        "or a CSV or Parquet file with --target",
    )
    add("--out", metavar="DIR", help="where to save the model (default: SOURCE-model)")

    data = train.add_argument_group("data").add_argument
    data("--target", metavar="COLUMN", help="the column of a table to predict")
    data("--task", default="auto", help="classification or regression (default: by the target)")
    data("--ignore", type=_names, default=(), metavar="A,B", help="columns to leave out")
    data(
        "--categorical",
        type=_names,
        default=(),
        metavar="A,B",
        help="columns of numbers that are codes, not amounts",
    )
    data(
        "--validation-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of rows held out for the test (default: 0.2)",
    )

    network = train.add_argument_group("network").add_argument
    network(
        "--hidden",
        type=_widths,
        default=(128, 64),
        metavar="N,N",
        help='widths of the hidden layers (default: 128,64); "" for a linear model',
    )
    network("--activation", default="relu", metavar="NAME", help="(default: relu)")
    network("--dropout", type=float, default=0.0, metavar="P", help="(default: 0)")

    training = train.add_argument_group("training").add_argument
    training("--loss", metavar="NAME", help="(default: cross_entropy or mse)")
    training("--optimizer", default="adam", metavar="NAME", help="(default: adam)")
    training("--lr", type=float, metavar="RATE", help="learning rate (default: by the optimizer)")
    training("--schedule", default="cosine", help="cosine, onecycle or none (default: cosine)")
    training("--epochs", type=int, metavar="N", help="(default: 20, more where rows are few)")
    training("--batch-size", type=int, default=64, metavar="N", help="(default: 64)")
    training("--weight-decay", type=float, default=0.0, metavar="W", help="(default: 0)")
    training("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    training("--threads", type=int, default=0, metavar="N", help="(default: the machine's cores)")
    training("--quiet", action="store_true", help="print the result alone")


def _add_predict(commands: argparse._SubParsersAction[Parser]) -> None:
    predict = commands.add_parser("predict", help="predict with a saved model")
    predict.set_defaults(run=_predict)
    predict.add_argument("model", metavar="MODEL", help="the folder or file of a saved model")
    predict.add_argument("source", metavar="SOURCE", help="as for train")
    predict.add_argument("--out", metavar="FILE", help="write a CSV file instead of printing it")
    predict.add_argument("--threads", type=int, default=0, metavar="N")


def _add_bench(commands: argparse._SubParsersAction[Parser]) -> None:
    bench = commands.add_parser("bench", help="measure against NumPy and PyTorch on this machine")
    bench.set_defaults(run=_bench)
    add = bench.add_argument
    add("family", metavar="FAMILY", help="kernels, training (whole steps) or sklearn (whole fits)")
    add("--suite", metavar="NAME", help="of training: sgd (plain SGD), or latency (tiny nets)")
    add(
        "--threads",
        type=_counts,
        default=(1,),
        metavar="N[,N]",
        help="cores to pin to, one run each (default: 1)",
    )
    add("--rounds", type=int, metavar="N", help="turns of each library (default: 15)")
    add(
        *("--only", "--workloads"),
        action="append",
        default=[],
        metavar="TEXT",
        help="workloads with this text in their name; may be repeated",
    )
    add(
        *("--libraries", "--peers"),
        type=_names,
        default=(),
        metavar="A,B",
        help="beside mlpeak (default: numpy, and those of torch, torch-compile, jax and sklearn "
        "that are installed and that the family is written for)",
    )
    add("--out", metavar="DIR", help="where to save JSON and picture (default: bench-FAMILY)")
    add("--mnist", metavar="DIR", help="the t10k files of MNIST, for sklearn (or MLPEAK_MNIST)")
    add("--quick", action="store_true", help="a few seconds that show that it works")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(count) for count in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers as 1,2") from None


def _widths(text: str) -> tuple[int, ...]:
    try:
        widths = tuple(int(width) for width in text.split(",") if width.strip())
    except ValueError:
        widths = (0,)
    if any(width < 1 for width in widths):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of widths such as 256,128")
    return widths


def _train(arguments: argparse.Namespace) -> int:
    from mlpeak.cli.train import run

    return run(arguments)


def _predict(arguments: argparse.Namespace) -> int:
    from mlpeak.cli.predict import run

    return run(arguments)


def _bench(arguments: argparse.Namespace) -> int:
    from mlpeak.bench.command import run

    return run(arguments)


def _info(arguments: argparse.Namespace) -> int:
    from mlpeak import show_config

    show_config()
    return 0
