"""The rest of an encoder's life: short texts, two threads, a file on disk, and the way back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.tokenizer_peers import (
    our_tokenizer,
    reference_ids,
    tiktoken_encoding,
    tokie_tokenizer,
)
from benchmarks.tokenizer_rows import Row, Target
from benchmarks.tokenizer_texts import Bench
from benchmarks.tokenizer_timing import by_turns, difference, one_core, seconds

CHARACTERS = 200
CALLS = 1000
"""Different short texts; together they are one measure."""

SHORT = {"tiktoken": Target(must=2), "tokie": Target(goal=1)}
THREADS = Target(1.6, 1.9)
TO_DISK = Target(300, 600, of="value")
DECODING = {"tiktoken": Target(5, 10)}
SLICE = 10_000_000
"""How much of a text slow peers are given [bytes]."""


def encode_short(bench: Bench) -> Iterator[Row]:
    """Encode 200 characters a call, each to the list that ``encode`` gives."""
    text = bench.first().string
    step = max(len(text) // CALLS, 1)
    texts = [text[start : start + CHARACTERS] for start in range(0, len(text), step)][:CALLS]
    encoding = tiktoken_encoding("gpt2", bench.vocabularies)
    ours = our_tokenizer("gpt2", bench.vocabularies)
    ours.prepare()  # else short texts are answered in Python until kernels pay
    calls: dict[str, Callable[[str], list[int]]] = {
        "hornbook": ours.encode,
        "tiktoken": encoding.encode_ordinary,
    }
    if peer := tokie_tokenizer(bench.vocabularies, bench.aside):
        calls["tokie"] = lambda one: peer.encode(one, add_special_tokens=False).ids
    expected = [encoding.encode_ordinary(one) for one in texts]
    notes = {
        name: "" if [call(one) for one in texts] == expected else f"{name}: ids differ"
        for name, call in calls.items()
    }

    def turn(call: Callable[[str], list[int]]) -> Callable[[], Sequence[float]]:
        return lambda: [1e6 * seconds(lambda: [call(one) for one in texts]) / len(texts)]

    with one_core():
        medians = by_turns({name: turn(call) for name, call in calls.items()}, 3 * bench.rounds)
    for name in list(calls)[1:]:
        yield Row(
            "Short texts, gpt2, one core",
            f"{CHARACTERS} characters a call",
            "µs",
            medians["hornbook"][0],
            name,
            medians[name][0],
            SHORT[name],
            "; ".join(filter(None, (notes["hornbook"], notes[name]))),
        )


def encode_threads(bench: Bench) -> Iterator[Row]:
    """Encode one corpus, cut into documents, with two threads and with one."""
    corpus = bench.first()
    size = max(len(corpus.string) // 64, 1)
    texts = [corpus.string[at : at + size] for at in range(0, len(corpus.string), size)]
    tokenizer = our_tokenizer("gpt2", bench.vocabularies)
    alone = tokenizer.encode_batch_arrays(texts, threads=1)
    together = tokenizer.encode_batch_arrays(texts, threads=2)
    note = difference(np.concatenate(together), np.concatenate(alone))
    if len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else [0, 1]) < 2:
        note = "this machine has one core"

    def turn(threads: int) -> Callable[[], Sequence[float]]:
        return lambda: [seconds(lambda: tokenizer.encode_batch_arrays(texts, threads=threads))]

    medians = by_turns({"one": turn(1), "two": turn(2)}, 3 * bench.rounds)
    yield Row(
        "Two threads, gpt2",
        f"{corpus.title}, {corpus.megabytes:.1f} MB in {len(texts)} texts",
        "MB/s",
        corpus.megabytes / medians["two"][0],
        "one thread",
        corpus.megabytes / medians["one"][0],
        THREADS,
        note,
    )


def encode_to_disk(bench: Bench) -> Iterator[Row]:
    """Turn a file of text into a file of uint16 ids, beside ten lines of tiktoken and NumPy."""
    from hornbook.data import encode_file
    from hornbook.data.array_file import open_array

    corpus = bench.first()
    part = corpus.beginning(SLICE, bench.aside)
    tokenizer = our_tokenizer("gpt2", bench.vocabularies)
    encoding = tiktoken_encoding("gpt2", bench.vocabularies)
    ours, theirs = bench.aside / "ours.tokens", bench.aside / "theirs.bin"

    def script() -> None:
        text = part.path.read_bytes().decode("utf-8")
        np.array(encoding.encode_ordinary(text), dtype=np.uint16).tofile(theirs)

    def file() -> None:
        encode_file(tokenizer, corpus.path, ours, threads=1)

    file()
    note = difference(open_array(ours), reference_ids("gpt2", bench.vocabularies, corpus.path))
    with one_core():
        turns = {"ours": lambda: [seconds(file)], "script": lambda: [seconds(script)]}
        medians = by_turns(turns, bench.rounds)
    yield Row(
        "File to tokens on disk, gpt2, uint16, one core",
        f"{corpus.title}, {corpus.megabytes:.1f} MB",
        "MB/s",
        corpus.megabytes / medians["ours"][0],
        "tiktoken and NumPy",
        part.megabytes / medians["script"][0],
        TO_DISK,
        "; ".join(filter(None, (note, f"tiktoken on {part.megabytes:.1f} MB"))),
    )


def decode(bench: Bench) -> Iterator[Row]:
    """Turn ids back into bytes: ours from an array, the peers from the lists that they take."""
    corpus = bench.first().beginning(SLICE, bench.aside)
    ids = reference_ids("gpt2", bench.vocabularies, corpus.path).astype(np.uint32)
    listed: list[int] = ids.tolist()
    encoding = tiktoken_encoding("gpt2", bench.vocabularies)
    tokenizer = our_tokenizer("gpt2", bench.vocabularies)
    calls: dict[str, Callable[[], bytes]] = {
        "hornbook": lambda: tokenizer.decode_bytes(ids),
        "tiktoken": lambda: encoding.decode_bytes(listed),
    }
    if peer := tokie_tokenizer(bench.vocabularies, bench.aside):
        calls["tokie"] = lambda: peer.decode_bytes(listed)
    notes = {
        name: "" if call() == corpus.content else f"{name}: other bytes"
        for name, call in calls.items()
    }

    def turn(call: Callable[[], bytes]) -> Callable[[], Sequence[float]]:
        return lambda: [seconds(call)]

    with one_core():
        medians = by_turns({name: turn(call) for name, call in calls.items()}, bench.rounds)
    for name in list(calls)[1:]:
        yield Row(
            "Decoding to bytes, gpt2, one core",
            f"{corpus.title}, {corpus.megabytes:.1f} MB",
            "MB/s",
            corpus.megabytes / medians["hornbook"][0],
            name,
            corpus.megabytes / medians[name][0],
            DECODING.get(name),
            "; ".join(filter(None, (notes["hornbook"], notes[name]))),
        )
