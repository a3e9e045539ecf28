"""Memory that is kept: told to the C library where that can be, and given back in the end."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from hornbook.training import allocation
from hornbook.training.allocation import memory_kept

# In a process of its own: what other tests left in memory decides what a new tensor fetches.
COUNTED = """
import resource
import torch
from hornbook.training.allocation import memory_kept

def fetched_by_tensors(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.zeros(1 << 22)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with memory_kept() as kept:
    fetched_by_tensors(8)
    again = fetched_by_tensors(8)
print(kept, again, fetched_by_tensors(8), fetched_by_tensors(8))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a way of Linux")
def test_a_tensor_that_comes_again_has_its_pages_already() -> None:
    command = [sys.executable, "-c", COUNTED]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if told[0] != "True":
        pytest.skip("another C library")
    again, afterwards, later = map(int, told[1:])
    # Something small may have come to lie in the way, so that one tensor of eight is new; the size
    # of a page differs between machines, so that only the two counts can be compared.
    assert again * 2 < afterwards
    # What comes after is no worse off than if nobody had ever told the library anything.
    assert later * 2 < afterwards


def test_it_is_put_back_after_an_error_and_left_alone_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, name: int, value: int) -> int:
            told.append((name, value))
            return 1

        def malloc_trim(self, pad: int) -> int:
            told.append((0, pad))
            return 1

    monkeypatch.setattr(allocation, "_c_library", Library)
    with pytest.raises(ZeroDivisionError), memory_kept():
        assert len(told) == 3
        raise ZeroDivisionError
    assert dict(told[3:6]) == allocation._AFTERWARDS
    assert told[6:] == [(0, 0)]

    def nothing() -> Any:
        return None

    monkeypatch.setattr(allocation, "_c_library", nothing)
    with memory_kept() as kept:
        assert not kept
    assert len(told) == 7
