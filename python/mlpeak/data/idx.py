"""IDX files, the format of MNIST and its relatives: a header, then the array in big-endian order.

Byte 2 of the header is the type, byte 3 the number of dimensions, and each dimension follows as a
32-bit number: http://yann.lecun.com/exdb/mnist (section "FILE FORMATS").
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_DTYPES: Final[dict[int, np.dtype[Any]]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_LEGAL: Final = ", ".join(f"0x{code:02x} ({dtype.name})" for code, dtype in _DTYPES.items())
_MAX_NDIM: Final = 32  # of NumPy 1.26
_GZIP: Final = b"\x1f\x8b"


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an IDX file, plain or gzipped.

    Parameters
    ----------
    path : path
        The file. Whether it is gzipped is decided by its first bytes; a name that ends in ``.gz``
        must be.

    Returns
    -------
    ndarray
        Of the file's dtype (uint8, int8, int16, int32, float32 or float64) and shape, in native
        byte order, writeable.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not an IDX file, or is damaged, truncated, or longer than it says.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from mlpeak.data import read_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "three-labels-idx1-ubyte"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    file = Path(path)
    data = _contents(file)
    if len(data) < 4 or data[:2] != b"\0\0":
        raise _error(
            file,
            f"starts with {data[:4].hex(' ') or 'nothing'}",
            "the header of an IDX file: 00 00, type, dimensions",
        )
    dtype = _DTYPES.get(data[2])
    if dtype is None:
        raise _error(file, f"has type 0x{data[2]:02x}", f"one of {_LEGAL}")
    ndim = data[3]
    if ndim > _MAX_NDIM:
        raise _error(file, f"has {ndim} dimensions", f"at most {_MAX_NDIM}")
    start = 4 + 4 * ndim
    if len(data) < start:
        raise _error(file, f"ends after {len(data)} bytes", f"a header of {start}")
    shape = struct.unpack_from(f">{ndim}I", data, 4)
    size = math.prod(shape)
    expected = start + size * dtype.itemsize
    if len(data) != expected:
        problem = "is truncated: it" if len(data) < expected else "has trailing bytes: it"
        raise _error(
            file,
            f"{problem} holds {len(data)} bytes",
            f"{expected} for {dtype.name} of shape {shape}",
        )
    stored = np.frombuffer(data, dtype, size, start).reshape(shape)
    return stored.astype(dtype.newbyteorder("="))


def read_idx_folder(
    folder: str | os.PathLike[str],
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Read the pairs of images and labels in a folder of IDX files.

    Parameters
    ----------
    folder : path
        A pair is ``NAME-images-idx3-ubyte`` and ``NAME-labels-idx1-ubyte``, each plain or with
        ``.gz``; a dot before ``idx`` is fine too. MNIST and its relatives have the names ``train``
        and ``t10k``.

    Returns
    -------
    dict
        From name to ``(images, labels)``, of shapes (samples, rows, columns) and (samples,).

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it holds no pair, images without labels or labels without images, or if the two of a
        pair do not fit; or from `read_idx`.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"read_idx_folder: {root} is not a folder")
    found: dict[str, dict[str, Path]] = {"images": {}, "labels": {}}
    for file in sorted(root.iterdir(), reverse=True):  # the plain file after, and over, its .gz
        for kind, tail in (("images", "idx3-ubyte"), ("labels", "idx1-ubyte")):
            name, separator, rest = file.name.removesuffix(".gz").partition(f"-{kind}")
            if separator and rest[1:] == tail and file.is_file():
                found[kind][name] = file
    images, labels = found["images"], found["labels"]
    for name in sorted(images.keys() ^ labels.keys()):
        have, lack = ("images", "labels") if name in images else ("labels", "images")
        raise ValueError(
            f"read_idx_folder: {root} has {found[have][name].name} but no {name}-{lack}"
        )
    if not images:
        raise ValueError(
            f"read_idx_folder: {root} holds no IDX files; expected pairs such as "
            "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"
        )
    return {name: _pair(images[name], labels[name]) for name in sorted(images)}


def _pair(images_file: Path, labels_file: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    images, labels = read_idx(images_file), read_idx(labels_file)
    for file, array, ndim in ((images_file, images, 3), (labels_file, labels, 1)):
        if array.ndim != ndim:
            raise _error(file, f"has shape {array.shape}", f"{ndim} dimensions")
    if len(images) != len(labels):
        raise _error(
            labels_file, f"has {len(labels)} labels", f"one for each of {len(images)} images"
        )
    return images, labels


def _contents(file: Path) -> bytes:
    import gzip
    import zlib

    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"read_idx: there is no file {file}") from None
    if data[:2] != _GZIP:
        if file.suffix == ".gz":
            raise _error(
                file, f"starts with {data[:2].hex(' ') or 'nothing'}", "1f 8b, as gzip files do"
            )
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _error(file, f"is damaged or truncated ({error})", "a whole gzip file") from error


def _error(file: Path, found: str, expected: str) -> ValueError:
    return ValueError(f"read_idx: {file} {found}; expected {expected}")
