"""The range test: what it suggests, draws and leaves behind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.inspection.range_plot import drawn
from hornbook.optimization.rate_range import RateRange, growing_rates, suggestion

FAST = [
    "--preset", "tiny", "training.device=cpu", "tokenizer.vocab_size=300", "context_length=16",
    "training.batch_size=4", "model.d_model=16", "model.layers=1",
]  # fmt: skip


def made_up(best: float, breaks: float | None = None) -> RateRange:
    """A loss that falls fastest a decade below ``best`` and climbs behind it."""
    rates = growing_rates(1e-6, 10.0, 100)
    losses = [
        6 - 2 / (1 + math.exp(-4 * (math.log10(rate / best) + 1)))
        + max(0.0, math.log10(rate / best)) ** 2
        for rate in rates
    ]  # fmt: skip
    count = 100 if breaks is None else sum(rate <= breaks for rate in rates)
    return RateRange(tuple(rates[:count]), tuple(losses[:count]), "it broke" if breaks else "")


@pytest.mark.parametrize("best", [1e-3, 1e-2, 0.1])
def test_the_suggestion_lies_where_the_loss_falls_and_says_why(best: float) -> None:
    advice = suggestion(made_up(best))
    assert advice.rate is not None
    assert advice.steepest is not None
    assert advice.lowest is not None
    assert best / 30 < advice.rate < best / 3
    assert advice.rate <= advice.steepest * 1.06 < advice.lowest
    assert "fell fastest" in advice.reason
    broken = suggestion(made_up(best, breaks=best * 5))
    assert broken.rate == advice.rate
    assert "it broke" in broken.reason


def test_a_test_that_shows_nothing_suggests_nothing() -> None:
    rates = tuple(growing_rates(1e-6, 1e-5, 50))
    flat = suggestion(RateRange(rates, (5.0,) * 50))
    assert flat.rate is None
    assert "never fell" in flat.reason
    short = suggestion(RateRange(rates[:3], (5.0, 6.0, 9.0), "the loss is nan"))
    assert short.rate is None
    assert "the loss is nan" in short.reason


def test_the_picture_is_the_same_for_the_same_numbers() -> None:
    found = made_up(1e-2, breaks=1.0)
    for form, head in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        picture = drawn("poems", found, suggestion(found), form)
        assert picture.startswith(head)
        assert picture == drawn("poems", found, suggestion(found), form)
    text = drawn("poems", found, suggestion(found), "svg").decode()
    assert "range test: poems" in text
    assert "mathdefault" not in text


def test_a_corpus_leaves_two_pictures_and_no_run(
    call: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("lr-find", str(corpus), *FAST, "--steps", "40")
    assert result.exit_code == 0, result.stderr
    assert "training.learning_rate=" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lr-find-sentences.png", "lr-find-sentences.svg",
    ]  # fmt: skip


def test_a_run_is_gone_on_from_and_left_as_it_is(
    call: Any, finished_run: hornbook.Run, tmp_path: Path
) -> None:
    before = {p: p.read_bytes() for p in finished_run.path.rglob("*") if p.is_file()}
    words = ["lr-find", f"{finished_run.path}@8", "training.optimizer.kind=muon"]
    result = call(*words, "--steps", "30", "--to", "1", "--out", str(tmp_path / "found.svg"))
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in tmp_path.glob("found*")} == {"found.svg", "found.png"}
    assert before == {p: p.read_bytes() for p in finished_run.path.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "1", "--to", "1e-3"], "is no range"),
        (["--from", "0"], "is no range"),
        (["--to", "inf"], "is no range"),
        (["--steps", "3"], "too few"),
    ],
)
def test_a_range_that_is_none_is_refused(
    call: Any, corpus: Path, words: list[str], message: str
) -> None:
    result = call("lr-find", str(corpus), *FAST, *words)
    assert result.exit_code == 2
    assert message in result.stderr
