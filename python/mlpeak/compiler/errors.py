"""The error of everything that cannot be compiled."""

from __future__ import annotations

__all__ = ["EAGER", "CompileError"]

#: What every message ends with: the way that always works.
EAGER = "Run it eagerly instead: loss.backward(); optimizer.step()."


class CompileError(RuntimeError):
    """A model or a loss cannot become a compiled program.

    The message names the module and the operation, and says what to do instead.
    """
