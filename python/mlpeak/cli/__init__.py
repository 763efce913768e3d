"""The command line, ``python -m mlpeak`` or ``mlpeak``: parsing and printing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mlpeak.cli.parser import UsageError, make_parser

# exit codes beside 0
DIVERGED = 1
WRONG_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0, or 1 if the loss became NaN or infinite, 2 if arguments or files are wrong (one line on
        stderr says what), 130 after Ctrl-C.
    """
    try:
        arguments = make_parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # the reader (head, less) has enough; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ArithmeticError as error:
        return _complain(error, DIVERGED)
    except (UsageError, ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        return _complain(error, WRONG_INPUT)
    except KeyboardInterrupt:
        print("mlpeak: interrupted", file=sys.stderr)
        return INTERRUPTED


def _complain(error: BaseException, code: int) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"mlpeak: {text}", file=sys.stderr)
    return code
