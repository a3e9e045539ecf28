"""``hornbook report`` writes the page of one run, or of several."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hornbook


def test_one_run_and_several(
    call: Any, finished_run: hornbook.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished_run.path, "a")
    shutil.copytree(finished_run.path, "b")
    Path("a/report.html").unlink()
    assert call("report", "a").stdout == "a/report.html\n"
    assert "a transformer" in Path("a/report.html").read_text("utf-8").lower()
    assert call("report", "a", "--out", "elsewhere.html").stdout == "elsewhere.html\n"
    assert call("report", "a", "b").stdout == "report.html\n"
    assert "Runs side by side" in Path("report.html").read_text("utf-8")


def test_mistakes(refused: Callable[..., str], finished_run: hornbook.Run, tmp_path: Path) -> None:
    run = finished_run.path
    assert "should end in .html" in refused("report", run, "--out", tmp_path / "page.pdf")
    assert "named twice" in refused("report", run, run)
    assert "is not a run" in refused("report", run, tmp_path)
    assert "cannot be written" in refused("report", run, "--out", tmp_path / "no" / "page.html")
