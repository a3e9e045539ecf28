"""The keys of words: eight at once are those of one after the other."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.kernels import kernel
from hornbook.tokenizers.engine import words
from hornbook.tokenizers.engine import workspace as fields
from hornbook.tokenizers.engine.encoder import Workspace
from hornbook.tokenizers.engine.machine import address_of
from hornbook.tokenizers.engine.tables import Tables, Vocabulary

pytestmark = pytest.mark.usefixtures("kernels")

_make_keys = words.make_keys


@kernel
def make_keys(workspace: int, text: int, place: int, end: int, count: int) -> None:
    _make_keys(workspace, text, place, end, count)


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    bytes_ = [bytes([number]) for number in range(256)]
    none = np.zeros((0, 2), np.int32)
    return Workspace(Tables(Vocabulary("gpt2", bytes_, none, bytes(range(256)))))


def keys(workspace: Workspace, text: bytes, ends: list[int], at_once: int) -> list[list[int]]:
    """The keys of words that end at ``ends``, made for so many of them at a time."""
    block, content = workspace.block, np.frombuffer(text, np.uint8)
    room = np.ctypeslib.as_array((_Int64 * (fields.ENDS_ROOM + 8)).from_address(_at(block, "ENDS")))
    apart = words.KEYS_APART // 8
    kept = np.ctypeslib.as_array((_Int64 * (3 * apart)).from_address(_at(block, "KEYS")))
    found: list[list[int]] = []
    place = 0
    for first in range(0, len(ends), at_once):
        some = ends[first : first + at_once]
        room[: len(some)] = some
        make_keys(workspace.address, address_of(content), place, len(text), len(some))
        found += kept.reshape(3, apart)[:, : len(some)].T.tolist()
        place = some[-1]
    return found


_Int64 = np.ctypeslib.as_ctypes_type(np.int64)


def _at(block: np.ndarray, name: str) -> int:
    return int(block[getattr(fields, name)])


@settings(max_examples=300, deadline=None)
@given(
    sizes=st.lists(st.one_of(st.integers(1, 20), st.just(300)), min_size=1, max_size=70),
    seed=st.integers(0, 1 << 32),
)
def test_eight_at_once_are_those_of_one_after_the_other(
    workspace: Workspace, sizes: list[int], seed: int
) -> None:
    ends = np.cumsum(sizes).tolist()
    text = random.Random(seed).randbytes(ends[-1])
    alone = keys(workspace, text, ends, 1)
    assert keys(workspace, text, ends, len(ends)) == alone
    begins = [0, *ends[:-1]]
    for begin, end, (low, high, entry) in zip(begins, ends, alone, strict=True):
        if end - begin > words.WORD:
            assert (low, high, entry) == (0, 0xFFFF, _at(workspace.block, "WORDS"))
        else:
            word = text[begin:end].ljust(15, b"\0") + bytes([end - begin])
            assert np.array([low, high]).astype("<i8").tobytes() == word
            assert (entry - _at(workspace.block, "WORDS")) % words.LINE == 0
            assert entry > _at(workspace.block, "WORDS")
