"""What every test of this room gets: a cache folder of its own, and a listener to ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from opening_corpora import Remembering


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that no other test has seen."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HORNBOOK_CACHE", str(folder))
    return folder


@pytest.fixture
def listener() -> Remembering:
    return Remembering()
