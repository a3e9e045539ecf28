"""Learning by kernels is learning by the readable twin: the same merges, ties and interrupts."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from awkward_texts import CORPUS, any_text, few_letters
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.errors import TokenizerError, VocabularyUnfinished
from hornbook.listener import Listener, Progress
from hornbook.tokenizers import BPETokenizer, bpe_reference, bpe_training, counting
from hornbook.tokenizers.counting import count_pre_tokens
from hornbook.tokenizers.counts import PreTokenCounts

pytestmark = pytest.mark.usefixtures("kernels")


def by_kernels(
    counts: PreTokenCounts, merge_count: int, min_frequency: int = 2, **more: Any
) -> list[tuple[int, ...]]:
    from hornbook.tokenizers.engine import trainer

    arrays = counts.content, counts.ends, counts.counts
    merges = trainer.learn_merges(*arrays, merge_count, min_frequency, **more)
    assert merges.dtype == np.int32
    return [tuple(pair) for pair in merges.tolist()]


@settings(max_examples=300, deadline=None)
@given(
    mapping=st.dictionaries(
        st.one_of(
            st.binary(min_size=1, max_size=12),
            few_letters.filter(bool).map(str.encode),
            st.text("aA", min_size=1, max_size=40).map(str.encode),
            any_text.filter(bool).map(str.encode),
        ),
        st.one_of(st.integers(1, 4), st.integers(1, 1 << 40)),
        max_size=30,
    ),
    merge_count=st.integers(0, 80),
    min_frequency=st.integers(1, 5),
)
def test_the_merges_of_the_twin(
    mapping: dict[bytes, int], merge_count: int, min_frequency: int
) -> None:
    counts = PreTokenCounts.from_mapping(mapping, "gpt2")
    expected = bpe_reference.learn_merges(mapping, merge_count, min_frequency)
    assert by_kernels(counts, merge_count, min_frequency) == expected


@pytest.mark.parametrize("seed", range(6))
def test_ties_on_every_page(seed: int) -> None:
    """Equal counts everywhere, and tokens that begin with the same eight bytes and more."""
    draw = random.Random(seed)
    stems = ["".join(draw.choices("ab", k=10)) for _ in range(3)]
    mapping = {
        (draw.choice(stems) + "".join(draw.choices("abc", k=draw.randint(0, 12)))).encode(): 2
        for _ in range(200)
    }
    counts = PreTokenCounts.from_mapping(mapping, "gpt2")
    assert by_kernels(counts, 400) == bpe_reference.learn_merges(mapping, 400)


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k"])
def test_real_texts(pattern: str, shared: Path) -> None:
    for path in sorted((shared / "corpora").glob("*.txt")):
        with path.open("rb") as file:
            file.seek(path.stat().st_size // 2)
            text = file.read(60_000).decode("utf-8", "ignore")
        counts = count_pre_tokens([text], pattern)
        expected = bpe_reference.learn_merges(counts.to_mapping(), 700)
        assert by_kernels(counts, 700) == expected, path.name


def test_arrays_grow_from_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array begins hardly large enough, and comes back for more."""
    from hornbook.tokenizers.engine import trainer, training_state

    draw = random.Random(2)
    words = {"".join(draw.choices("abcdef", k=draw.randint(2, 30))).encode() for _ in range(800)}
    counts = PreTokenCounts.from_mapping({word: draw.randint(1, 9) for word in words}, "gpt2")
    expected = bpe_reference.learn_merges(counts.to_mapping(), 600)
    laid_out, with_room = trainer._laid_out, trainer._with_room
    grown: set[str] = set()

    def tight(*arguments: Any) -> Any:
        training = laid_out(*arguments)
        pairs = int(training.fields[training_state.PAIRS_USED])
        places = int(training.fields[training_state.PLACES_USED])
        return training_state.connected(
            training._replace(
                token_bytes=training.token_bytes[:260].copy(),
                pairs=training.pairs[:pairs].copy(),
                pair_places=training.pair_places[:pairs].copy(),
                queue=training.queue[:pairs].copy(),
                places=training.places[:places].copy(),
            )
        )

    def growing(training: Any, best: int) -> Any:
        larger = with_room(training, best)
        grown.update(
            name
            for name, before, after in zip(training._fields, training, larger, strict=True)
            if len(after) > len(before)
        )
        return larger

    monkeypatch.setattr(trainer, "_laid_out", tight)
    monkeypatch.setattr(trainer, "_with_room", growing)
    assert by_kernels(counts, 600) == expected
    assert grown >= {"token_bytes", "pairs", "pair_places", "queue", "places"}


def test_tokens_that_grow_very_long() -> None:
    counts = PreTokenCounts.from_mapping({b"ab" * 4096: 3, b"ab" * 4095 + b"a": 2}, "gpt2")
    merges = by_kernels(counts, 40)
    assert merges == bpe_reference.learn_merges(counts.to_mapping(), 40)
    assert len(BPETokenizer(merges).token_bytes(255 + len(merges))) > 4096  # type: ignore[arg-type]


