"""Training beside training: a vocabulary of 32,000 out of the first corpus."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tokenizer_peers import installed
from benchmarks.tokenizer_rows import Row, Target
from benchmarks.tokenizer_texts import Bench
from benchmarks.tokenizer_timing import one_core
from benchmarks.tokenizer_trainer import Order

VOCAB_SIZE = 32_000
SPEED = {"rustbpe": Target(5, 8), "Hugging Face": Target(15, 30)}
MEMORY = Target(260, 200, of="value")
ROUNDS = 3
"""One training of a peer takes long enough to be steady."""


@dataclass(frozen=True, slots=True)
class Training:
    """What one training took and gave.

    Attributes:
        seconds: from the first byte read to the tokenizer.
        peak: the most memory its process held [units of 1,000,000 bytes].
        tokens: the bytes of every token but the special one.
    """

    seconds: float
    peak: float
    tokens: frozenset[bytes]


def train(bench: Bench) -> Iterator[Row]:
    """Train in fresh processes, by turns, beside rustbpe and Hugging Face."""
    corpus = bench.first()
    names = ["hornbook", *(name for name in SPEED if installed(name))]
    vocab_size = VOCAB_SIZE if bench.limit is None else 1_000
    trained: dict[str, list[Training]] = {name: [] for name in names}
    with one_core():
        # Kernels are compiled once on a machine, and this is about the time after that.
        little = corpus.beginning(100_000, bench.aside)
        training("hornbook", little.path, 300, bench.aside)
        for _ in range(min(ROUNDS, bench.rounds)):
            for name in names:
                trained[name].append(training(name, corpus.path, vocab_size, bench.aside))
    seconds = {name: statistics.median(one.seconds for one in trained[name]) for name in names}
    peaks = {name: statistics.median(one.peak for one in trained[name]) for name in names}
    subject = f"{corpus.title}, {corpus.megabytes:.1f} MB, {vocab_size:,} entries"
    ours = trained["hornbook"][0].tokens
    for name in names[1:]:
        common = len(ours & trained[name][0].tokens) / len(ours)
        yield Row(
            "Training, one core",
            subject,
            "s",
            seconds["hornbook"],
            name,
            seconds[name],
            SPEED[name],
            f"{common:.1%} of the tokens in common",
        )
    yield Row("Training, one core", "its peak memory", "MB", peaks["hornbook"], target=MEMORY)
    for name in names[1:]:
        yield Row(
            "Training, one core", "its peak memory", "MB", peaks["hornbook"], name, peaks[name]
        )


def training(name: str, corpus: Path, vocab_size: int, aside: Path) -> Training:
    """Train in a fresh process, on the cores that this one may use.

    Raises:
        RuntimeError: the process failed; holds the end of what it said.
    """
    out = aside / "training.json"
    order = Order(name, str(corpus.resolve()), vocab_size, str(out))
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.tokenizer_trainer", order.to_json()],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise RuntimeError(f"training with {name} failed:\n{ended.stderr[-2000:]}")
    told = json.loads(out.read_text(encoding="utf-8"))
    tokens = frozenset(bytes.fromhex(token) for token in told["tokens"])
    return Training(told["seconds"], told["peak"], tokens)
