"""The picture: whole, the same every time, and nothing on it outside of its place."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest

from hornbook import Run
from hornbook.errors import RunError
from hornbook.inspection import draw_loss_curve
from hornbook.inspection import layout as at
from hornbook.inspection.history import Point, history
from hornbook.inspection.layout import lay_out
from hornbook.inspection.lines import cells
from hornbook.inspection.loss_curve import loss_curve_svg

MakeRun = Callable[..., Run]


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    return make_run()


def texts(svg: str) -> list[str]:
    """Every text on a picture, in order."""
    found = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()) for element in found]


def test_the_picture_says_what_the_run_reached(run: Run) -> None:
    shown = texts(loss_curve_svg(run))
    assert "poems" in shown
    assert "transformer  ·  204,800 tokens seen" in shown
    assert "training loss" in shown
    assert "validation loss" in shown
    assert "best at step 300: 5.125 nats per token = 2.562 bits per byte" in shown
    assert "loss [nats per token]" in shown


def test_first_middle_and_last_sample_are_pinned(run: Run) -> None:
    shown = texts(loss_curve_svg(run))
    heads = [text for text in shown if text.startswith("after step")]
    assert heads == ["after step 100", "after step 300", "after step 400"]
    assert {"Once wrote alpha", "Once wrote gamma", "Once wrote end"} <= set(shown)
    assert not any("beta" in text for text in shown)


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_run_gives_the_same_bytes(run: Run, tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    draw_loss_curve(run, first)
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.grid": True}):
        draw_loss_curve(run, second)
        assert matplotlib.rcParams["font.size"] == 30  # what the user set is left alone
    assert first.read_bytes() == second.read_bytes()
    assert matplotlib.__version__.encode() not in first.read_bytes()
    draw_loss_curve(run, first)  # a picture that is there is replaced
    assert first.read_bytes() == second.read_bytes()


def test_any_text_gives_a_sound_picture(make_run: MakeRun) -> None:
    wild = "$x_1$ \\frac <script>alert('1')</script> ]]> & \x00\x1b \u202e詩 हिन्दी 😀\n\n  indented"
    samples = [{"step": 10, "prompt": "<b>", "text": wild * 3}]
    svg = loss_curve_svg(make_run("$a_b$ & <c>", samples=samples))
    shown = texts(svg)
    assert "$a_b$ & <c>" in shown
    assert any(text.startswith("<b>$x_1$ \\frac <script>alert('1')</script>") for text in shown)
    assert "  indented$x_1$" in " ".join(shown)
    assert "<script" not in svg
    assert '<style type="text/css">text{white-space: pre}' in svg  # indents are kept


def test_everything_lies_on_the_picture() -> None:
    text = "word " * 400 + "詩" * 200 + "W" * 300
    samples = [{"step": step, "text": text} for step in (1, 2, 900_000, 1_000_000)]
    metrics = [{"step": s, "training_loss": math.log(2_000_000 / s)} for s in (1, 700_000)]
    plan = lay_out(history(metrics, samples))
    for card in plan.cards:
        assert len(card.lines) <= at.MOST_LINES
        assert all(cells(line) * at.CELL <= card.width - 2 * at.CARD_PADDING for line in card.lines)
        x, y = plan.place(card.step, card.loss)
        assert at.CHART_LEFT <= x <= at.CHART_LEFT + at.CHART_WIDTH
        assert at.CHART_TOP <= y <= at.CHART_TOP + at.CHART_HEIGHT
    for left, right in zip(plan.cards, plan.cards[1:], strict=False):
        assert left.left + left.width < right.left
    assert plan.cards[-1].left + plan.cards[-1].width <= at.WIDTH - at.MARGIN + 1e-9
    assert plan.cards_top + plan.cards_height < plan.height


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([{"step": 1, "validation_loss": 3.25}], "best at step 1: 3.250 nats per token"),
        ([{"step": 5, "training_loss": 3.25}], "training loss, at last 3.250"),
        ([{"step": s, "training_loss": 2.5, "validation_loss": 2.5} for s in (1, 2)], "step"),
    ],
    ids=["closed form", "no validation text", "flat"],
)
def test_short_and_one_sided_runs_have_a_picture(
    make_run: MakeRun, metrics: list[dict[str, float]], expected: str
) -> None:
    assert expected in texts(loss_curve_svg(make_run("run", metrics, [])))


def test_a_run_without_losses_says_so(make_run: MakeRun, tmp_path: Path) -> None:
    for name, metrics in {"young": [], "silent": [{"step": 1, "tokens_seen": 5}]}.items():
        run = make_run(name, metrics)
        with pytest.raises(RunError, match=rf"{name} has no loss to draw yet; .*--resume"):
            draw_loss_curve(run, tmp_path / "loss.svg")
    assert not (tmp_path / "loss.svg").exists()


def test_a_picture_that_cannot_be_written_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"loss\.pdf should end in \.svg or \.png"):
        draw_loss_curve(run, tmp_path / "loss.pdf")
    with pytest.raises(RunError, match=r"loss\.svg cannot be written: "):
        draw_loss_curve(run, tmp_path / "nowhere" / "loss.svg")
    draw_loss_curve(run, tmp_path / "LOSS.SVG")
    assert (tmp_path / "LOSS.SVG").read_text("utf-8").startswith("<?xml")


def test_the_picture_needs_no_network(run: Run) -> None:
    svg = loss_curve_svg(run)
    names = set(re.findall(r"https?://[^\"' ]+", svg))
    assert names == {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)', svg))


def test_damaged_lines_are_passed_over() -> None:
    story = history(
        [
            {"step": 5, "training_loss": 4.5, "validation_loss": 4},
            {"step": None, "training_loss": 1.0},
            {"step": 9, "training_loss": "x", "validation_loss": math.nan},
        ],
        [{"step": 1}, {"text": "a"}, {"step": 2, "text": "kept"}],
    )
    assert story.training == (Point(5, 4.5),)
    assert story.best == Point(5, 4)
    assert [sample.text for sample in story.samples] == ["kept"]


def test_matplotlib_is_loaded_only_for_a_picture() -> None:
    code = "import sys, hornbook.inspection; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
