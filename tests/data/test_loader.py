"""Batches come in order from a thread; it ends with the block, and its errors arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from hornbook.data import Batch
from hornbook.data.loader import BatchLoader

CPU = torch.device("cpu")


def step(number: int) -> list[Batch]:
    tokens = torch.full((2, 3), number)
    return [Batch(tokens, tokens + 1, real_targets=6)]


def gathering_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("hornbook-read")]


def test_steps_come_in_order_and_then_no_more() -> None:
    with BatchLoader((step(n) for n in range(20)), CPU) as loader:
        assert [int(loader.next_step()[0].tokens[0, 0]) for _ in range(20)] == list(range(20))
        with pytest.raises(StopIteration):
            loader.next_step()
        assert loader.waited > 0
    assert not gathering_threads()


def test_only_so_many_steps_are_gathered_ahead() -> None:
    begun: list[int] = []
    enough = threading.Event()

    def steps() -> Iterator[list[Batch]]:
        for number in range(100):
            begun.append(number)
            if number == 2:
                enough.set()
            yield step(number)

    with BatchLoader(steps(), CPU, ready=2) as loader:
        loader.next_step()
        assert enough.wait(timeout=30)
        loader.next_step()
    assert len(begun) <= 4
    assert not gathering_threads()


def test_an_error_arrives_where_its_step_would_have_come() -> None:
    def steps() -> Iterator[list[Batch]]:
        yield step(0)
        yield step(1)
        raise OSError("the disk is gone")

    with (
        pytest.raises(OSError, match="the disk is gone"),
        BatchLoader(steps(), CPU) as loader,
    ):
        assert len(loader.next_step()) == len(loader.next_step()) == 1
        loader.next_step()
    assert not gathering_threads()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whatever_ends_training_ends_the_thread(error: type[BaseException]) -> None:
    with pytest.raises(error), BatchLoader((step(n) for n in range(10**9)), CPU) as loader:
        loader.next_step()
        raise error
    assert not gathering_threads()


def test_nothing_runs_before_the_first_step_is_asked_for() -> None:
    with BatchLoader((step(n) for n in range(3)), CPU):
        pass
    assert not gathering_threads()
