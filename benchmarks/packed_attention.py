"""Packed rows: a dense mask beside the way that hornbook takes, same weights, same batch.

    python benchmarks/packed_attention.py --threads 1

Prints the median time of forward and backward of a whole transformer under both, and the ratio,
for rows of several lengths and documents of several lengths; then the ratio of attention alone,
without the matrix products around it. Both are asserted to give the same
logits, and on a CPU the same gradients, before they are timed; then they take turns. On a CPU the
way is a document at a time; with ``--device cuda`` it is FlexAttention.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import torch

from hornbook.models import TransformerConfig, build_model, transformer
from hornbook.models.attention import causal_attention
from hornbook.models.attention_paths import AttentionPath, attention_path, masked_attention
from hornbook.models.block_attention import block_attention
from hornbook.models.document_layout import DocumentLayout
from hornbook.models.masks import sawtooth
from hornbook.optimization import cross_entropy_sum
from hornbook.targets import IGNORED_TARGET, PADDING_SEGMENT

VOCAB = 2048
CASES: tuple[tuple[int, int, int], ...] = (
    (64, 5, 40),
    (256, 20, 180),
    (512, 20, 180),
    (1024, 20, 180),
    (1024, 200, 1000),
    (2048, 20, 180),
)
"""Tokens in a row, and the shortest and longest of its documents."""


def packed_segments(rows: int, time: int, shortest: int, longest: int) -> torch.Tensor:
    """Rows of documents with random lengths; what is left at the end of a row is padding."""
    draw = np.random.default_rng(1)
    segments = np.full((rows, time), PADDING_SEGMENT)
    for row in segments:
        column = number = 0
        while (stop := column + int(draw.integers(shortest, longest))) <= time:
            row[column:stop] = number
            column, number = stop, number + 1
    return torch.from_numpy(segments)


def measure(
    time_steps: int, shortest: int, longest: int, device: torch.device, seconds: float
) -> str:
    """One line of the table."""
    config = TransformerConfig(layers=4, heads=4, d_model=128)
    model = build_model(config, vocab_size=VOCAB, context_length=time_steps, seed=1)
    model.to(device).train()
    rows = max(2, 4096 // time_steps)
    segments = packed_segments(rows, time_steps, shortest, longest).to(device)
    tokens = torch.randint(0, VOCAB, segments.shape, generator=torch.Generator().manual_seed(1))
    tokens = tokens.to(device)
    targets = tokens.masked_fill(segments == PADDING_SEGMENT, IGNORED_TARGET)
    taken: list[AttentionPath] = []

    def run(path: AttentionPath | None) -> torch.Tensor:
        def chosen(**facts: object) -> AttentionPath:
            taken.append(path or attention_path(**facts))  # pyright: ignore[reportArgumentType]
            return taken[-1]

        model.zero_grad(set_to_none=True)
        with patch.object(transformer, "attention_path", chosen):
            logits, _ = model(tokens, segments=segments)
            cross_entropy_sum(logits, targets).backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return logits.detach()

    real = segments != PADDING_SEGMENT
    found = []
    for path in ("masked", None):
        logits = run(path)[real]
        found.append((logits, [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-3, rtol=1e-3)
    for ours, theirs in zip(found[0][1], found[1][1], strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours, theirs, atol=2e-3 * scale, rtol=1e-2)
    masked, chosen = take_turns(lambda: run("masked"), lambda: run(None), seconds)
    alone = take_turns(
        attention_alone(segments, "masked"), attention_alone(segments, taken[-1]), seconds
    )
    documents = f"{shortest} to {longest - 1}"
    return (
        f"{time_steps:>6} {rows:>5} {documents:>14} {masked * 1e3:>9.1f} {chosen * 1e3:>9.1f} "
        f"{masked / chosen:>6.2f} {alone[0] / alone[1]:>10.2f}  {taken[-1]}"
    )


def attention_alone(segments: torch.Tensor, way: AttentionPath) -> Callable[[], object]:
    """One layer's attention, 4 heads of 32, forward and backward."""
    rows, time_steps = segments.shape
    attend = masked_attention(sawtooth(segments)[:, None])
    if way == "blocks":
        attend = block_attention(segments)
    elif way == "documents":
        layout = DocumentLayout.of(segments)
        attend = layout.within_documents(causal_attention)
        rows, time_steps = 1, len(layout.sources)
    shape = (rows, 4, time_steps, 32)
    query, key, value = (
        torch.randn(shape, device=segments.device, requires_grad=True) for _ in range(3)
    )

    def run() -> None:
        attend(query, key, value, 0.0).sum().backward()
        if segments.device.type == "cuda":
            torch.cuda.synchronize(segments.device)

    return run


def take_turns(
    first: Callable[[], object], second: Callable[[], object], seconds: float
) -> tuple[float, float]:
    """Median seconds of both, run one after the other until the time is over."""
    times: tuple[list[float], list[float]] = ([], [])
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times[0]) < 3:
        for run, kept in zip((first, second), times, strict=True):
            began = time.perf_counter()
            run()
            kept.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each line")
    parser.add_argument("--longest-row", type=int, default=1 << 20, help="leave out longer rows")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} threads; ms a step")
    print("   row  rows      documents     dense    chosen  ratio  attention  way")
    for case in CASES:
        if case[0] <= options.longest_row:
            print(measure(*case, torch.device(options.device), options.seconds), flush=True)


if __name__ == "__main__":
    main()
