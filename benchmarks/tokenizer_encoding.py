"""Encoding beside encoding: whole corpora, and input made to be slow."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.tokenizer_peers import (
    Encoder,
    Ids,
    encoders,
    our_encoder,
    our_tokenizer,
    reference_ids,
)
from benchmarks.tokenizer_rows import Row, Target
from benchmarks.tokenizer_texts import Bench, Text, adversarial_texts
from benchmarks.tokenizer_timing import by_turns, difference, one_core, seconds, take_memory

PASSES = ("first pass", "later passes")
"""With nothing remembered of any text, and after the same text was seen."""

OVER_TOKIE = {
    "English books": (Target(3, 5), Target(4.5, 7)),
    "Chinese poetry": (Target(3, 5), Target(4, 6)),
    "46 languages": (Target(3, 5), Target(4, 6)),
}
"""What first and later passes are held to with GPT-2's vocabulary."""

OVER_QUICKTOK = dict.fromkeys(OVER_TOKIE, (Target(3, 6), Target(3, 6)))
"""What they are held to with the vocabularies of GPT-4 and GPT-4o."""

RIVALS = {
    "gpt2": ("tokie", OVER_TOKIE),
    "cl100k": ("quicktok", OVER_QUICKTOK),
    "o200k": ("quicktok", OVER_QUICKTOK),
}
"""For each vocabulary the peer that sets the targets, and these."""

MEMORY = 1 << 26
"""What an encoder may need beside eight bytes for each byte of text [bytes]."""

ADVERSARIAL_SIZE = 10_000_000
ADVERSARIAL = Target(must=20, of="value")


def encode_corpora(bench: Bench, vocabulary: str) -> Iterator[Row]:
    """Encode every corpus, first and later passes, beside every peer that has the vocabulary."""
    contestants = encoders(vocabulary, bench.vocabularies, bench.aside)
    rival, targets = RIVALS[vocabulary]
    for whole in bench.texts():
        texts = {one.name: whole.beginning(one.most, bench.aside) for one in contestants}
        notes = {one.name: _notes(bench, vocabulary, one, texts[one.name]) for one in contestants}
        with one_core():
            turns = {one.name: _passes(one, texts[one.name]) for one in contestants}
            medians = by_turns(turns, bench.rounds * rounds_more(whole.megabytes))
        speeds = {
            name: [texts[name].megabytes / median for median in figures]
            for name, figures in medians.items()
        }
        for number, passes in enumerate(PASSES):
            for peer in contestants[1:]:
                of = texts[peer.name]
                size = f"{peer.name} on {of.megabytes:.1f} MB" if of is not whole else ""
                notices = (notes["hornbook"], notes[peer.name], size)
                yield Row(
                    f"Encoding, {vocabulary}, one core",
                    f"{whole.title}, {whole.megabytes:.1f} MB, {passes}",
                    "MB/s",
                    speeds["hornbook"][number],
                    peer.name,
                    speeds[peer.name][number],
                    targets.get(whole.title, (None, None))[number] if peer.name == rival else None,
                    "; ".join(filter(None, notices)),
                )


def rounds_more(megabytes: float) -> int:
    """How many times more often a short text is measured, which a moment's noise would decide.

    >>> [rounds_more(size) for size in (100.0, 10.0, 1.0)]
    [1, 4, 4]
    """
    return 4 if megabytes < 20 else 1


def encode_adversarial(bench: Bench) -> Iterator[Row]:
    """Encode ten megabytes each of one letter, digits, white space, emoji and random bytes."""
    tokenizer = our_tokenizer("gpt2", bench.vocabularies)
    encoder = our_encoder(tokenizer)
    size = min(bench.limit or ADVERSARIAL_SIZE, ADVERSARIAL_SIZE)
    for one in adversarial_texts(size, bench.aside):
        ids = encoder.fresh(one)()
        if tokenizer.decode_bytes(ids) != one.content:
            note = "decoding gives other bytes"
        elif one.string.encode("utf-8") == one.content:
            note = _difference(ids, bench, "gpt2", one)
        else:
            note = "no peer takes them"
        with one_core():
            medians = by_turns({"hornbook": _passes(encoder, one)}, bench.rounds)
        yield Row(
            "Input made to be slow, gpt2, first pass, one core",
            f"{one.title}, {one.megabytes:.1f} MB",
            "MB/s",
            one.megabytes / medians["hornbook"][0],
            target=ADVERSARIAL,
            note=note,
        )


def _notes(bench: Bench, vocabulary: str, encoder: Encoder, text: Text) -> str:
    found = _difference(encoder.fresh(text)(), bench, vocabulary, text)
    return f"{encoder.name}: {found}" if found else ""


def _difference(ids: Ids, bench: Bench, vocabulary: str, text: Text) -> str:
    return difference(ids, reference_ids(vocabulary, bench.vocabularies, text.path))


def _passes(encoder: Encoder, text: Text) -> Callable[[], Sequence[float]]:
    def measure() -> Sequence[float]:
        take_memory(MEMORY + 8 * len(text.content))
        encode = encoder.fresh(text)
        first = seconds(encode)
        return first, statistics.median(seconds(encode) for _ in range(2))

    return measure
