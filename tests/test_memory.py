"""Where arrays that are updated in every step begin (mlpeak/_memory.py)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from mlpeak._memory import aligned_copy, aligned_empty, aligned_full


@pytest.mark.parametrize("shape", [(), (0,), (3,), (5, 7), (128, 64), (300, 301)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_arrays_begin_with_a_line(shape: tuple[int, ...], dtype: str) -> None:
    for _ in range(70):  # more than there are places
        array = aligned_empty(shape, dtype)
        assert array.shape == shape
        assert array.dtype == np.dtype(dtype)
        assert array.ctypes.data % 64 == 0 or array.size == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_contents_reach_from_end_to_end() -> None:
    x = np.arange(300 * 301, dtype=np.float64).reshape(300, 301)
    assert np.array_equal(aligned_copy(x, "float32"), x.astype("float32"))
    assert np.array_equal(aligned_copy(x.T, "float64"), x.T)
    assert np.all(aligned_full((300, 301), 2.5, "float32") == 2.5)


def test_large_arrays_that_follow_each_other_begin_at_different_places() -> None:
    places = [aligned_empty((256, 256), "float32").ctypes.data % 4096 for _ in range(64)]
    assert len(set(places)) == 64
    neighbours = {(b - a) % 4096 for a, b in pairwise(places)}
    assert neighbours == {25 * 64}
