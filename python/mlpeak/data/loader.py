"""Batches of a dataset, in order or shuffled."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpeak import _random, kernels
from mlpeak.data.datasets import Dataset, Subset, TensorDataset


class DataLoader:
    """Iterate over a dataset in batches; every ``iter`` is an epoch.

    Parameters
    ----------
    dataset : Dataset
        A `TensorDataset` or a `Subset` of one gives batches gathered by the compiled kernel; any
        other object with ``__getitem__`` and ``__len__`` is asked for its samples one by one, which
        `default_collate` puts together.
    batch_size : int
        Samples in a batch, at least 1.
    shuffle : bool
        Draw a new order each epoch.
    drop_last : bool
        Leave out the last batch where it is not full.
    seed : int, optional
        The order of epoch e is a function of (seed, e) alone, e counted in `epoch`.
    generator : Generator, optional
        Each epoch takes its order from the next step of this generator; by default from the one of
        `mlpeak.manual_seed`. Not together with `seed`.
    num_workers, pin_memory
        Accepted so that scripts written for torch run; data in memory has no use for them.

    Attributes
    ----------
    epoch : int
        Epochs begun so far. Set it to resume a seeded loader.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from mlpeak.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(np.arange(5), np.ones((5, 2))), batch_size=2)
    >>> [x.shape[0] for x, y in loader]
    [2, 2, 1]
    """

    def __init__(
        self,
        dataset: Dataset[Any] | Sequence[Any],
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        drop_last: bool = False,
        seed: int | None = None,
        generator: _random.Generator | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise TypeError(
                f"DataLoader: dataset is {type(dataset).__name__}; "
                "expected an object with __getitem__ and __len__"
            )
        try:
            batch_size = operator.index(batch_size)
        except TypeError:
            raise TypeError(
                f"DataLoader: batch_size is {type(batch_size).__name__}; expected an integer"
            ) from None
        if batch_size < 1:
            raise ValueError(f"DataLoader: batch_size is {batch_size}; expected at least 1")
        if seed is not None and generator is not None:
            raise ValueError("DataLoader: seed and generator are both given; expected one of them")
        if generator is not None and not isinstance(generator, _random.Generator):
            raise TypeError(
                f"DataLoader: generator is {type(generator).__name__}; expected mlpeak.Generator"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self.seed = None if seed is None else _random.Generator(seed).initial_seed()
        self.generator = generator
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        order = self._order()
        self.epoch += 1
        return self._batches(order)

    def _order(self) -> NDArray[np.int64]:
        n = len(self.dataset)
        if not self.shuffle:
            return np.arange(n, dtype=np.int64)
        if self.seed is not None:
            seed, step = self.seed, self.epoch
        else:
            seed, step = (self.generator or _random.default_generator).next()
        return kernels.permutation(n, seed=seed, stream=_random.SHUFFLE, step=step)

    def _batches(self, order: NDArray[np.int64]) -> Iterator[Any]:
        for i in range(len(self)):
            yield _batch(self.dataset, order[i * self.batch_size : (i + 1) * self.batch_size])


def _batch(dataset: Dataset[Any] | Sequence[Any], indices: NDArray[np.int64]) -> Any:
    from mlpeak._from_data import from_numpy

    if type(dataset) is Subset:
        return _batch(dataset.dataset, dataset.indices[indices])
    if type(dataset) is TensorDataset:
        return [from_numpy(_gather(t.detach().numpy(), indices)) for t in dataset.tensors]
    return default_collate([dataset[int(i)] for i in indices])


def _gather(x: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[Any]:
    # the kernel would first copy the whole of an array that is not contiguous
    return kernels.gather_rows(x, indices) if x.flags.c_contiguous else x[indices]


def default_collate(samples: Sequence[Any]) -> Any:
    """Put samples together into a batch.

    Parameters
    ----------
    samples : sequence
        At least one. Tensors, arrays and numbers become a tensor with the samples along a new first
        dimension; tuples, lists and dictionaries of them a list or dictionary of batches; strings
        stay a list.

    Returns
    -------
    Tensor, list or dict
        The batch.

    Raises
    ------
    TypeError
        If samples are of another type.
    """
    from mlpeak._from_data import from_numpy
    from mlpeak._tensor import Tensor

    first = samples[0]
    if isinstance(first, Tensor):
        return from_numpy(np.stack([sample.detach().numpy() for sample in samples]))
    if isinstance(first, (np.ndarray, np.generic, bool, int, float)):
        return from_numpy(np.stack([np.asarray(sample) for sample in samples]))
    if isinstance(first, str):
        return list(samples)
    if isinstance(first, dict):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in samples):
            raise ValueError("default_collate: samples differ in length; expected equal lengths")
        return [default_collate(parts) for parts in zip(*samples, strict=True)]
    raise TypeError(
        f"default_collate: a sample is {type(first).__name__}; expected tensors, arrays, numbers, "
        "strings, or tuples, lists or dictionaries of them"
    )
