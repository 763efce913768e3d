"""Datasets in memory, splits of them, and the batches that a loader draws."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlpeak import _core, _random, kernels, set_num_threads
from mlpeak._from_data import from_numpy
from mlpeak._tensor import Tensor
from mlpeak.data import (
    DataLoader,
    Dataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
    read_idx_folder,
)

Array = NDArray[Any]


def numbered(n: int, features: int = 3) -> tuple[Array, Array]:
    """Sample i has features i, i + 0.25 ... and target i."""
    x = np.arange(n, dtype=np.float32)[:, None] + np.arange(features, dtype=np.float32) / 4
    return x, np.arange(n)


def targets(loader: DataLoader) -> list[int]:
    return [int(i) for _, y in loader for i in y.numpy()]


# ---- datasets ----


def test_tensor_dataset_shares_memory_and_gives_samples() -> None:
    x, y = numbered(5)
    dataset = TensorDataset(x, from_numpy(y))
    assert len(dataset) == 5
    assert all(isinstance(tensor, Tensor) for tensor in dataset.tensors)
    assert np.shares_memory(dataset.tensors[0].numpy(), x)
    features, target = dataset[3]
    assert np.array_equal(features.numpy(), x[3])
    assert target.item() == 3


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ((), ValueError, "tensors is empty; expected at least one"),
        (([1, 2],), TypeError, r"tensors\[0\] is list; expected a Tensor or a numpy.ndarray"),
        ((np.float32(1) + np.zeros(()),), TypeError, r"tensors\[0\] is float64"),
        ((np.zeros(3), np.zeros(())), ValueError, r"tensors\[1\] has shape \(\)"),
        ((np.zeros((3, 2)), np.zeros(4)), ValueError, r"tensors\[1\] has 4 samples; expected 3"),
    ],
)
def test_tensor_dataset_refuses(
    tensors: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^TensorDataset: {message}"):
        TensorDataset(*tensors)


def test_subset_maps_indices_also_of_subsets() -> None:
    dataset = TensorDataset(*numbered(10))
    subset = Subset(dataset, [7, 2, 2, 9])
    inner = Subset(subset, np.array([3, 0]))
    assert [subset[i][1].item() for i in range(len(subset))] == [7, 2, 2, 9]
    assert [inner[i][1].item() for i in range(len(inner))] == [9, 7]
    assert targets(DataLoader(subset, 3)) == [7, 2, 2, 9]
    assert targets(DataLoader(inner, 3)) == [9, 7]
    assert len(Subset(dataset, [])) == 0


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([0, 10], ValueError, r"indices holds 10; samples are in \[0, 10\)"),
        ([-1], ValueError, "indices holds -1"),
        ([0.5], TypeError, "indices has dtype float64"),
        ([[0, 1]], TypeError, r"indices has dtype int64 and shape \(1, 2\)"),
    ],
)
def test_subset_refuses(indices: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^Subset: {message}"):
        Subset(TensorDataset(np.zeros(10)), indices)


@pytest.mark.parametrize("lengths", [[7, 3], [10], [0, 10], [4, 3, 2, 1], [0.75, 0.25], [0.5, 0.5]])
def test_random_split_shares_no_sample(lengths: list[Any]) -> None:
    dataset = TensorDataset(*numbered(10))
    parts = random_split(dataset, lengths, _random.Generator(3))
    indices = np.concatenate([part.indices for part in parts])
    assert sorted(indices) == list(range(10))
    again = random_split(dataset, lengths, _random.Generator(3))
    assert np.array_equal(indices, np.concatenate([part.indices for part in again]))
    other = random_split(dataset, lengths, _random.Generator(4))
    assert not np.array_equal(indices, np.concatenate([part.indices for part in other]))


@pytest.mark.parametrize("n", [10, 11, 12, 99, 103])
@pytest.mark.parametrize("shares", [[0.8, 0.2], [0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3], [0.5] * 2])
def test_random_split_rounds_shares_as_torch_does(n: int, shares: list[float]) -> None:
    pytest.importorskip("torch")
    import torch
    from torch.utils import data as torch_data

    expected = torch_data.random_split(torch_data.TensorDataset(torch.zeros(n)), shares)
    parts = random_split(TensorDataset(np.zeros(n)), shares)
    assert [len(part) for part in parts] == [len(part) for part in expected]


@pytest.mark.parametrize("lengths", [[5, 6], [-1, 11], [0.5, 0.6], [5.5, 4.5], [], [float("nan")]])
def test_random_split_refuses_lengths_that_do_not_sum_up(lengths: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"^random_split: lengths is "):
        random_split(TensorDataset(np.zeros(10)), lengths)


# ---- batches ----


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 8, 17])
def test_batches_in_order(n: int, drop_last: bool) -> None:
    x, y = numbered(n)
    loader = DataLoader(TensorDataset(x, y), batch_size=4, drop_last=drop_last)
    batches = list(loader)
    kept = n // 4 * 4 if drop_last else n
    assert len(batches) == len(loader) == (kept + 3) // 4
    assert all(type(batch) is list and len(batch) == 2 for batch in batches)
    assert [batch[0].shape[0] for batch in batches] == [min(4, kept - i) for i in range(0, kept, 4)]
    if batches:
        assert np.array_equal(np.concatenate([b[0].numpy() for b in batches]), x[:kept])
        assert np.array_equal(np.concatenate([b[1].numpy() for b in batches]), y[:kept])


DTYPES = [np.float32, np.float64, np.uint8, np.int8, np.int16, np.int32, np.int64, np.bool_]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 5)])
def test_batches_keep_dtype_and_shape(dtype: type, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 2, size=(10, *shape)).astype(dtype)
    for source in (x, np.repeat(x, 2, axis=0)[::2]):  # contiguous or not
        (batch,) = next(iter(DataLoader(TensorDataset(source), 4, shuffle=True, seed=1)))
        order = kernels.permutation(10, seed=1, stream=_random.SHUFFLE, step=0)
        assert batch.dtype == dtype
        assert np.array_equal(batch.numpy(), x[order[:4]])


def test_batches_share_no_memory_with_the_dataset() -> None:
    x, y = numbered(4)
    for batch, _ in DataLoader(TensorDataset(x, y), 4):
        batch.numpy()[...] = -1
    assert np.array_equal(x, numbered(4)[0])


def test_batches_equal_torchs_in_order() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils import data as torch_data

    x, y = numbered(10)
    torchs = torch_data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    for drop_last in (False, True):
        expected = list(torch_data.DataLoader(torchs, batch_size=4, drop_last=drop_last))
        batches = list(DataLoader(TensorDataset(x, y), batch_size=4, drop_last=drop_last))
        assert len(batches) == len(expected)
        for ours, other in zip(batches, expected, strict=True):
            assert type(ours) is type(other)
            assert all(
                np.array_equal(a.numpy(), b.numpy()) for a, b in zip(ours, other, strict=True)
            )


def test_every_epoch_has_every_sample_once_in_its_own_order() -> None:
    loader = DataLoader(TensorDataset(*numbered(100)), 7, shuffle=True, seed=5)
    epochs = [targets(loader) for _ in range(3)]
    assert all(sorted(epoch) == list(range(100)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert loader.epoch == 3


def test_seed_and_epoch_decide_the_order() -> None:
    dataset = TensorDataset(*numbered(50))
    first = DataLoader(dataset, 8, shuffle=True, seed=5)
    epochs = [targets(first) for _ in range(3)]
    _random.default_generator.next()  # whatever else draws does not matter
    again = DataLoader(dataset, 16, shuffle=True, seed=5)
    assert [targets(again) for _ in range(3)] == epochs
    resumed = DataLoader(dataset, 8, shuffle=True, seed=5)
    resumed.epoch = 2
    assert targets(resumed) == epochs[2]
    assert targets(DataLoader(dataset, 8, shuffle=True, seed=6)) != epochs[0]


def test_generator_decides_the_order() -> None:
    dataset = TensorDataset(*numbered(50))
    loader = DataLoader(dataset, 8, shuffle=True, generator=_random.Generator(9))
    epochs = [targets(loader), targets(loader)]
    assert epochs[0] != epochs[1]
    loader = DataLoader(dataset, 8, shuffle=True, generator=_random.Generator(9))
    assert [targets(loader), targets(loader)] == epochs


def test_manual_seed_decides_the_order() -> None:
    loader = DataLoader(TensorDataset(*numbered(50)), 8, shuffle=True)
    state = _random.get_rng_state()
    try:
        _random.manual_seed(3)
        epochs = [targets(loader), targets(loader)]
        _random.manual_seed(3)
        assert [targets(loader), targets(loader)] == epochs
    finally:
        _random.set_rng_state(state)


def test_unshuffled_epochs_draw_nothing() -> None:
    before = _random.get_rng_state()
    targets(DataLoader(TensorDataset(*numbered(5))))
    assert _random.get_rng_state() == before


def test_two_iterators_do_not_disturb_each_other() -> None:
    loader = DataLoader(TensorDataset(*numbered(20)), 4, shuffle=True, seed=1)
    both = list(zip(loader, loader, strict=True))
    other = DataLoader(TensorDataset(*numbered(20)), 4, shuffle=True, seed=1)
    for column in zip(*both, strict=True):
        assert [int(i) for _, y in column for i in y.numpy()] == targets(other)


def test_same_batches_on_every_tier_and_number_of_threads() -> None:
    dataset = TensorDataset(*numbered(3000, 65))
    before, seen = _core.tier(), set()
    try:
        for tier, threads in itertools.product(_core.tiers(), [1, 2, 4]):
            _core.select_tier(tier)
            set_num_threads(threads)
            loader = DataLoader(dataset, 1024, shuffle=True, seed=2)
            seen.add(b"".join(x.numpy().tobytes() + y.numpy().tobytes() for x, y in loader))
    finally:
        _core.select_tier(before)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"dataset": 3}, TypeError, "dataset is int; expected an object with __getitem__"),
        ({"batch_size": 0}, ValueError, "batch_size is 0; expected at least 1"),
        ({"batch_size": 1.5}, TypeError, "batch_size is float; expected an integer"),
        ({"seed": 1, "generator": _random.Generator(1)}, ValueError, "seed and generator are both"),
        ({"generator": np.random.default_rng(1)}, TypeError, "generator is Generator; expected ml"),
    ],
)
def test_loader_refuses(kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^DataLoader: {message}"):
        DataLoader(**{"dataset": [1, 2], **kwargs})


# ---- samples one by one ----


class Squares(Dataset[Any]):
    """A dataset of one's own, as a script written for torch has it."""

    def __getitem__(self, index: int) -> Any:
        return from_numpy(np.full(2, index, np.float32)), index * index

    def __len__(self) -> int:
        return 5


