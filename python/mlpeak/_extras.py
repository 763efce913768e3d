"""Optional packages: the error a user sees when one is missing."""

from __future__ import annotations


def missing_extra(package: str, extra: str, purpose: str) -> ImportError:
    """Return an ImportError that names the package, what needs it and how to install it."""
    return ImportError(f'{purpose} needs {package}: pip install "mlpeak[{extra}]"')