@pytest.mark.parametrize("min_frequency", [1, 2, 7])
def test_the_waiting_room_is_emptied_to_the_last(min_frequency: int) -> None:
    """Counts over many powers of two, and merging until no pair is frequent enough."""
    draw = random.Random(min_frequency)
    mapping = {
        "".join(draw.choices("abcd", weights=(8, 4, 2, 1), k=draw.randint(1, 9))).encode(): (
            1 << draw.randint(0, 40)
        )
        for _ in range(300)
    }
    counts = PreTokenCounts.from_mapping(mapping, "gpt2")
    merges = by_kernels(counts, 5000, min_frequency)
    assert merges == bpe_reference.learn_merges(mapping, 5000, min_frequency)
    assert len(merges) < 5000


def test_nothing_to_learn() -> None:
    for mapping in ({b"a": 5}, {b"ab": 1}, {b"ab": 2, b"cd": 2}):
        counts = PreTokenCounts.from_mapping(mapping, "gpt2")
        assert by_kernels(counts, 0) == []
        assert by_kernels(counts, 9, 3) == []


def test_more_merges_asked_for_than_any_memory_could_hold() -> None:
    tokenizer = BPETokenizer.train(["the cat, the hat"], 10**14, min_frequency=1)
    assert tokenizer.vocab_size < 256 + 16
    assert tokenizer.encode(" the hat") == tokenizer.encode(" the") + tokenizer.encode(" hat")


def test_more_bytes_than_a_training_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    from hornbook.tokenizers.engine import trainer

    counts = PreTokenCounts.from_mapping({b"hug": 10, b"pug": 5}, "gpt2")
    monkeypatch.setattr(trainer, "MOST_CELLS", 8)
    with pytest.raises(TokenizerError, match=r"have 6 bytes together, and training takes up to 8"):
        by_kernels(counts, 4)


def documents() -> list[str]:
    draw = random.Random(9)
    words = ["".join(draw.choices("abcdeé", k=draw.randint(1, 12))) for _ in range(3000)]
    texts = [" ".join(draw.choices(words, k=400)) for _ in range(40)]
    return [*texts, *CORPUS]


def test_the_same_file_from_any_chunks_threads_and_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = documents()
    shuffled = random.Random(1).sample(texts, len(texts))
    files = set()
    for number, (corpus, batch, threads, kernels) in enumerate(
        [
            (texts, 1 << 20, 1, False),
            (texts, 1 << 20, 1, True),
            (shuffled, 1000, 4, True),
            (texts[::-1], 37, 2, True),
            ([text.encode() for text in shuffled], 9999, 3, True),
        ]
    ):
        monkeypatch.setattr(counting, "BATCH", batch)
        for module in (counting, bpe_training):
            monkeypatch.setattr(module, "WORTH_LOADING", 0 if kernels else 1 << 60)
        path = tmp_path / f"{number}.json"
        BPETokenizer.train(iter(corpus), 1200, "cl100k", threads=threads).save(path)
        files.add(path.read_bytes())
    assert len(files) == 1


class Interrupting(Listener):
    """Presses Ctrl-C once so many merges have been told of."""

    def __init__(self, after: int) -> None:
        self.after = after

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        listener = self

        class Pressing(Progress):
            done = 0

            def advance(self, amount: int) -> None:
                self.done += amount
                if title == "merging" and self.done >= listener.after:
                    raise KeyboardInterrupt

        return Pressing()


def test_an_interrupt_offers_the_vocabulary_so_far(tmp_path: Path) -> None:
    texts = documents()
    whole = BPETokenizer.train(texts, 1500)
    with pytest.raises(VocabularyUnfinished, match=r"interrupted with [\d,]+ of 1,500") as caught:
        BPETokenizer.train(texts, 1500, listener=Interrupting(100))
    unfinished = caught.value.tokenizer
    assert 100 <= len(unfinished.merges) < len(whole.merges)
    assert unfinished.merges == whole.merges[: len(unfinished.merges)]
    text = texts[0]
    assert unfinished.decode(unfinished.encode(text)) == text
    unfinished.save(tmp_path / "unfinished.json")
    assert BPETokenizer.load(tmp_path / "unfinished.json") == unfinished


def test_an_interrupt_of_the_twin_offers_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpe_training, "WORTH_LOADING", 1 << 60)
    with pytest.raises(VocabularyUnfinished) as caught:
        BPETokenizer.train(documents(), 1500, listener=Interrupting(100))
    assert len(caught.value.tokenizer.merges) == 100


def test_an_interrupt_after_the_last_merge_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = BPETokenizer.train(documents(), 300)
    interrupts = iter([KeyboardInterrupt()])
    made = BPETokenizer.__init__

    def make(self: BPETokenizer, *arguments: Any) -> None:
        for interrupt in interrupts:
            raise interrupt
        made(self, *arguments)

    monkeypatch.setattr(BPETokenizer, "__init__", make)
    with pytest.raises(VocabularyUnfinished) as caught:
        BPETokenizer.train(documents(), 300)
    assert caught.value.tokenizer == whole


def test_both_phases_are_told_with_their_totals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, list[Any]] = {}

    class Watching(Listener):
        def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
            told[title] = [total, unit, 0]

            class Counting(Progress):
                def advance(self, amount: int) -> None:
                    told[title][2] += amount

            return Counting()

    for module in (counting, bpe_training):
        monkeypatch.setattr(module, "WORTH_LOADING", 0)
    texts = documents()
    size = sum(len(text.encode()) for text in texts)
    count_and_learn: Callable[..., BPETokenizer] = BPETokenizer.train
    count_and_learn(texts, 900, listener=Watching())
    assert told == {"counting pre-tokens": [None, "B", size], "merging": [643, "merges", 643]}
