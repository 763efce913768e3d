"""Datasets: numbered samples, all in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlpeak import _random, kernels

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor

Sample = TypeVar("Sample", covariant=True)


class Dataset(Generic[Sample]):
    """What a `DataLoader` draws from: subclasses define ``__getitem__`` and ``__len__``."""

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__")


class TensorDataset(Dataset["tuple[Tensor, ...]"]):
    """Tensors whose first dimension counts the samples.

    Parameters
    ----------
    *tensors : Tensor or ndarray
        At least one, of any dtypes and shapes ``(samples, ...)``. Memory is shared, not copied.

    Attributes
    ----------
    tensors : tuple of Tensor
        The tensors, arrays as tensors.

    Raises
    ------
    TypeError
        If an argument is neither a tensor nor an array.
    ValueError
        If there is none, one has no dimension, or they have different numbers of samples.

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak.data import TensorDataset
    >>> len(TensorDataset(np.zeros((5, 2), np.float32), np.arange(5)))
    5
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor | NDArray[Any]) -> None:
        from mlpeak._from_data import from_numpy
        from mlpeak._tensor import Tensor

        if not tensors:
            raise ValueError("TensorDataset: tensors is empty; expected at least one")
        checked: list[Tensor] = []
        for i, tensor in enumerate(tensors):
            if isinstance(tensor, np.ndarray):
                tensor = from_numpy(tensor)
            if not isinstance(tensor, Tensor):
                raise TypeError(
                    f"TensorDataset: tensors[{i}] is {type(tensor).__name__}; "
                    "expected a Tensor or a numpy.ndarray"
                )
            if not tensor.shape:
                raise ValueError(
                    f"TensorDataset: tensors[{i}] has shape (); expected (samples, ...)"
                )
            if checked and tensor.shape[0] != checked[0].shape[0]:
                raise ValueError(
                    f"TensorDataset: tensors[{i}] has {tensor.shape[0]} samples; "
                    f"expected {checked[0].shape[0]}, as in tensors[0]"
                )
            checked.append(tensor)
        self.tensors = tuple(checked)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


class Subset(Dataset[Sample]):
    """Some samples of another dataset.

    Parameters
    ----------
    dataset : Dataset
        Where the samples are.
    indices : sequence of int
        Which of them, in which order; each in [0, len(dataset)).

    Raises
    ------
    ValueError
        If an index is out of range.
    """

    def __init__(self, dataset: Dataset[Sample], indices: Sequence[int] | NDArray[Any]) -> None:
        numbers = np.asarray(indices)
        if numbers.size == 0:
            numbers = numbers.astype(np.int64)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise TypeError(
                f"Subset: indices has dtype {numbers.dtype} and shape {numbers.shape}; "
                "expected integers in one dimension"
            )
        wrong = numbers[(numbers < 0) | (numbers >= len(dataset))]
        if wrong.size:
            raise ValueError(
                f"Subset: indices holds {wrong[0]}; samples are in [0, {len(dataset)})"
            )
        self.dataset = dataset
        self.indices: NDArray[np.int64] = numbers.astype(np.int64)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[int(self.indices[index])]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Dataset[Sample],
    lengths: Sequence[int | float],
    generator: _random.Generator | None = None,
) -> list[Subset[Sample]]:
    """Split a dataset into parts that share no sample, at random.

    Parameters
    ----------
    dataset : Dataset
        What to split.
    lengths : sequence of int or of float
        Numbers of samples that sum to ``len(dataset)``; or shares that sum to 1, each rounded down,
        with the samples left over given one each to the parts from the first on.
    generator : Generator, optional
        What draws; by default the one of `mlpeak.manual_seed`.

    Returns
    -------
    list of Subset
        One a length.

    Raises
    ------
    ValueError
        If a length is negative, or they do not sum to ``len(dataset)`` or 1.

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak.data import TensorDataset, random_split
    >>> [len(part) for part in random_split(TensorDataset(np.arange(10)), [0.75, 0.25])]
    [8, 2]
    """
    n = len(dataset)
    if any(not length >= 0 for length in lengths):
        raise ValueError(f"random_split: lengths is {list(lengths)}; expected none below 0")
    if sum(lengths) != n and math.isclose(sum(lengths), 1):
        counts = [math.floor(n * share) for share in lengths]
        for i in range(n - sum(counts)):
            counts[i % len(counts)] += 1
    elif sum(lengths) == n and all(int(length) == length for length in lengths):
        counts = [int(length) for length in lengths]
    else:
        raise ValueError(
            f"random_split: lengths is {list(lengths)}; expected whole numbers that sum to "
            f"{n}, the number of samples, or shares that sum to 1"
        )
    seed, step = (generator or _random.default_generator).next()
    order = kernels.permutation(n, seed=seed, stream=_random.SPLIT, step=step)
    ends = np.cumsum(counts)
    return [
        Subset(dataset, order[end - count : end]) for count, end in zip(counts, ends, strict=True)
    ]
