"""Sources that are arrays already: the digits, folders of IDX files, NumPy archives."""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mlpeak import kernels
from mlpeak._extras import missing_extra
from mlpeak.tables.columns import LARGEST, SMALLEST, standardise
from mlpeak.tables.target import Values

BLOCK_ROWS = 4096
IDX_PARTS = ("train", "t10k")
Pair = tuple[NDArray[Any], Values]


@dataclass(frozen=True)
class ArrayPreprocessing:
    """Features of an array: (x - mean) / scale, each one number or one a feature.

    Attributes
    ----------
    in_features : int
        The number of values of a row, after flattening.
    pixels : bool
        Whether the rows are 8-bit pixels; then only integers are accepted later.
    """

    kind: ClassVar[str] = "array"
    in_features: int
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    pixels: bool = False

    @classmethod
    def fit(cls, x: NDArray[Any]) -> ArrayPreprocessing:
        """Standardise each feature, or all as one where they are pixels (uint8).

        A pixel that is hardly ever lit would be blown up if it were standardised by itself.
        """
        flat = flatten(x)
        if x.dtype == np.uint8:
            return cls(flat.shape[1], *_pixel_statistics(flat), pixels=True)
        values = np.ascontiguousarray(flat, np.float64)
        constant = values.min(axis=0) == values.max(axis=0)
        mean = np.where(constant, values[0], kernels.mean(values, axis=0))
        deviations = values - mean
        largest = np.abs(deviations).max(axis=0)
        unit = np.where(~constant & (largest < SMALLEST), largest, 1.0)
        variance = kernels.mean((deviations / unit) ** 2, axis=0)
        scale = np.where(constant, 1.0, unit * np.sqrt(variance))
        return cls(flat.shape[1], tuple(mean.tolist()), tuple(scale.tolist()))

    def transform(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Return the features, shape (rows, in_features).

        Raises
        ------
        ValueError
            If rows have another number of values, real numbers come where pixels are expected, or
            a value is too far from those in training for float32.
        """
        flat = flatten(x)
        if flat.shape[1] != self.in_features:
            raise ValueError(
                f"a row has {flat.shape[1]} values; the model was trained on {self.in_features}"
            )
        if self.pixels and x.dtype.kind not in "iu":
            raise ValueError(f"the model was trained on 8-bit pixels; here x is {x.dtype}")
        mean, scale = np.array(self.mean), np.array(self.scale)
        out = np.empty(flat.shape, np.float32)
        # by blocks: the float64 between would be eight times the size of an image file
        for start in range(0, len(flat), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            out[block] = standardise(flat[block], mean, scale, "x")
        return out

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "kind": self.kind,
            "in_features": self.in_features,
            "mean": list(self.mean),
            "scale": list(self.scale),
            "pixels": self.pixels,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> ArrayPreprocessing:
        """Undo `to_json`."""
        return cls(
            fields["in_features"], tuple(fields["mean"]), tuple(fields["scale"]), fields["pixels"]
        )


def _pixel_statistics(pixels: NDArray[np.uint8]) -> tuple[tuple[float], tuple[float]]:
    """Return mean and deviation of all pixels, from integer sums and therefore exact."""
    counts: list[int] = np.bincount(pixels.ravel(), minlength=256).tolist()
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value * value * count for value, count in enumerate(counts))
    n = pixels.size
    return (total / n,), (math.sqrt((n * squares - total * total) / (n * n)) or 1.0,)


def flatten(x: NDArray[Any]) -> NDArray[Any]:
    """Return x as (rows, values), refusing what is not numbers, not finite or beyond LARGEST."""
    if x.dtype.kind not in "biuf":
        raise ValueError(f"x has dtype {x.dtype}; expected numbers")
    if x.ndim == 0 or x.size == 0:
        raise ValueError(f"x has shape {x.shape}; expected rows of at least one value")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise ValueError(f"x has {int((~np.isfinite(x)).sum())} values that are NaN or infinite")
    if x.dtype.kind == "f" and np.abs(x).max() > LARGEST:
        raise ValueError(f"x holds values beyond {LARGEST:g}")
    return x.reshape(len(x), -1)


def load_digits() -> Pair:
    """Return the 1,797 handwritten digits of scikit-learn, 8x8 pixels from 0 to 16 as uint8."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise missing_extra("scikit-learn", "sklearn", "the source digits") from error
    x, y = datasets.load_digits(return_X_y=True)
    return np.asarray(x, np.uint8), np.asarray(y, np.int64)


def load_idx_folder(folder: Path) -> dict[str, Pair]:
    """Return the image and label pairs of a folder by part, "train" and "t10k"."""
    from mlpeak.data import read_idx

    pairs: dict[str, Pair] = {}
    for part in IDX_PARTS:
        images = _idx_file(folder, f"{part}-images")
        labels = _idx_file(folder, f"{part}-labels")
        if (images is None) != (labels is None):
            found, lacking = ("images", "labels") if images else ("labels", "images")
            raise ValueError(f"{folder} has {part}-{found} but no {part}-{lacking}")
        if images is not None and labels is not None:
            pairs[part] = checked_pair(read_idx(images), read_idx(labels), str(folder))
    if not pairs:
        raise ValueError(
            f"{folder} has no IDX files; expected train-images-idx3-ubyte and "
            "train-labels-idx1-ubyte, or t10k-images... and t10k-labels..., each also with .gz"
        )
    return pairs


def _idx_file(folder: Path, stem: str) -> Path | None:
    files = sorted(
        path
        for path in folder.glob(f"{stem}*")
        if path.is_file() and path.name.removesuffix(".gz").endswith(("ubyte", ".idx"))
    )
    return files[0] if files else None


def load_archive(path: Path) -> tuple[Pair, Pair | None]:
    """Return the pair to train on and, if the archive has one, the pair to test on.

    The arrays are called x or X and y, or x_train, y_train, x_test and y_test.
    """
    arrays = _read_archive(path)
    pair = _pair(arrays, "", path) or _pair(arrays, "_train", path)
    if pair is None:
        raise ValueError(
            f"{path} has the arrays {', '.join(sorted(arrays)) or 'none'}; expected x and y, or "
            "x_train and y_train with or without x_test and y_test"
        )
    return pair, _pair(arrays, "_test", path)


def load_archive_rows(path: Path) -> tuple[NDArray[Any], Values | None]:
    """Return the rows of an archive to predict for, with their target if it is there."""
    arrays = _read_archive(path)
    pair = _pair(arrays, "", path) or _pair(arrays, "_test", path)
    if pair is not None:
        return pair
    for name in ("x", "X", "x_test", "X_test"):
        if name in arrays:
            return arrays[name], None
    raise ValueError(f"{path} has the arrays {', '.join(sorted(arrays)) or 'none'}; expected x")


def _read_archive(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        # pickled objects would run code
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it holds one array without a name, as an .npy file does")
        with archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as a NumPy archive: {error}") from error


def _pair(arrays: dict[str, NDArray[Any]], suffix: str, path: Path) -> Pair | None:
    x = next((arrays[key + suffix] for key in ("x", "X") if key + suffix in arrays), None)
    y = next((arrays[key + suffix] for key in ("y", "Y") if key + suffix in arrays), None)
    return None if x is None or y is None else checked_pair(x, y, str(path))


def checked_pair(x: NDArray[Any], y: NDArray[Any], where: str) -> Pair:
    """Refuse a target that is not one finite number or label for each row of x."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if x.ndim == 0 or y.shape != (len(x),):
        raise ValueError(
            f"{where}: x has shape {x.shape} and y {y.shape}; expected one y for each row of x"
        )
    if y.dtype.kind not in "biufU":
        raise ValueError(f"{where}: y has dtype {y.dtype}; expected numbers, booleans or text")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"{where}: y has {int((~np.isfinite(y)).sum())} NaN or infinite values")
    return x, y
