"""What the tests of studies share: a text of short lines, a small study, and a finished one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hornbook.experiments import Cell, Comparison, Study, compare

SMALL: dict[str, Any] = {
    "context_length": 12,
    "corpus": {"separate_by": "line", "split": "by_document", "validation_fraction": 0.2},
    "tokenizer": {"kind": "char"},
    "model": {"kind": "transformer", "layers": 1, "heads": 2, "d_model": 16},
    "training": {"batch_size": 8, "device": "cpu", "checkpoint_every": 3},
}


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred lines of one to six words, always the same."""
    draw = random.Random(5)
    words = "in the beginning was a word and light over deep water".split()
    path = tmp_path_factory.mktemp("lines") / "lines.txt"
    text = "".join(" ".join(draw.choices(words, k=draw.randint(1, 6))) + "\n" for _ in range(300))
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small_study() -> Study:
    """Three ways to cut windows, with a model that trains in a moment."""
    return Study(
        name="small",
        question="Which is better?",
        settings=SMALL,
        cells=(
            Cell(name="stream", settings={"data": {"windows": "stream"}}),
            Cell(name="packed", settings={"data": {"windows": "packed"}}),
            Cell(name="left_padded", settings={"data": {"windows": "left_padded"}}),
        ),
    )


@pytest.fixture(scope="session")
def conduct(small_study: Study, lines: Path) -> Callable[..., Comparison]:
    """``conduct(folder, seeds=1)`` runs the small study."""

    def run(out: Path, **changes: Any) -> Comparison:
        wish: dict[str, Any] = {"study": small_study, "seeds": 2, "tokens": 1000, **changes}
        return compare(wish.pop("study"), wish.pop("corpus", lines), out=out, **wish)

    return run


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, conduct: Callable[..., Comparison]
) -> Comparison:
    """The small study with two seeds, which no test may change."""
    return conduct(tmp_path_factory.mktemp("studies") / "finished")
