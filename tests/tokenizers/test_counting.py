"""Kernels count as the readable twin does, however the text is cut, and nothing is lost."""

import random
from collections import Counter as Tally
from collections.abc import Sequence
from pathlib import Path

import pytest
from awkward_texts import AWKWARD, CORPUS, any_text
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError
from hornbook.listener import Listener, Progress
from hornbook.tokenizers import BPETokenizer, counting
from hornbook.tokenizers.counting import count_pre_tokens
from hornbook.tokenizers.counts import PreTokenCounts
from hornbook.tokenizers.patterns import PUBLISHED, splitter


class Watching(Listener):
    def __init__(self) -> None:
        self.notices: list[str] = []
        self.done = 0

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        watching = self

        class Counted(Progress):
            def advance(self, amount: int) -> None:
                watching.done += amount

        return Counted()


@pytest.fixture
def only_kernels(kernels: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the text is, kernels count it, in small batches."""
    monkeypatch.setattr(counting, "WORTH_LOADING", 0)
    monkeypatch.setattr(counting, "BATCH", 64)


def stated(texts: Sequence[str], pattern: str) -> dict[bytes, int]:
    tally = Tally(pre_token for text in texts for pre_token in splitter(pattern)(text))
    return dict(sorted((pre_token.encode(), count) for pre_token, count in tally.items()))


@pytest.mark.parametrize("pattern", PUBLISHED)
@pytest.mark.usefixtures("only_kernels")
def test_kernels_count_as_the_twin(pattern: str) -> None:
    @settings(max_examples=100, deadline=None)
    @given(
        texts=st.lists(any_text, min_size=1, max_size=20).filter(any),
        threads=st.integers(1, 4),
    )
    def same(texts: list[str], threads: int) -> None:
        counts = count_pre_tokens(texts, pattern, threads=threads)
        assert counts.to_mapping() == stated(texts, pattern)
        assert counts.texts == sum(map(bool, texts))
        assert counts.text_bytes == sum(len(text.encode()) for text in texts)

    same()


@pytest.mark.parametrize("pattern", PUBLISHED)
def test_real_texts(pattern: str, shared: Path, only_kernels: None) -> None:
    for path in sorted((shared / "corpora").glob("*.txt")):
        with path.open("rb") as file:
            file.seek(path.stat().st_size // 3)
            text = file.read(400_000).decode("utf-8", "ignore")
        counts = count_pre_tokens([text], pattern, threads=2)
        assert counts.to_mapping() == stated([text], pattern), path.name


def made_up(seed: int, words: int) -> list[str]:
    """Documents of words of 1 to 60 letters, most of them rare."""
    draw = random.Random(seed)
    texts = []
    for _ in range(12):
        lengths = (min(int(draw.expovariate(0.12)) + 1, 60) for _ in range(words // 12))
        texts.append(" ".join("".join(draw.choices("abcdeé", k=size)) for size in lengths))
    return texts


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_any_way_to_cut_gives_the_same_counts(
    kernels: None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = made_up(1, 12_000)
    monkeypatch.setattr(counting, "WORTH_LOADING", 0)
    expected = stated(texts, "gpt2")
    for batch, order in ((1 << 20, 1), (5000, -1), (100, 1)):
        monkeypatch.setattr(counting, "BATCH", batch)
        counts = count_pre_tokens(iter(texts[::order]), "gpt2", threads=threads)
        assert counts.to_mapping() == expected


def test_with_and_without_kernels_are_equal(kernels: None, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*CORPUS, *filter(None, AWKWARD), *made_up(2, 3000)]
    readable = count_pre_tokens(texts, "o200k", ["<|endoftext|>", "<s>"])
    monkeypatch.setattr(counting, "WORTH_LOADING", 0)
    assert count_pre_tokens(texts, "o200k", ["<|endoftext|>", "<s>"]) == readable


@pytest.mark.usefixtures("only_kernels")
def test_special_tokens_cut_and_are_not_counted() -> None:
    texts = ["one<|end|>two<|end|>", "<|end|>", "on<|en", "d|>e three<|end|><s>four"] * 30
    counts = count_pre_tokens(texts, "gpt2", ["<|end|>", "<s>"], threads=2)
    parts = ["one", "two", "on<|en", "d|>e three", "four"] * 30
    assert counts.to_mapping() == stated(parts, "gpt2")
    assert counts.special_tokens == ("<|end|>", "<s>")
    assert counts.texts == 120
    with pytest.raises(TokenizerError, match="the text was not cut at '<x>'"):
        BPETokenizer.train_from_counts(counts, 300, ["<x>"])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kernels_count", [True, False])
def test_what_memory_cannot_hold_is_dropped_and_said(
    kernels: None, kernels_count: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(4)
    frequent = " ".join(["frequent", "words"] * 50)
    texts = [frequent + " " + " ".join(str(draw.random()) for _ in range(400)) for _ in range(150)]
    monkeypatch.setattr(counting, "WORTH_LOADING", 0 if kernels_count else 1 << 60)
    watching = Watching()
    limit = 3_000_000 * threads if kernels_count else 3_000_000
    whole = count_pre_tokens(texts, "gpt2", threads=threads)
    counts = count_pre_tokens(texts, "gpt2", threads=threads, max_memory=limit, listener=watching)
    assert counts.dropped > 0
    assert counts.total + counts.dropped == whole.total
    known = whole.to_mapping()
    assert all(count <= known[pre_token] for pre_token, count in counts)
    # What is frequent everywhere stays, and is counted in full.
    assert dict(counts)[b" frequent"] == known[b" frequent"]
    assert watching.notices == [
        f"{counts.dropped:,} occurrences of rare pre-tokens were dropped to stay within "
        f"{limit:,} bytes; give max_memory more, or count in parts and put the counts together"
    ]


def test_the_tables_stay_within_the_memory_they_are_given(kernels: None) -> None:
    from hornbook.tokenizers.engine.counter import Counter

    draw = random.Random(5)
    counter = Counter("gpt2", max_memory=4_000_000)
    occurrences = 0
    for _ in range(20):
        text = " ".join(str(draw.random()) * draw.randint(1, 4) for _ in range(5000))
        occurrences += len(splitter("gpt2")(text))
        counter.add([text.encode()])
        assert counter.memory <= 4_000_000
    _, _, counts = counter.counted()
    assert int(counts.sum()) + counter.dropped == occurrences


@pytest.mark.parametrize("bits", [(2, 2, 64), (5, 1, 256)])
@pytest.mark.usefixtures("only_kernels")
def test_tables_grow_from_any_size(
    bits: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hornbook.tokenizers.engine import counter

    for name, value in zip(("WORD_BITS", "PHRASE_BITS", "ARENA_BYTES"), bits, strict=True):
        monkeypatch.setattr(counter, name, value)
    texts = made_up(3, 6000)
    for threads in (1, 3):
        counts = count_pre_tokens(texts, "cl100k", threads=threads)
        assert counts.to_mapping() == stated(texts, "cl100k")


@pytest.mark.parametrize("size", [15, 16, 17, 1000, 70_000, 400_000])
@pytest.mark.usefixtures("only_kernels")
def test_long_pre_tokens_are_counted_and_warned_of(size: int) -> None:
    watching = Watching()
    long = "q" * size
    texts = ["some words", long, "more words", long + "r", long, "end"]
    counts = count_pre_tokens(texts, "gpt2", threads=1, listener=watching)
    assert counts.to_mapping() == stated(texts, "gpt2")
    assert watching.done == counts.text_bytes
    if size <= 999:
        assert watching.notices == []
    else:
        distinct = 2 if size > 1000 else 1
        assert len(watching.notices) == 1
        assert f"{distinct} pre-token" in watching.notices[0]
        assert "longer than 1,000 bytes" in watching.notices[0]


@pytest.mark.usefixtures("only_kernels")
def test_a_long_pre_token_that_memory_cannot_hold() -> None:
    texts = ["a" * 300_000, "some words " * 50]
    counts = count_pre_tokens(texts, "gpt2", threads=1, max_memory=1_000_000)
    assert counts.total + counts.dropped == 102


@pytest.mark.usefixtures("only_kernels")
@pytest.mark.parametrize("pattern", ["gpt2", r"\w+"])
def test_texts_that_cannot_be_counted(pattern: str) -> None:
    with pytest.raises(TokenizerError, match="the corpus is empty"):
        count_pre_tokens([], pattern)
    with pytest.raises(TokenizerError, match="the corpus is empty"):
        count_pre_tokens(["", b""], pattern)
    with pytest.raises(TokenizerError, match="text 2 of the corpus: a text is expected, not int"):
        count_pre_tokens(["x " * 5000, "y", 3], pattern)  # type: ignore[list-item]
    with pytest.raises(TokenizerError, match=r"text 1 of the corpus: character 1 is a lone surr"):
        count_pre_tokens(["x", "a\udc80"], pattern)
    with pytest.raises(TokenizerError, match="a corpus is several texts, not one"):
        count_pre_tokens("one text", pattern)
    with pytest.raises(TokenizerError, match="a corpus is several texts, not one"):
        count_pre_tokens(b"one text", pattern)  # type: ignore[arg-type]


def test_parts_put_together_are_the_whole(kernels: None) -> None:
    texts = made_up(6, 20_000)
    parts = [count_pre_tokens(texts[place::3], "gpt2") for place in range(3)]
    assert PreTokenCounts.merged(parts[::-1]) == count_pre_tokens(texts, "gpt2", threads=2)
