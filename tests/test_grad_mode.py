"""Modes in which operations record, or do not."""

from __future__ import annotations

import threading

import pytest

from mlpeak import Tensor, enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tensor_cases import leaf


def test_grad_modes_nest_and_end() -> None:
    x = leaf(1)
    with no_grad():
        assert not is_grad_enabled()
        with enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    with inference_mode():
        assert not (x * 2).requires_grad
    with set_grad_enabled(False):
        assert not is_grad_enabled()
    assert is_grad_enabled()
    set_grad_enabled(False)
    assert not is_grad_enabled()
    set_grad_enabled(True)
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert is_grad_enabled()


def test_grad_modes_decorate() -> None:
    x = leaf(1)

    @no_grad()
    def with_brackets() -> Tensor:
        return x * 2

    @no_grad
    def without_brackets() -> Tensor:
        return x * 2

    @inference_mode()
    def inference() -> Tensor:
        return x * 2

    for function in (with_brackets, without_brackets, inference):
        assert not function().requires_grad
    assert with_brackets.__name__ == "with_brackets"


def test_grad_mode_belongs_to_the_thread() -> None:
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]
