"""Every token is predicted once, with as much before it as fits: against one window at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.data import TokenSequence
from hornbook.data.full_context import LinesAlone, RunningText
from hornbook.data.positions import Positions
from hornbook.errors import DataError
from hornbook.models import GRUConfig, LanguageModel, TransformerConfig, build_model
from hornbook.targets import IGNORED_TARGET
from hornbook.training import evaluate

VOCABULARY, BEFORE, END, PAD = 11, 9, 8, 10
BYTES = torch.tensor([1, 2, 3, 1, 1, 2, 1, 4, 0, 0, 0])
"""Bytes of each id; the special ones stand for none."""


def stored(lines: list[list[int]]) -> TokenSequence:
    tokens = [token for line in lines for token in [*line, END]]
    ends = np.cumsum([len(line) + 1 for line in lines]).astype(np.uint64)
    return TokenSequence([np.array(tokens, dtype=np.uint16)], ends)


def surprises(model: LanguageModel, pairs: list[tuple[list[int], int]]) -> tuple[float, int]:
    """Bits and bytes of the targets that are text, one window and one call at a time."""
    bits, size = 0.0, 0
    for context, target in pairs:
        if BYTES[target]:
            logits, _ = model(torch.tensor([context]))
            bits -= torch.log_softmax(logits[0, -1].double(), -1)[target].item() / math.log(2)
            size += int(BYTES[target])
    return bits, size


lines_of_text = st.lists(
    st.lists(st.integers(0, 7), min_size=1, max_size=9), min_size=1, max_size=6
)


@settings(max_examples=30, deadline=None)
@given(lines_of_text, st.integers(1, 6), st.sampled_from(["transformer", "gru"]))
def test_both_measures_are_those_of_one_token_at_a_time(
    lines: list[list[int]], context_length: int, kind: str
) -> None:
    config = (
        TransformerConfig(layers=2, heads=2, d_model=8)
        if kind == "transformer"
        else (GRUConfig(d_model=8, layers=1))
    )
    model = build_model(config, vocab_size=VOCABULARY, context_length=context_length, seed=1).eval()
    sequence = stored(lines)
    with torch.inference_mode():
        alone = [
            (
                [BEFORE, *line, END][max(0, place - context_length) : place],
                [BEFORE, *line, END][place],
            )
            for line in lines
            for place in range(1, len(line) + 2)
        ]
        text = sequence.slice(0, len(sequence)).tolist()
        running = [
            (text[max(0, place - context_length) : place], text[place])
            for place in range(1, len(text))
        ]
        expected_alone, expected_running = surprises(model, alone), surprises(model, running)
    by_line = LinesAlone(sequence, context_length, before=BEFORE, pad=PAD)
    for windows, (bits, size), count in (
        (by_line, expected_alone, len(alone)),
        (RunningText(sequence, context_length), expected_running, len(running)),
    ):
        found = evaluate(model, windows, BYTES)
        assert (found.tokens, found.bytes) == (count, size)
        if size:
            assert found.bits_per_byte == pytest.approx(bits / size, rel=1e-5)


def test_a_sample_is_whole_lines_and_the_same_each_time() -> None:
    draw = np.random.default_rng(0)
    lines = [draw.integers(0, 8, draw.integers(1, 12)).tolist() for _ in range(50)]
    everything = LinesAlone(stored(lines), 4, before=BEFORE, pad=PAD)
    parts = [
        LinesAlone(stored(lines), 4, before=BEFORE, pad=PAD, sample=60, seed=s) for s in (1, 1, 2)
    ]
    seen = [[b.targets[b.targets != IGNORED_TARGET].tolist() for b in p.batches(8)] for p in parts]
    assert seen[0] == seen[1] != seen[2]
    assert sum(map(len, seen[0])) == sum(map(len, seen[2])) == 60
    assert sum(b.real_targets for b in everything.batches(64)) == sum(len(x) + 1 for x in lines)
    counts = np.bincount(parts[0].rows.lines, minlength=50)
    cut = [i for i in np.flatnonzero(counts) if counts[i] < 1 + max(0, len(lines[i]) + 1 - 4)]
    assert len(cut) <= 1  # only the last line drawn may be cut


def test_a_sample_of_running_text_spreads_over_it() -> None:
    sequence = stored([[1, 2, 3]] * 100)
    drawn = RunningText(sequence, 5, sample=40, seed=7)
    assert len(set(drawn.targets.tolist())) == 40
    assert drawn.targets.min() < 100 < 300 < drawn.targets.max()
    assert RunningText(sequence, 5, sample=10_000).targets.tolist() == list(range(1, 400))


def test_places_in_the_line_are_numbered_as_in_training() -> None:
    positions = Positions("line", last_offset=2)
    [batch] = LinesAlone(
        stored([[1, 2, 3, 4, 5]]), 3, before=BEFORE, pad=PAD, positions=positions
    ).batches(9)
    assert batch.positions is not None
    assert batch.positions.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [2, 3, 4]]
    [batch] = RunningText(stored([[1, 2], [3, 4]]), 3, positions=positions).batches(9)
    assert batch.positions is not None
    assert batch.positions[-1].tolist() == [2, 1, 2]  # the first is clipped
    random = Positions("random", last_offset=9, seed=1)
    [batch] = RunningText(stored([[1, 2], [3, 4]]), 3, positions=random).batches(9)
    assert batch.positions is None


def test_nothing_to_predict_is_said() -> None:
    empty = TokenSequence([np.zeros(0, dtype=np.uint16)], np.zeros(0, dtype=np.uint64))
    with pytest.raises(DataError, match="validation_fraction"):
        RunningText(empty, 4)
    with pytest.raises(DataError, match="validation_fraction"):
        LinesAlone(empty, 4, before=BEFORE, pad=PAD)
