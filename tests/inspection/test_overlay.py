"""Several runs on one page: each is told apart, and only what differs is listed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook import Run
from hornbook.errors import RunError
from hornbook.inspection.overlay import told_apart, write_overlay
from hornbook.inspection.overlay_plot import COLOURS, Curve, overlay_svg
from hornbook.runs.manifest import Fingerprints
from hornbook.runs.resolution import resolve

MakeRun = Callable[..., Run]


def metrics(best: float) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "seconds": step / 2,
            "tokens_seen": 100 * step,
            "training_loss": 6.0,
            "validation_loss": best + 1 / step,
            "bits_per_byte": best / 2,
        }
        for step in (10, 20)
    ]


def fingerprints(tokenizer: str = "t", corpus: str = "c", split: str = "s") -> dict[str, Any]:
    found = Fingerprints(corpus=corpus, split=split, tokenizer=tokenizer, tokens="x")
    return {"fingerprints": found}


def overlaid(tmp_path: Path, *runs: Run) -> str:
    write_overlay(runs, tmp_path / "both.html")
    return (tmp_path / "both.html").read_text("utf-8")


def test_the_page_tells_what_differs_and_who_got_furthest(
    make_run: MakeRun, tmp_path: Path
) -> None:
    config = resolve(overrides={"seed": 7, "model.kind": "gru"})
    one = make_run("one", metrics(4.0), **fingerprints())
    two = make_run("two", metrics(3.5), config=config, **fingerprints())
    text = overlaid(tmp_path, one, two)
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text)
    keys = [row for row in rows if row.startswith("<td><code>")]
    told = [re.findall(r"<code>(.*?)</code>", row) for row in keys]
    assert ["seed", "1", "7"] in told
    assert ["model.kind", "&quot;transformer&quot;", "&quot;gru&quot;"] in told
    assert ["model.heads", "4", "–"] in told, "a setting that only one of them has"
    assert not any(key[0] == "training.steps" for key in told)
    best = re.findall(r'<tr class="best">(.*?)</tr>', text)
    assert len(best) == 1
    assert ">two<" in best[0]
    assert ">3.550<" in best[0]
    assert "[nats per token]" in text
    assert "trained on different texts" not in text
    assert "two, after step 400" in text
    assert set(re.findall(r"https?://([^/\"]+)", text)) == {"www.w3.org"}
    assert not re.search(r"<(script|link|img|iframe)|url\((?!#)|@import|\bsrc=", text)


def test_other_vocabularies_are_compared_in_bits_per_byte(
    make_run: MakeRun, tmp_path: Path
) -> None:
    one = make_run("one", metrics(4.0), **fingerprints("a"))
    two = make_run("two", metrics(3.5), **fingerprints("b", split="z"))
    text = overlaid(tmp_path, one, two)
    assert "[bits per byte]" in text
    assert "[nats per token]" not in text
    assert "These runs split their text differently" in text


def test_runs_that_measured_nothing(make_run: MakeRun, tmp_path: Path) -> None:
    text = overlaid(tmp_path, make_run("one", [], []), make_run("two", [], []))
    assert "None of them has measured" in text
    assert 'class="best"' not in text
    half = overlaid(tmp_path, make_run("three", [], []), make_run("four", metrics(2.0)))
    assert half.count('class="best"') == 1


def test_names(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "x" / "run", tmp_path / "b" / "x" / "run"]
    assert told_apart(paths) == ["a/x/run", "b/x/run"]


def test_every_run_has_a_line_of_its_own() -> None:
    count = len(COLOURS) + 2
    curves = [Curve(str(number), metrics(number)) for number in range(count)]
    picture = overlay_svg(curves, "validation_loss", "loss")
    assert picture is not None
    assert all(colour in picture for colour in COLOURS)
    assert "stroke-dasharray" in picture
    assert picture == overlay_svg(curves, "validation_loss", "loss")


def test_a_page_that_cannot_be_written_says_why(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("one")
    (tmp_path / "here").mkdir()
    with pytest.raises(RunError, match="here cannot be written"):
        write_overlay([run, make_run("two")], tmp_path / "here")
