"""The benchmarks: they run, notice ids that differ, and write reports that can be repeated."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
Load: TypeAlias = Callable[[str], Any]
MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("tokenizer_*.py"))


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Import a file of the folder ``benchmarks``, which is no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"benchmarks.{name}")

    yield load
    for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_benchmark_hold(name: str, benchmark_module: Load) -> None:
    module = benchmark_module(name)
    assert doctest.testmod(module).failed == 0


def test_some_examples_are_there(benchmark_module: Load) -> None:
    assert doctest.testmod(benchmark_module("tokenizer_rows")).attempted > 4
    assert doctest.testmod(benchmark_module("tokenizer_timing")).attempted > 3


def test_rows_are_judged_by_what_was_measured(benchmark_module: Load) -> None:
    rows = benchmark_module("tokenizer_rows")
    target = rows.Target(3, 5)
    verdicts = [
        rows.Row("encode", "books", "MB/s", ours, "tokie", 100.0, target).reached
        for ours in (299.0, 300.0, 499.0, 500.0)
    ]
    assert verdicts == ["missed", "must", "must", "goal"]
    only_goal = rows.Target(goal=1)
    short = rows.Row("short", "200 characters", "µs", 4.0, "tokie", 3.0, only_goal)
    assert short.ratio == 0.75
    assert short.reached == "missed"
    assert rows.Row("adversarial", "digits", "MB/s", 20.0).reached == ""


def test_pieces_for_slow_peers_change_no_pre_token(benchmark_module: Load) -> None:
    peers = benchmark_module("tokenizer_peers")
    split = importlib.import_module("hornbook.tokenizers.patterns").splitter("gpt2")
    text = "It's  a test -- of 12 words\n\n and more; don't  you see?\n" * 20
    pieces = list(peers.safe_pieces(text, 15))
    assert "".join(pieces) == text
    assert len(pieces) > 20
    assert [one for piece in pieces for one in split(piece)] == split(text)


def test_texts_made_to_be_slow_have_their_size_and_never_change(
    benchmark_module: Load, tmp_path: Path
) -> None:
    texts = benchmark_module("tokenizer_texts")
    first, second = ([*texts.adversarial_texts(10_000, tmp_path)] for _ in range(2))
    assert first == second
    assert [len(one.content) for one in first] == [10_000] * 5
    assert all(one.path.read_bytes() == one.content for one in first)
    assert [one.string.encode() == one.content for one in first] == [True] * 4 + [False]


def test_the_report_stands_between_its_marks(benchmark_module: Load, tmp_path: Path) -> None:
    rows = benchmark_module("tokenizer_rows")
    report = benchmark_module("tokenizer_report")
    measured = [
        rows.Row("Encoding, gpt2", f"books, 1 MB, {passes}", "MB/s", 400.0, "tokie", 100.0)
        for passes in ("first pass", "later passes")
    ]
    page, plot = tmp_path / "page.md", tmp_path / "figures/speed.svg"
    page.write_text(f"# Title\n\n{report.BEGIN}\nold\n{report.END}\n\nThe end.\n")
    report.write_report(measured, page, plot)
    written = page.read_text()
    assert written.startswith("# Title\n\n" + report.BEGIN)
    assert written.endswith(report.END + "\n\nThe end.\n")
    assert "old" not in written
    assert "| books, 1 MB, first pass | 400 MB/s | tokie 100 MB/s | 4.0 × |" in written
    assert "(figures/speed.svg)" in written
    picture = plot.read_bytes()
    assert b"tokie" in picture
    report.write_report(measured, page, plot)
    assert plot.read_bytes() == picture
    page.write_text("nothing to replace")
    with pytest.raises(ValueError, match="the page needs the lines"):
        report.write_report(measured, page, plot)


def test_other_ids_are_told_with_their_place(benchmark_module: Load) -> None:
    difference = benchmark_module("tokenizer_timing").difference
    ids = np.arange(1000, dtype=np.uint32)
    other = ids.copy()
    other[977] += 1
    assert difference(ids, ids.astype(np.int64)) == ""
    assert difference(other, ids) == "ids differ from token 977 on: 978, not 977"


def test_the_published_page_has_its_marks(benchmark_module: Load) -> None:
    report = benchmark_module("tokenizer_report")
    page = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    assert report.between(page, "measured").count("measured") >= 1


def test_it_runs_on_a_tiny_text_with_the_peers_that_are_there(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared with published vocabularies, which is absent here")
    text = "It's 1599: the newest egg, Egg egg! 나무 🙂\n\n" * 200
    (tmp_path / "tinyshakespeare.txt").write_text(text, encoding="utf-8")
    command = [sys.executable, "benchmarks/tokenizers.py", "--quick", "--corpora", str(tmp_path)]
    command += ["--only", "gpt2", "short", "decoding"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "differ" not in ended.stdout
    measured = [line for line in ended.stdout.splitlines() if "tiny Shakespeare" in line]
    for peer, module in (("tiktoken", "tiktoken"), ("tokie", "tokie"), ("Hugging", "tokenizers")):
        with_peer = [line for line in measured if f" {peer} " in line and "×" in line]
        there = importlib.util.find_spec(module) is not None
        needs_other = peer == "tokie" and importlib.util.find_spec("tokenizers") is None
        assert bool(with_peer) == (there and not needs_other)


def test_a_folder_without_corpora_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/tokenizers.py", "--corpora", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert f"{tmp_path} holds none of books.txt" in ended.stderr


def test_the_benchmark_of_windows_runs_without_any_text() -> None:
    command = [sys.executable, "benchmarks/windows.py", "--quick"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "kernels gather what NumPy gathers" in ended.stdout
    for strategy in ("stream", "left_padded", "slide_through", "full", "first_full", "packed"):
        assert f"| `{strategy}` |" in ended.stdout
    assert "of the time spent waiting for data" in ended.stdout


def test_generation_is_compared_on_equal_ids(
    benchmark_module: Load, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = benchmark_module("generation")
    tiny = generation.Shape(1, 2, 16, 16, 40, prompt=3, tokens=8, uncached=2)
    monkeypatch.setitem(generation.SHAPES, "tiny", tiny)
    generation.run("tiny", rows=2, rounds=1, device=torch.device("cpu"))
    lines = capsys.readouterr().out.split("\n")
    assert [line.split()[0] for line in lines[2:-1]] == [
        "no",
        "transformers",
        "float32",
        "bfloat16",
        "int8",
    ]
