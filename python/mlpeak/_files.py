"""Writing files so that a crash leaves the old one or the new one, never a part."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path` when the ``with`` block ends without error.

    It lies in the same folder, because only there is a rename atomic, and is on the disk before it
    gets the name; so is the name before the block is left. A symbolic link stays one: the file it
    leads to is replaced. A file that was there hands on its permissions. What is no regular file (a
    pipe, a device) has nothing to keep and is written to as it stands.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        # mkstemp makes files private; this one is as readable as any other new file
        mask = os.umask(0)
        os.umask(mask)
        mode = stat.S_IFREG | (0o666 & ~mask)
    if not stat.S_ISREG(mode):
        with path.open("wb") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(stat.S_IMODE(mode))
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
