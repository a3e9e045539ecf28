"""What a study's folder says of itself: ``study.toml``.

    FOLDER/
      study.toml                    the study, its settings, what was asked and what was chosen
      cells/left_padded-seed-1/     an ordinary run: show it, sample from it, fork it
      measurements/left_padded-seed-1.json
      results.csv, results.parquet, table.md, report.html, plot.svg, plot.png

``study.toml`` is complete: a study goes on from it alone. A cell whose measurement is there is
finished and not run again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field, ValidationError

from hornbook.durable import write_durably
from hornbook.errors import ConfigError, RunError
from hornbook.experiments.budget import CellPlan
from hornbook.experiments.measures import Measure, chosen_measures
from hornbook.experiments.study import Study
from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import check, differences
from hornbook.settings import Settings

SCHEMA_VERSION = 1
_FILE = "study.toml"
_HEAD = "# Written by hornbook compare. Go on with: hornbook compare --resume FOLDER\n\n"


class StudyRecord(Settings):
    """The content of ``study.toml``."""

    schema_version: int = SCHEMA_VERSION
    """Grows when the file changes."""

    study: Study
    """What is compared."""

    settings: RunConfig
    """What all cells share, with the corpus as it was found."""

    seeds: int = Field(ge=1)
    """How many seeds; they count up from ``settings.seed``."""

    budget: str = ""
    """The time that was asked for; empty where a number of tokens was."""

    tokens: int = Field(ge=1)
    """Targets that count, for each cell and seed."""

    evaluated_tokens: int = Field(ge=1)
    """Targets of each measure, the same ones for all cells and seeds."""

    corpus_fingerprint: str
    """The text's, so that a changed text is noticed."""

    same_initial_weights: bool
    """Whether all cells begin with the same weights for the same seed."""

    plan: dict[str, CellPlan]
    """How each cell is trained, by its name."""

    left_out: dict[str, str]
    """Cells that cannot be trained on this text, each with the reason."""

    origin: str = ""
    """The run that cells begin from or sample from, as FOLDER@STEP; empty where none was given."""

    tensors_in_common: int = 0
    """Tensors that all cells have, by name and shape."""

    tensors_alike: int = 0
    """Those of them that begin with the same numbers in all cells."""

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.settings.seed, self.settings.seed + self.seeds))

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What is compared."""
        return chosen_measures(self.study.kind, self.study.measures)

    @property
    def cells(self) -> list[str]:
        """The names of the cells that take part, in the study's order."""
        return [cell.name for cell in self.study.cells if cell.name in self.plan]

    def write(self, folder: Path) -> None:
        """Write ``study.toml`` into ``folder``, whole."""
        text = tomli_w.dumps(_without_none(self.model_dump(mode="json")), multiline_strings=False)
        write_durably(folder / _FILE, (_HEAD + text).encode("utf-8"))

    @classmethod
    def read(cls, folder: Path) -> StudyRecord:
        """Read the ``study.toml`` of ``folder``.

        Raises:
            RunError: when there is none, it is damaged, or a newer hornbook wrote it.
        """
        path = folder / _FILE
        try:
            content = tomllib.loads(path.read_text("utf-8"))
            version = content["schema_version"]
            if version > SCHEMA_VERSION:
                raise RunError(
                    f"{path} was written by a newer hornbook (schema version {version}; this one "
                    f"knows up to {SCHEMA_VERSION}). Install a newer hornbook to go on with it."
                )
            return cls.model_validate({**content, "settings": check(content["settings"])})
        except FileNotFoundError as error:
            raise RunError(f"{folder} is no study: it has no {_FILE}.") from error
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, ConfigError, ValidationError) as error:
            raise RunError(f"{path} is damaged: {error}") from error


def is_study(folder: Path) -> bool:
    """Whether ``folder`` holds a study."""
    return (folder / _FILE).is_file()


def run_path(folder: Path, cell: str, seed: int) -> Path:
    """Where the run of a cell with a seed lies."""
    return folder / "cells" / f"{cell}-seed-{seed}"


def refuse_differences(
    folder: Path,
    record: StudyRecord,
    *,
    study: Study,
    settings: RunConfig,
    seeds: int,
    budget: str | None,
    tokens: int | None,
    origin: str = "",
) -> None:
    """Raise ``RunError`` naming everything that was asked and differs from the study's.

    More seeds than the study has are no difference: it goes on with them. A budget or a number
    of tokens that is not asked for is the study's own.
    """
    found = list(_study_differences(record.study, study))
    for key, (old, new) in differences(record.settings, settings).items():
        found.append((key, old, new))
    if seeds < record.seeds:
        found.append(("--seeds", record.seeds, seeds))
    if budget is not None and budget != record.budget:
        found.append(("--budget", record.budget or f"none (--tokens {record.tokens})", budget))
    if tokens is not None and (record.budget or tokens != record.tokens):
        asked = f"none (--budget {record.budget})" if record.budget else record.tokens
        found.append(("--tokens", asked, tokens))
    if origin and origin != record.origin:
        found.append(("--from", record.origin or "none", origin))
    if found:
        lines = [f"  {key}: the study has {old}, asked for {new}" for key, old, new in found]
        raise RunError(
            "\n".join(
                [
                    f"{folder} holds a study with other settings:",
                    *lines,
                    "Name another folder with --out, or go on with the study as it is: "
                    f"hornbook compare --resume {folder}",
                ]
            )
        )


def _study_differences(old: Study, new: Study) -> Iterator[tuple[str, Any, Any]]:
    if old.name != new.name:
        yield "study", old.name, new.name
        return
    before = {cell.name: _plain(cell.settings) for cell in old.cells}
    after = {cell.name: _plain(cell.settings) for cell in new.cells}
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            yield f"cell {name}", before.get(name, "none"), after.get(name, "none")


def _without_none(value: Any) -> Any:
    """TOML has no null: a key that is not there means the same."""
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """What becomes of a value on its way through TOML: tuples are lists."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
