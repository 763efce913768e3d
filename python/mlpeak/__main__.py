"""``python -m mlpeak``."""

from __future__ import annotations

import sys

from mlpeak.cli import main

if __name__ == "__main__":
    sys.exit(main())
