"""IDX files: every type and rank, real images, and each way a file can be wrong."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from mlpeak.data import read_idx, read_idx_folder

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


def idx(code: int, shape: tuple[int, ...], body: bytes) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (3, 4), (2, 3, 4), (2, 1, 3, 2), (4, 0)])
@pytest.mark.parametrize("packed", [False, True])
def test_reads_every_type_and_rank(
    tmp_path: Path, code: int, shape: tuple[int, ...], packed: bool
) -> None:
    rng = np.random.default_rng(code)
    raw = rng.integers(1, 100, size=shape)
    expected = np.asarray(raw).astype(TYPES[code])
    data = idx(code, shape, np.asarray(raw).astype(">" + TYPES[code]).tobytes())
    file = tmp_path / ("a.gz" if packed else "a")
    file.write_bytes(gzip.compress(data) if packed else data)
    array = read_idx(file)
    assert array.dtype == expected.dtype
    assert array.dtype.isnative
    assert array.flags.writeable
    assert array.flags.c_contiguous
    assert np.array_equal(array, expected)
    assert array.shape == shape


def test_extreme_values_keep_their_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(idx(0x0C, (2,), struct.pack(">2i", -(2**31), 2**31 - 1)))
    assert read_idx(str(file)).tolist() == [-(2**31), 2**31 - 1]
    file.write_bytes(idx(0x0E, (2,), struct.pack(">2d", -1e308, 5e-324)))
    assert read_idx(file).tolist() == [-1e308, 5e-324]


def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_bytes(gzip.compress(idx(8, (2,), b"\x03\x01")))
    assert read_idx(file).tolist() == [3, 1]


GOOD = idx(8, (2, 3), bytes(6))
BAD_FILES = [
    ("a", b"", "starts with nothing; expected the header"),
    ("a", b"\0\0\x08", "starts with 00 00 08; expected the header"),
    ("a", b"\x89PNG....", "starts with 89 50 4e 47; expected the header"),
    ("a", b"\0\0\x07\x01" + bytes(5), r"has type 0x07; expected one of 0x08 \(uint8\), 0x09"),
    ("a", b"\0\0\x08\x03" + bytes(7), "ends after 11 bytes; expected a header of 16"),
    ("a", b"\0\0\x08\xff" + bytes(1020), "has 255 dimensions; expected at most 32"),
    ("a", GOOD[:-1], r"is truncated: it holds 17 bytes; expected 18 for uint8 of shape \(2, 3\)"),
    ("a", GOOD + b"\0", "has trailing bytes: it holds 19 bytes; expected 18"),
    ("a", idx(0x0E, (2**32 - 1,) * 4, b""), "is truncated: it holds 20 bytes"),
    ("a.gz", GOOD, "starts with 00 00; expected 1f 8b, as gzip files do"),
    ("a.gz", b"", "starts with nothing; expected 1f 8b"),
    ("a.gz", gzip.compress(GOOD)[:-9], "is damaged or truncated"),
    ("a.gz", gzip.compress(GOOD)[:5], "is damaged or truncated"),
    ("a.gz", gzip.compress(GOOD)[:-8] + bytes(8), "is damaged or truncated"),
    ("a.gz", gzip.compress(GOOD)[:12] + bytes(range(200, 240)), "is damaged or truncated"),
    ("a.gz", gzip.compress(GOOD)[:2] + bytes(30), "is damaged or truncated"),
    ("a.gz", gzip.compress(GOOD) + b"tail", "is damaged or truncated"),
    ("a.gz", gzip.compress(GOOD + b"\0"), "has trailing bytes: it holds 19 bytes; expected 18"),
]


@pytest.mark.parametrize(("name", "data", "message"), BAD_FILES)
def test_wrong_file_is_refused_by_name(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_idx(file)
    assert str(file) in str(error.value)


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        read_idx_folder(tmp_path / "nowhere")


def test_every_truncation_of_a_gzip_file_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(idx(8, (50,), bytes(range(50))))
    file = tmp_path / "a.gz"
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="expected"):
            read_idx(file)


def write_pair(folder: Path, name: str, samples: int = 2, dot: str = "-") -> None:
    images = idx(8, (samples, 2, 2), bytes(range(4 * samples)))
    (folder / f"{name}-images{dot}idx3-ubyte").write_bytes(images)
    labels = gzip.compress(idx(8, (samples,), bytes(range(samples))))
    (folder / f"{name}-labels{dot}idx1-ubyte.gz").write_bytes(labels)


def test_folder_gives_its_pairs(tmp_path: Path) -> None:
    write_pair(tmp_path, "train", 3)
    write_pair(tmp_path, "t10k", 2, dot=".")
    (tmp_path / "README").write_text("not a pair")
    pairs = read_idx_folder(tmp_path)
    assert list(pairs) == ["t10k", "train"]
    images, labels = pairs["train"]
    assert images.shape == (3, 2, 2)
    assert labels.tolist() == [0, 1, 2]


def test_folder_prefers_the_plain_file(tmp_path: Path) -> None:
    write_pair(tmp_path, "train", 2)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(8, (2,), b"\x07\x08"))
    assert read_idx_folder(tmp_path)["train"][1].tolist() == [7, 8]


def test_folder_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no IDX files; expected pairs such as train-"):
        read_idx_folder(tmp_path)
    write_pair(tmp_path, "train", 2)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx(8, (3,), bytes(3))))
    with pytest.raises(ValueError, match=r"ubyte.gz has 3 labels; expected one for each of 2"):
        read_idx_folder(tmp_path)
    labels.write_bytes(gzip.compress(idx(8, (2, 1), bytes(2))))
    with pytest.raises(ValueError, match=r"has shape \(2, 1\); expected 1 dimensions"):
        read_idx_folder(tmp_path)
    labels.unlink()
    with pytest.raises(ValueError, match="has train-images-idx3-ubyte but no train-labels"):
        read_idx_folder(tmp_path)


def test_reads_real_mnist(mnist_10k: Path) -> None:
    images, labels = read_idx_folder(mnist_10k)["t10k"]
    assert images.shape == (10_000, 28, 28)
    assert images.dtype == labels.dtype == np.uint8
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # the published counts of the digits 0 to 9 in the test set
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(labels).tolist() == counts
    assert images.max() == 255
    assert np.all(images[:, 0, 0] == 0)
