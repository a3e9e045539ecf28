"""``hornbook embeddings`` lists neighbours, draws pictures, and explains words it cannot find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hornbook


def test_neighbours_of_words(call: Any, finished_run: hornbook.Run) -> None:
    result = call("embeddings", finished_run.path, "--near", "river", "--near", "xyz", "--most", 3)
    assert result.exit_code == 0
    assert "·river  (id " in result.stdout
    assert "'xyz' is 3 tokens here: x y z. Of each:" in result.stdout
    assert result.stdout.count("\n  ") >= 12
    assert not (finished_run.path / "embeddings").exists()


def test_pictures_are_written(call: Any, finished_run: hornbook.Run, tmp_path: Path) -> None:
    result = call("embeddings", finished_run.path, "--near", "river", "--out", tmp_path / "new")
    assert result.exit_code == 0
    names = {file.name for file in (tmp_path / "new").iterdir()}
    assert names - {"map-umap.svg"} == {"map.svg", "map.html", "norms.svg", "positions.svg"}
    assert all(str(tmp_path / "new" / name) in result.stdout for name in names)


def test_counts_that_are_not_at_hand_are_told(
    call: Any, finished_run: hornbook.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "empty"))
    result = call("embeddings", finished_run.path, "--out", tmp_path)
    assert "not at hand" in result.stderr
    assert not (tmp_path / "norms.svg").exists()
    assert (tmp_path / "map.html").exists()


def test_mistakes(refused: Callable[..., str], finished_run: hornbook.Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is not a run" in refused("embeddings", tmp_path)
    assert "An empty word" in refused("embeddings", finished_run.path, "--near", "")
    said = refused("embeddings", finished_run.path, "--out", tmp_path / "file")
    assert "cannot be written" in said
