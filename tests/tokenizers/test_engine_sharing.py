"""One tokenizer, used from everywhere: ids do not hang on what was asked before, where, or by whom.

Caches, threads, processes, pickles, lists of texts and texts in pieces: all give what one call
on one text gives.
"""

import multiprocessing
import pickle
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from awkward_texts import AWKWARD, any_text
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.tokenizers import BPETokenizer, base
from hornbook.tokenizers.streams import whole_blocks

pytestmark = pytest.mark.usefixtures("kernels")


def made_up(seed: int, size: int) -> str:
    """Words of every length, some of them frequent, in several scripts."""
    draw = random.Random(seed)
    signs = "abcdefghijklmnopqrstuvwxyz" * 3 + "éñß语言一二ав🙂\u0301'1234567890"
    words = ["".join(draw.choices(signs, k=draw.randint(1, 40))) for _ in range(size // 60)]
    text = " ".join(words[min(int(draw.expovariate(0.01)), len(words) - 1)] for _ in range(size))
    return text[:size]


@pytest.fixture(scope="module")
def tokenizer(kernels: None) -> BPETokenizer:
    trained = BPETokenizer.train([made_up(0, 200_000)], 2000, "cl100k")
    trained.prepare()
    return trained


def test_ids_do_not_depend_on_what_was_encoded_before(
    tokenizer: BPETokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With so small an arena, the caches are emptied again and again."""
    from hornbook.tokenizers.engine import encoder

    monkeypatch.setattr(encoder, "ARENA_BYTES", 1 << 15)
    small = pickle.loads(pickle.dumps(tokenizer))
    small.prepare()
    emptied = 0
    make_room = encoder.Workspace.make_room

    def counting(workspace: encoder.Workspace) -> None:
        nonlocal emptied
        emptied += workspace.block[encoder.fields.ARENA_USED] > encoder.ARENA_BYTES * 7 // 8
        make_room(workspace)

    monkeypatch.setattr(encoder.Workspace, "make_room", counting)
    texts = [made_up(seed, 60_000) for seed in range(6)]
    for text in [*texts, *texts[::-1]]:
        ids = small.encode_array(text)
        assert np.array_equal(ids, small._encoder._split_ids(text))
        assert np.array_equal(ids, tokenizer.encode_array(text))
    assert emptied > 3


def test_threads_on_one_tokenizer(tokenizer: BPETokenizer) -> None:
    texts = [made_up(seed, 20_000 + 900 * seed) for seed in range(12)]
    alone = [tokenizer.encode(text) for text in texts]
    with ThreadPoolExecutor(6) as pool:
        for ids, expected in zip(pool.map(tokenizer.encode, texts * 4), alone * 4, strict=True):
            assert ids == expected


def test_threads_while_the_kernels_come(tokenizer: BPETokenizer) -> None:
    text = made_up(1, 9000)
    expected = tokenizer.encode(text)
    for _ in range(3):
        fresh = pickle.loads(pickle.dumps(tokenizer))
        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(fresh.encode, text) for _ in range(60)]
        assert all(future.result() == expected for future in futures)
        assert fresh._encoder._kernels is not None


def test_pickled_in_use(tokenizer: BPETokenizer) -> None:
    text = made_up(2, 30_000)
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy == tokenizer
    assert copy._encoder._kernels is None  # it brings its own when they are worth it
    assert copy.encode(text) == tokenizer.encode(text)


def test_other_processes(tokenizer: BPETokenizer) -> None:
    texts = [made_up(seed, 200_000) for seed in range(4)]
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawning) as pool:
        found = list(pool.map(tokenizer.encode, texts))
    assert found == [tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize("threads", [None, 1, 2, 5])
def test_many_texts(tokenizer: BPETokenizer, threads: int | None) -> None:
    texts = [*AWKWARD, *(made_up(seed, 5000 * seed) for seed in range(8)), "", ""]
    alone = [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch(texts, threads=threads) == alone
    arrays = tokenizer.encode_batch_arrays((text.encode() for text in texts), threads=threads)
    assert [ids.tolist() for ids in arrays] == alone
    assert {ids.dtype for ids in arrays} == {np.dtype(np.uint32)}
    assert tokenizer.encode_batch([], threads=threads) == []


@pytest.mark.parametrize("threads", [3])
def test_one_text_in_threads(tokenizer: BPETokenizer, threads: int) -> None:
    for text in (made_up(4, 1_500_000), "x" * 1_100_000, "na\u0301 " * 300_000):
        assert np.array_equal(
            tokenizer.encode_array(text, threads=threads), tokenizer.encode_array(text)
        )


def test_results_are_the_callers_own(tokenizer: BPETokenizer) -> None:
    """No array is a view of memory that the next call writes to."""
    first = tokenizer.encode_array("one text")
    expected = first.tolist()
    tokenizer.encode_array("quite another text, and longer")
    assert first.tolist() == expected
    first[:] = 0
    assert tokenizer.encode("one text") == expected


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "words"])
def test_a_text_in_pieces(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces may end anywhere, also inside of characters."""
    monkeypatch.setattr(base, "whole_blocks", partial(whole_blocks, block=64))
    tokenizer = BPETokenizer.train([made_up(7, 50_000)], 900, pattern)
    tokenizer.prepare()

    @settings(max_examples=150, deadline=None)
    @given(
        text=st.one_of(
            st.lists(any_text, max_size=9).map(" ".join),
            st.integers(0, 99).map(lambda n: made_up(n, 600)),
        ),
        cuts=st.lists(st.integers(0, 3000), max_size=30),
        threads=st.sampled_from([1, 2]),
    )
    def same_ids(text: str, cuts: list[int], threads: int) -> None:
        content = text.encode()
        places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
        pieces = [content[a:b] for a, b in zip(places, places[1:], strict=False)]
        arrays = tokenizer.encode_stream(pieces, threads=threads)
        assert [i for ids in arrays for i in ids.tolist()] == tokenizer.encode(text)

    same_ids()
