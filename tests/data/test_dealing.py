"""Windows dealt at random: no window on both sides, and what overlaps is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hornbook
from hornbook.data import (
    ExampleOrder,
    HeldWindows,
    LineIds,
    LineWindows,
    StreamWindows,
    TokenSequence,
    TrainingBatches,
)
from hornbook.data.dealing import WindowDeal, leak
from hornbook.data.order import permute, unpermute
from hornbook.data.windows import LineStrategy
from hornbook.errors import ConfigError, DataError
from hornbook.listener import Listener
from hornbook.runs.checkpoints import list_checkpoints
from hornbook.training import Interrupted

STRATEGIES = ("stream", *get_args(LineStrategy))
LINE_IDS = LineIds(start=60_001, pad=60_003)
Train = Callable[..., hornbook.Run]


def cut(strategy: str, sizes: list[int], context: int, stride: int) -> StreamWindows | LineWindows:
    ends = np.cumsum([size + 1 for size in sizes])
    if strategy == "stream":
        return StreamWindows(int(ends[-1]), context, stride)
    return LineWindows(ends, context, stride, strategy)  # type: ignore[arg-type]


@settings(deadline=None)
@given(count=st.integers(1, 3000), key=st.integers(0, 2**63 - 1))
def test_the_way_back_of_the_shuffle(count: int, key: int) -> None:
    everything = np.arange(count)
    assert np.array_equal(unpermute(permute(everything, count, key), count, key), everything)


@settings(deadline=None)
@given(count=st.integers(2, 500), fraction=st.floats(0.001, 0.4), key=st.integers(0, 2**63 - 1))
def test_every_window_is_on_one_side(count: int, fraction: float, key: int) -> None:
    deal = WindowDeal.of_fraction(count, fraction, key)
    held = deal.held_windows(np.arange(deal.held))
    left = deal.training_windows(np.arange(count - deal.held))
    assert sorted([*held, *left]) == list(range(count))
    assert deal.is_held(held).all()
    assert not deal.is_held(left).any()
    assert deal.held == max(1, round(count * fraction))


def test_something_must_be_left_to_train_on() -> None:
    with pytest.raises(DataError, match="leaves none of 2 windows"):
        WindowDeal.of_fraction(2, 0.9, key=1)


@settings(deadline=None)
@given(
    strategy=st.sampled_from(STRATEGIES),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    context=st.integers(1, 9),
    data=st.data(),
)
def test_the_leak_is_what_counting_finds(
    strategy: str, sizes: list[int], context: int, data: st.DataObject
) -> None:
    windows = cut(strategy, [*sizes, 12], context, data.draw(st.integers(1, context)))
    deal = WindowDeal.of_fraction(len(windows), data.draw(st.floats(0.01, 0.5)), key=3)
    lengths = [0, *([size + 2 for size in [*sizes, 12]])]

    def shown(index: int) -> tuple[int, list[int]]:
        """The line of a window, and which of its places are tokens of it."""
        window = windows[index]
        whole = windows.length if isinstance(windows, StreamWindows) else lengths[window.line + 1]
        return window.line, [p for p in range(window.start, window.stop + 1) if 0 <= p < whole]

    trained, held = set(), []
    for index in range(len(windows)):
        line, places = shown(index)
        if deal.is_held(np.array([index]))[0]:
            held += [(line, place) for place in places[1:]]
        else:
            trained |= {(line, place) for place in places}
    expected = sum(token in trained for token in held) / len(held)
    assert leak(windows, deal, sample=10**6) == pytest.approx(expected)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_epoch_trains_on_what_is_not_held(strategy: str) -> None:
    sizes = [30, 2, 11, 0, 45, 7]
    ends = np.cumsum([size + 1 for size in sizes]).astype(np.uint64)
    sequence = TokenSequence([np.arange(int(ends[-1]), dtype=np.uint16)], ends)
    windows = cut(strategy, sizes, 8, 3)
    deal = WindowDeal.of_fraction(len(windows), 0.3, key=5)
    order = ExampleOrder(len(windows) - deal.held, 1)
    batches = TrainingBatches(sequence, windows, order, line_ids=LINE_IDS, deal=deal)
    every = np.arange(len(windows))
    whole = batches.gather(every, every).tokens.tolist()
    trained = batches.batch(0, order.count).tokens.tolist()
    held = HeldWindows(batches)
    measured = [row for batch in held.batches(4) for row in batch.tokens.tolist()]
    assert sorted(trained + measured) == sorted(whole)
    assert sorted(measured) == sorted(whole[i] for i in every[deal.is_held(every)])
    sample = HeldWindows(batches, sample=2)
    assert [row for b in sample.batches(9) for row in b.tokens.tolist()] == measured[:2]


class Notices(Listener):
    def __init__(self, stop_at: int = -1) -> None:
        self.notices: list[str] = []
        self.stop_at = stop_at

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    "settings",
    [
        {"data.stride": 4},
        {"data.windows": "left_padded", "corpus.separate_by": "line"},
    ],
)
def test_a_run_over_dealt_windows_resumes_exactly_and_tells_of_the_leak(
    train_fast: Train, tmp_path: Path, settings: dict[str, Any]
) -> None:
    settings = {"data.split": "window", **settings}
    told = Notices()
    whole = train_fast(tmp_path / "whole", listener=told, **settings)
    (notice,) = [text for text in told.notices if text.startswith("split=window")]
    assert "of their targets also stand in training windows; data.split=text" in notice
    with pytest.raises(Interrupted):
        train_fast(tmp_path / "cut", listener=Notices(stop_at=5), **settings)
    again = hornbook.resume(tmp_path / "cut")
    for name in ("model.safetensors", "optimizer.safetensors"):
        mine, theirs = (list_checkpoints(r.path)[-1].folder / name for r in (again, whole))
        assert mine.read_bytes() == theirs.read_bytes()
    losses = [line.get("validation_loss") for line in whole.metrics()]
    assert [line.get("validation_loss") for line in again.metrics()] == losses
    assert whole.metrics()[-1]["bits_per_byte"] > 0
    assert whole.config.corpus.validation_fraction == 0.1
    assert "validation_fraction = 0.1" in (whole.path / "run.toml").read_text()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"data.windows": "packed"}, "data.split"),
        ({"model.kind": "bigram_counts"}, "data.split"),
        ({"model.kind": "lstm", "training.carry_state": True}, "training.carry_state"),
    ],
)
def test_what_cannot_be_dealt_is_refused(
    train_fast: Train, tmp_path: Path, settings: dict[str, Any], key: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        train_fast(tmp_path / "run", **{"data.split": "window"}, **settings)
    assert key in {problem.key for problem in caught.value.problems}
