"""Runs made by hand: what training would have written, without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.runs.manifest import Manifest
from hornbook.runs.run import Run, open_run

Lines = Sequence[Mapping[str, Any]]

METRICS: Lines = [
    {
        "step": step,
        "seconds": step / 4,
        "epoch": step / 100,
        "tokens_seen": step * 512,
        "training_loss": 7 - step / 100,
        "learning_rate": 1e-3,
    }
    | ({"validation_loss": loss, "bits_per_byte": loss / 2} if loss else {})
    for step, loss in [(10, 0), (100, 6.25), (200, 5.5), (300, 5.125), (400, 5.75)]
]
SAMPLES: Lines = [
    {"step": step, "prompt": "Once", "text": f" wrote {word}"}
    for step, word in [(100, "alpha"), (200, "beta"), (300, "gamma"), (350, "delta"), (400, "end")]
]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """Makes a run: ``make_run("name", metrics, samples, config=..., preset=...)``."""

    def make(
        name: str = "poems",
        metrics: Lines = METRICS,
        samples: Lines = SAMPLES,
        *,
        config: RunConfig | None = None,
        **manifest: Any,
    ) -> Run:
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir()
        folder.write_config(config or RunConfig())
        Manifest(created="2026-01-31T12:00:00+00:00", **manifest).write(folder.path)
        for journal, lines in ((folder.metrics, metrics), (folder.samples, samples)):
            for line in lines:
                journal.append(line)
        return open_run(folder.path)

    return make
