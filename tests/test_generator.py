"""Generators: seeds, steps and states."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from mlpeak import _random
from mlpeak._random import Generator


def test_next_counts_the_calls() -> None:
    generator = Generator(7)
    assert [generator.next() for _ in range(3)] == [(7, 0), (7, 1), (7, 2)]
    assert generator.manual_seed(8) is generator
    assert generator.next() == (8, 0)
    assert generator.initial_seed() == 8


def test_state_continues_where_it_was_taken() -> None:
    generator = Generator(7)
    generator.next()
    state = generator.get_state()
    expected = [generator.next(), generator.next()]
    assert generator.set_state(state) is generator
    assert [generator.next(), generator.next()] == expected
    for other in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        assert other.get_state() == generator.get_state()


@pytest.mark.parametrize(
    ("seed", "stored"), [(0, 0), (2**64 - 1, 2**64 - 1), (-1, 2**64 - 1), (np.int64(3), 3)]
)
def test_seeds(seed: Any, stored: int) -> None:
    assert Generator(seed).initial_seed() == stored


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (1.0, TypeError, "seed is float; expected an integer"),
        (None, TypeError, "seed is NoneType"),
        (2**64, ValueError, "seed is 18446744073709551616; expected an integer in"),
        (-(2**63) - 1, ValueError, "seed is -9223372036854775809"),
    ],
)
def test_refuses_a_seed_and_keeps_its_own(seed: Any, error: type[Exception], message: str) -> None:
    generator = Generator(5)
    generator.next()
    with pytest.raises(error, match=f"^manual_seed: {message}"):
        generator.manual_seed(seed)
    assert generator.get_state() == (5, 1)


@pytest.mark.parametrize(
    ("state", "error"),
    [(3, TypeError), ((1,), TypeError), ((1, 2.0), TypeError), ((1, -1), ValueError)],
)
def test_refuses_a_state(state: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^set_state: state is "):
        Generator().set_state(state)


def test_seeds_of_the_system_differ() -> None:
    generator = Generator()
    assert generator.seed() != generator.seed()
    assert 0 <= generator.initial_seed() < 2**64


def test_default_generator() -> None:
    before = _random.get_rng_state()
    try:
        assert _random.manual_seed(11) is _random.default_generator
        assert _random.initial_seed() == 11
        assert _random.default_generator.next() == (11, 0)
        assert _random.get_rng_state() == (11, 1)
        assert _random.seed() == _random.initial_seed()
    finally:
        _random.set_rng_state(before)


def test_streams_are_distinct() -> None:
    streams = [_random.TENSOR, _random.INIT, _random.DROPOUT, _random.SHUFFLE, _random.SPLIT]
    assert len(set(streams)) == len(streams)
