"""A run of every past version must open, sample and resume for ever.

``tests/bundles/version-N.zip`` was written by the hornbook that introduced schema version N
(``hornbook pack --with-data``). Never change one; add one when the schema grows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import hornbook
from hornbook.runs.archive import unpack_run
from hornbook.runs.manifest import SCHEMA_VERSION
from hornbook.runs.verification import verify_run

BUNDLES = sorted((Path(__file__).parent / "bundles").glob("version-*.zip"))


def test_every_version_has_its_bundle() -> None:
    assert [bundle.stem for bundle in BUNDLES] == [
        f"version-{number}" for number in range(1, SCHEMA_VERSION + 1)
    ]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.stem)
def test_a_past_run_opens_samples_and_resumes(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path / "empty cache"))
    path = unpack_run(bundle, tmp_path / "run")
    assert "data" in verify_run(path)
    run = hornbook.open_run(path)
    assert run.config.training.steps == 12
    assert str(run.sample("The", temperature=0, max_tokens=6)).startswith("The")
    before = run.metrics()
    longer = hornbook.resume(path, overrides=["training.steps=16"])
    assert longer.checkpoints()[-1].step == 16
    assert longer.metrics()[: len(before)] == before
    assert longer.metrics()[-1]["training_loss"] < before[0]["training_loss"]
    verify_run(path)