def test_a_dataset_of_ones_own() -> None:
    x, y = list(DataLoader(Squares(), batch_size=3))[1]
    assert x.numpy().tolist() == [[3, 3], [4, 4]]
    assert y.dtype == np.int64
    assert y.numpy().tolist() == [9, 16]
    half = Subset(Squares(), [4, 0])
    assert next(iter(DataLoader(half, 2)))[1].numpy().tolist() == [16, 0]


def test_a_dataset_that_changes_samples_of_another() -> None:
    class Doubled(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            x, y = super().__getitem__(index)
            return from_numpy(2 * x.numpy()), y

    x, y = numbered(4)
    assert np.array_equal(next(iter(DataLoader(Doubled(x, y), 4)))[0].numpy(), 2 * x)


def test_samples_in_a_list() -> None:
    loader = DataLoader([(np.zeros(2), 1.5, "a"), (np.ones(2), 2.5, "b")], batch_size=2)
    ((x, y, name),) = loader
    assert x.numpy().tolist() == [[0, 0], [1, 1]]
    assert y.numpy().tolist() == [1.5, 2.5]
    assert name == ["a", "b"]
    batch = default_collate([{"x": True, "y": np.int64(3)}, {"x": False, "y": np.int64(4)}])
    assert batch["x"].numpy().tolist() == [True, False]
    assert batch["y"].numpy().tolist() == [3, 4]


def test_samples_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(TypeError, match=r"^default_collate: a sample is object; expected tensors"):
        default_collate([object()])
    with pytest.raises(ValueError, match=r"^default_collate: samples differ in length"):
        default_collate([(1, 2), (1, 2, 3)])


def test_torchs_module_name() -> None:
    from mlpeak.utils.data import DataLoader as Loader
    from mlpeak.utils.data import TensorDataset as Tensors

    assert Loader is DataLoader
    assert Tensors is TensorDataset


def test_real_images_in_batches(mnist_10k: Path) -> None:
    images, labels = read_idx_folder(mnist_10k)["t10k"]
    loader = DataLoader(TensorDataset(images, labels), 256, shuffle=True, seed=1)
    assert len(loader) == 40
    order = kernels.permutation(10_000, seed=1, stream=_random.SHUFFLE)
    for i, (x, y) in enumerate(loader):
        rows = order[i * 256 : (i + 1) * 256]
        assert np.array_equal(x.numpy(), images[rows])
        assert np.array_equal(y.numpy(), labels[rows])
