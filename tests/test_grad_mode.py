"""Modes in which operations record, or do not."""

from __future__ import annotations

import threading
from collections.abc import Generator

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

    @inference_mode
    def plain_inference() -> Tensor:
        return x * 2

    for function in (with_brackets, without_brackets, inference, plain_inference):
        assert not function().requires_grad
    assert with_brackets.__name__ == "with_brackets"

    @enable_grad
    def recording() -> Tensor:
        return x * 2

    with no_grad():
        assert recording().requires_grad


@pytest.mark.parametrize("enabled", [False, True])
def test_set_grad_enabled_as_a_decorator_changes_the_function_alone(enabled: bool) -> None:
    @set_grad_enabled(enabled)
    def recording() -> bool:
        return is_grad_enabled()

    assert is_grad_enabled()
    assert recording() is enabled
    assert is_grad_enabled()
    with no_grad():
        assert recording() is enabled
        assert not is_grad_enabled()


def test_a_decorated_generator_runs_in_the_mode_and_its_caller_does_not() -> None:
    seen = []

    @no_grad()
    def numbers(n: int) -> Generator[bool, str, str]:
        try:
            for _ in range(n):
                try:
                    seen.append((yield is_grad_enabled()))
                except KeyError:
                    seen.append("thrown")
            return "end"
        finally:
            seen.append(f"closed {is_grad_enabled()}")

    assert list(numbers(2)) == [False, False]
    assert is_grad_enabled()
    running = numbers(5)
    assert next(running) is False
    assert is_grad_enabled()
    assert running.send("sent") is False
    assert running.throw(KeyError()) is False
    running.close()
    assert seen == [None, None, "closed False", "sent", "thrown", "closed False"]
    assert is_grad_enabled()

    def outer() -> Generator[bool, str, None]:
        seen.append((yield from numbers(1)))

    assert list(outer()) == [False]
    assert seen[-1] == "end"
    with pytest.raises(ZeroDivisionError):
        numbers(1).throw(ZeroDivisionError())


def test_grad_mode_belongs_to_the_thread() -> None:
    seen = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]
