"""hornbook config and hornbook corpora."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.runs.resolution import check, preset_names, resolve


def test_config_prints_settings_that_can_be_read_back(call: Any) -> None:
    printed = call("config", "tiny", "model.layers=3").stdout
    assert check(tomllib.loads(printed)) == resolve(preset="tiny", overrides=["model.layers=3"])
    assert check(tomllib.loads(call("config").stdout)) == resolve()


def test_config_lays_a_file_over_the_preset(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[model]\nlayers = 5\n")
    printed = call("config", "tiny", "--config", file).stdout
    assert check(tomllib.loads(printed)) == resolve(preset="tiny", file=file)


def test_config_lists_the_presets(call: Any) -> None:
    lines = call("config", "--presets").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == preset_names()
    assert all(len(line.split()) > 3 for line in lines[1:])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["config", "tniy"], "Did you mean tiny?"),
        (["config", "tiny", "small"], "'small' is no setting"),
        (["config", "--presets", "tiny"], "takes nothing else"),
        (["corpora", "fetch", "tinyshakespear"], "Did you mean tinyshakespeare?"),
        (["corpora", "fetch", "python-docs"], "comes with Python"),
    ],
)
def test_mistakes_are_told(refused: Callable[..., str], words: list[str], said: str) -> None:
    assert said in refused(*words)


def test_corpora_are_listed_and_found_in_the_cache(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path))
    assert "with Python" in call("corpora").stdout
    before = next(row for row in call("corpora").stdout.splitlines() if "the-verdict" in row)
    kept = tmp_path / "corpora" / "the-verdict.txt"
    kept.parent.mkdir()
    kept.write_text("a story")
    after = next(row for row in call("corpora").stdout.splitlines() if "the-verdict" in row)
    assert before.endswith("no")
    assert after.endswith("yes")
    fetched = call("corpora", "fetch", "the-verdict")
    assert fetched.stdout == f"{kept}\n"
