"""Examples gathered a second, for every way to cut windows, beside the two ways people know.

    python benchmarks/windows.py            # about a minute; needs no text of its own
    python benchmarks/windows.py --quick    # some seconds, for a look

nanoGPT's way takes a random slice for each row and stacks them. The other way stores every window
as a tensor in advance and asks ``torch.utils.data.DataLoader`` for them. What is gathered is
compared before anything is timed. Times are those of this process alone, in rounds in which all
ways take turns; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, TensorDataset

import hornbook
from hornbook.data import (
    Batch,
    ExampleOrder,
    LineIds,
    LineWindows,
    PackedBatches,
    PackedWindows,
    StreamWindows,
    TokenSequence,
    TokenStore,
    TrainingBatches,
)
from hornbook.data.token_store import TokenStoreWriter
from hornbook.data.windows import LineStrategy

VOCAB = 2048
LINE_IDS = LineIds(start=VOCAB - 3, pad=VOCAB - 2)
VERSES = 31_102
"""Lines of the made-up text: as many as the Bible has verses, and about as long."""
STORED = 1 << 16
"""Windows that are stored for the other way; its speed does not depend on how many there are."""
Ways = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Strategy:
    """One way to cut windows, ready to gather.

    Attributes:
        name: as in ``data.windows``.
        batches: its examples.
        count: how many there are in an epoch.
        index_bytes: memory of the index.
    """

    name: str
    batches: TrainingBatches | PackedBatches
    count: int
    index_bytes: int


def line_ends(lines: int) -> NDArray[np.uint64]:
    """Where lines end whose lengths are spread as those of verses: 5 to some 150, mean 43."""
    lengths = 5 + np.random.default_rng(7).gamma(4.0, 9.5, lines).astype(np.uint64)
    return np.cumsum(lengths, dtype=np.uint64)


def write_store(folder: Path, ends: NDArray[np.uint64]) -> TokenStore:
    """A store of random tokens on disk, so that they are read through a memory map."""
    tokens = np.random.default_rng(1).integers(0, VOCAB - 4, int(ends[-1])).astype(np.uint16)
    tokens[ends - 1] = VOCAB - 1
    with TokenStoreWriter(folder, VOCAB) as writer:
        for line in np.split(tokens, ends[:-1]):
            writer.add("training", line)
            writer.end_document("training")
        writer.close(fingerprint="made up", sources={})
    return TokenStore.open(folder)


def strategies(sequence: TokenSequence, context: int) -> Iterator[Strategy]:
    """Every strategy over the same tokens, each with its smallest stride."""
    stream = StreamWindows(len(sequence), context, 1)
    order = ExampleOrder(len(stream), 1)
    yield Strategy("stream", TrainingBatches(sequence, stream, order), len(stream), 0)
    for name in get_args(LineStrategy):
        lines = LineWindows(sequence.document_ends, context, 1, name)
        order = ExampleOrder(len(lines), 1)
        batches = TrainingBatches(sequence, lines, order, line_ids=LINE_IDS)
        yield Strategy(name, batches, len(lines), lines.index_bytes)
    rows = PackedWindows(sequence.document_ends, context, "best_fit", 1)
    packed = PackedBatches(sequence, rows, ExampleOrder(len(rows), 1), LINE_IDS.pad)
    yield Strategy("packed", packed, len(rows), rows.index_bytes)


def check(strategy: Strategy, sequence: TokenSequence, batch: int) -> None:
    """Compare what kernels gather with what NumPy gathers, and that with slices of the text."""
    plain = [strategy.batches.batch(first, batch) for first in range(0, 4 * batch, batch)]
    strategy.batches.gathering.prepare()
    for number, expected in enumerate(plain):
        found = strategy.batches.batch(number * batch, batch)
        assert found.real_targets == expected.real_targets
        for name in ("tokens", "targets", "positions", "segments"):
            mine, theirs = getattr(found, name), getattr(expected, name)
            assert (mine is None) == (theirs is None), f"{strategy.name}: {name}"
            assert mine is None or torch.equal(mine, theirs), f"{strategy.name}: {name}"
    if strategy.name == "stream":
        indices = strategy.batches.order.examples(0, batch)
        slices = [sequence.slice(int(start), int(start) + 65) for start in indices[:32]]
        length = plain[0].tokens.shape[1]
        assert [s[:length].tolist() for s in slices] == plain[0].tokens[:32].tolist()
        assert [s[1 : length + 1].tolist() for s in slices] == plain[0].targets[:32].tolist()


def hornbook_way(strategy: Strategy, batch: int) -> Callable[[], Batch]:
    places = iter(range(0, 1 << 60, batch))
    return lambda: strategy.batches.batch(next(places), batch)


def nanogpt_way(tokens: NDArray[np.uint16], context: int, batch: int) -> Callable[[], object]:
    """A slice for each row, stacked (Karpathy, 2022, train.py)."""

    def gather() -> tuple[torch.Tensor, torch.Tensor]:
        ix = torch.randint(len(tokens) - context, (batch,))
        x = torch.stack([torch.from_numpy(tokens[i : i + context].astype(np.int64)) for i in ix])
        y = torch.stack(
            [torch.from_numpy(tokens[i + 1 : i + 1 + context].astype(np.int64)) for i in ix]
        )
        return x, y

    return gather


def dataloader_way(
    tokens: NDArray[np.uint16], context: int, batch: int
) -> tuple[Callable[[], object], int]:
    """Windows stored in advance; returns how to ask for a batch, and the bytes of one window."""
    rows = np.lib.stride_tricks.sliding_window_view(tokens, context + 1)[:STORED]
    both = torch.from_numpy(rows.astype(np.int64))
    data = TensorDataset(both[:, :-1].contiguous(), both[:, 1:].contiguous())
    batches = cycle_of(DataLoader(data, batch, shuffle=True, drop_last=True))
    return lambda: next(batches), sum(t.nbytes for t in data.tensors) // len(data)


def cycle_of(loader: DataLoader) -> Iterator[object]:
    for again in cycle([loader]):
        yield from again


def rates(ways: Ways, batch: int, rounds: int, seconds: float) -> dict[str, float]:
    """Examples a second of each way: the median of several rounds in which they take turns."""
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for gather in ways.values():
        gather()
    for _ in range(rounds):
        for name, gather in ways.items():
            began, count = time.process_time(), 0
            while time.process_time() - began < seconds:
                for _ in range(8):
                    gather()
                count += 8 * batch
            measured[name].append(count / (time.process_time() - began))
    return {name: statistics.median(found) for name, found in measured.items()}


def waiting(folder: Path, steps: int) -> float:
    """The share of its time that a step of the preset small waits for data."""
    draw = np.random.default_rng(3)
    words = np.array(["the", "small", "old", "bright", "river", "stone", "bird", "sings", "over"])
    text = folder / "words.txt"
    text.write_text("\n".join(" ".join(line) for line in draw.choice(words, (3000, 8))))
    settings = {
        "training.steps": steps,
        "training.schedule.warmup_steps": 1,
        "training.log_every": steps,
        "training.evaluation_windows": 1,
        "training.sample_every": 0,
        "training.checkpoint_every": 0,
        "tokenizer.vocab_size": 300,
    }
    run = hornbook.train(text, preset="small", out=folder / "run", overrides=settings)
    return float(run.metrics()[-1]["waiting_for_data"])


def print_speeds(table: list[Strategy], found: dict[str, float], stored_bytes: int) -> None:
    slices, stored = found["nanoGPT's way"], found["DataLoader"]
    print("| way | examples | examples/s | × nanoGPT's way | × DataLoader | index | stored |")
    print("|---|---|---|---|---|---|---|")
    for one in table:
        rate = found[one.name]
        print(
            f"| `{one.name}` | {one.count:,} | {rate / 1e6:.2f} million | {rate / slices:.0f} | "
            f"{rate / stored:.0f} | {one.index_bytes / 1e6:.2f} MB | "
            f"{one.count * stored_bytes / 1e6:,.0f} MB |"
        )
    print(f"| nanoGPT's way | | {slices / 1e6:.3f} million | 1 | {slices / stored:.2f} | | |")
    print(f"| DataLoader | | {stored / 1e6:.3f} million | {stored / slices:.1f} | 1 | | |")


def print_index(context: int, lines: int) -> None:
    """Memory of the largest index of windows by line, and of packed rows, for many lines."""
    ends = line_ends(lines)
    for name, index in (
        ("windows by line", LineWindows(ends, context, 1, "left_padded").index_bytes),
        ("packed rows", PackedWindows(ends, context, "best_fit", 1).index_bytes),
    ):
        print(
            f"index of {name}: {index / 1e6:,.1f} MB for {lines:,} lines, so "
            f"{index * 100_000_000 / lines / 1e9:.2f} GB for 100 million"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer lines, rounds and steps")
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rounds, seconds, steps = (1, 0.02, 3) if given.quick else (7, 0.3, 40)
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        (folder / "store").mkdir()
        ends = line_ends(2000 if given.quick else VERSES)
        sequence = write_store(folder / "store", ends).training
        table = list(strategies(sequence, given.context))
        for strategy in table:
            check(strategy, sequence, given.batch)
        print(f"{len(table)} strategies: kernels gather what NumPy gathers, and slices of the text")
        tokens = np.asarray(next(sequence.shards())[0])
        ways: Ways = {one.name: hornbook_way(one, given.batch) for one in table}
        ways["nanoGPT's way"] = nanogpt_way(tokens, given.context, given.batch)
        ways["DataLoader"], stored_bytes = dataloader_way(tokens, given.context, given.batch)
        found = rates(ways, given.batch, rounds, seconds)
        print(f"\ncontext {given.context}, batch {given.batch}, {len(ends):,} lines, one thread\n")
        print_speeds(table, found, stored_bytes)
        print()
        print_index(given.context, 20_000 if given.quick else 1_000_000)
        share = waiting(folder, steps)
        print(f"preset small, {steps} steps: {share:.2%} of the time spent waiting for data")


if __name__ == "__main__":
    main()
