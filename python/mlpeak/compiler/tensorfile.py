"""Named arrays and a text in one file, in the safetensors format: any safetensors library reads it.

A number of 8 bytes, a JSON header of that length, the arrays behind one another. The header's
``__metadata__`` holds the text and a checksum, by which a damaged file is told.
https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from mlpeak._files import replacing
from mlpeak._types import Array

__all__ = ["read_tensors", "write_tensors"]

_DTYPES: Final = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_CODES: Final = {code: name for name, code in _DTYPES.items()}


def write_tensors(path: Path, kind: str, arrays: Mapping[str, Array], text: str) -> None:
    """Write a file of this `kind`, all of it or nothing.

    Raises
    ------
    OSError
        If it cannot be written; a file that was there is as it was.
    """
    entries: dict[str, Any] = {}
    flat: list[Array] = []
    end = 0
    for name, array in arrays.items():
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        flat.append(np.ascontiguousarray(little).reshape(-1).view(np.uint8))
        begin, end = end, end + array.nbytes
        entries[name] = {
            "dtype": _CODES[little.dtype.newbyteorder("<").str],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    metadata = {"format": "mlpeak", "kind": kind, "text": text}
    metadata["crc32"] = str(_checksum(entries, text, flat))
    header = json.dumps({"__metadata__": metadata, **entries}).encode()
    header += b" " * (-len(header) % 8)
    with replacing(path) as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for part in flat:
            file.write(part.data)


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Array], str]:
    """Read the arrays and the text of a file of this `kind`.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is another kind of file, or damaged.
    """
    data = path.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", data)
        entries = json.loads(data[8 : 8 + length])
        metadata = entries.pop("__metadata__")
        found, text, expected = metadata["kind"], metadata["text"], int(metadata["crc32"])
    except (struct.error, ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no {kind} of mlpeak, or its first bytes are damaged") from None
    if found != kind:
        raise ValueError(f"{path} is a {found} of mlpeak; expected a {kind}")
    body = np.frombuffer(data, np.uint8, offset=8 + length) if len(data) > 8 + length else None
    arrays: dict[str, Array] = {}
    flat: list[Array] = []
    try:
        for name, entry in entries.items():
            begin, end = entry["data_offsets"]
            dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
            part = np.empty(0, np.uint8) if body is None else body[begin:end]
            if not part.size == end - begin == math.prod(shape) * dtype.itemsize:
                raise ValueError("size")
            flat.append(part)
            arrays[name] = np.frombuffer(part.tobytes(), dtype).reshape(shape)
        whole = _checksum(entries, text, flat) == expected
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise ValueError(f"{path} is damaged: its contents do not have the checksum it tells")
    return arrays, text


def _checksum(entries: dict[str, Any], text: str, parts: list[Array]) -> int:
    value = zlib.crc32(json.dumps([entries, text]).encode())
    for part in parts:
        value = zlib.crc32(part.data, value)
    return value
