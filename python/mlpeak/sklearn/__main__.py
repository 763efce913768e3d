"""``python -m mlpeak.sklearn script.py args...``: run a script with scikit-learn patched."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from mlpeak.sklearn.patching import patch

USAGE = "usage: python -m mlpeak.sklearn [-m MODULE | SCRIPT] [ARGUMENT ...]"


def main() -> int:
    """Run what the command line names and return its exit code."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, file=sys.stderr if not arguments else sys.stdout)
        return 0 if arguments else 2
    patch()
    if arguments[0] == "-m":
        if len(arguments) < 2:
            print(USAGE, file=sys.stderr)
            return 2
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    script = Path(arguments[0])
    if not script.is_file():
        print(f"mlpeak.sklearn: {script}: no such file", file=sys.stderr)
        return 2
    sys.argv = arguments
    sys.path.insert(0, str(script.resolve().parent))
    runpy.run_path(str(script), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
