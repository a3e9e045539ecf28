"""What a study is: settings that all its cells share, and what each cell changes.

A study is a TOML file. Those that come with hornbook lie in ``studies/``; a person's own looks
the same:

    question = "How many layers?"
    settings.model.d_model = 64

    [[cells]]
    name = "two"
    settings.model.layers = 2

    [[cells]]
    name = "four"
    settings.model.layers = 4

Instead of cells, or beside them, a file may have ``axes`` (``axes.py``). Every cell is trained once
for each seed, on the same number of tokens. How many steps and rows a cell gets is never part of a
study: ``budget`` works it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hornbook.errors import ConfigError, Problem
from hornbook.experiments.axes import Axis
from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import Overrides, resolve
from hornbook.settings import Settings

QUIET = {
    "training": {
        "schedule": {"warmup_steps": 50},
        "log_every": 50,
        "evaluate_every": 0,
        "evaluation_windows": 32,
        "checkpoint_every": 500,
        "keep_checkpoints": 1,
        "sample_every": 0,
    }
}
"""What every study begins with: cells are measured at their end, by the study, and nobody reads
samples of them. The warm-up takes at most a tenth of a cell's steps."""


REAL_TEXT = "real-text"
"""The cell of a decoding study whose texts are not sampled but taken from the validation side."""


class Cell(Settings):
    """One of the things that a study compares."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")
    """Its name in tables, plots and folders."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """What it changes, in groups as in ``run.toml``."""

    begins_from: Literal["", "origin"] = ""
    """Where its weights come from: drawn, or the run that is given with the study (origin)."""

    axes: tuple[Axis, ...] = ()
    """Axes of this cell alone, instead of the study's; none are left when a file was read."""

    line: str = ""
    """What it has in common with the other points of a curve; its name where there is no axis."""

    at: dict[str, Any] = Field(default_factory=dict)
    """Its place on each axis: keys and values."""


class Study(Settings):
    """What is compared with what, and under which settings."""

    name: str
    """The name of a study that comes with hornbook, or of its file."""

    kind: Literal["training", "decoding"] = "training"
    """What a cell is: a run of its own (training), or a way to sample from one run (decoding)."""

    question: str = ""
    """What the study answers."""

    varies: str = ""
    """The settings that differ between its cells, in words."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """What all cells share, in groups as in ``run.toml``."""

    axes: tuple[Axis, ...] = ()
    """The axes that all cells share, with their titles."""

    measures: tuple[str, ...] = ()
    """What is compared, in the order of the table; empty means the usual measures of its kind."""

    curve_points: int = Field(default=0, ge=0, le=100)
    """How often the validation loss is also measured on the way, for a plot of it."""

    cells: tuple[Cell, ...] = Field(min_length=2)
    """What is compared."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem for each name that two cells share, in any case of letters."""
        names = [cell.name.lower() for cell in self.cells]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Problem("cells", "two cells have this name; each needs its own folder", name)

    def cell(self, name: str) -> Cell:
        """The cell with this name, which exists."""
        return next(cell for cell in self.cells if cell.name == name)

    @property
    def needs_origin(self) -> bool:
        """Whether a cell begins from a run that is given with the study."""
        return any(cell.begins_from == "origin" for cell in self.cells)

    def varied_keys(self) -> set[str]:
        """The dotted keys that a cell sets."""
        return {key for cell in self.cells for key in dotted(cell.settings)}

    def base(self, *, file: Path | None = None, overrides: Overrides = ()) -> RunConfig:
        """The settings that all cells share, with a file and a person's words laid over them.

        Raises:
            ConfigError: with every problem found, those of every cell among them; a key that the
                cells vary is one.
        """
        shared = resolve(base=resolve(overrides=QUIET), overrides=self.settings)
        return self.laid_over(shared, file=file, overrides=overrides)

    def laid_over(
        self, shared: RunConfig, *, file: Path | None = None, overrides: Overrides = ()
    ) -> RunConfig:
        """``shared`` with a file and a person's words laid over it, once every cell is checked."""
        self._refuse(_keys(overrides))
        settings = resolve(base=shared, file=file, overrides=overrides)
        self._check_cells(settings)
        return settings

    def cell_config(self, base: RunConfig, name: str) -> RunConfig:
        """The settings of one cell; raises ``ConfigError`` where they do not fit together."""
        return resolve(base=base, overrides=self.cell(name).settings)

    def _check_cells(self, settings: RunConfig) -> None:
        """Refuse what is wrong with the settings of any cell, each problem once."""
        found: dict[Problem, list[str]] = {}
        for cell in self.cells:
            try:
                self.cell_config(settings, cell.name)
            except ConfigError as error:
                for problem in error.problems:
                    found.setdefault(problem, []).append(cell.name)
        if found:
            raise ConfigError(
                [
                    replace(problem, message=f"{problem.message.rstrip('.')} ({_listed(cells)}).")
                    for problem, cells in found.items()
                ]
            )

    def _refuse(self, keys: set[str]) -> None:
        problems = [
            Problem(key, f"is what the study {self.name} compares, so it cannot be set for all")
            for key in sorted(keys & self.varied_keys())
        ]
        if "training.steps" in keys:
            problems.append(
                Problem("training.steps", "follows from the tokens; use --tokens or --budget")
            )
        if problems:
            raise ConfigError(problems)


def _listed(cells: Sequence[str]) -> str:
    """Whose problem it is, in a few words.

    >>> _listed(["two"]), _listed(["a", "b", "c", "d"])
    ('in the cell two', 'in the cells a, b and 2 more')
    """
    if len(cells) == 1:
        return f"in the cell {cells[0]}"
    if len(cells) <= 3:
        return f"in the cells {', '.join(cells[:-1])} and {cells[-1]}"
    return f"in the cells {cells[0]}, {cells[1]} and {len(cells) - 2} more"


def _keys(overrides: Overrides) -> set[str]:
    if isinstance(overrides, Mapping):
        return set(dotted(overrides))
    return {word.partition("=")[0].strip() for word in overrides}


def dotted(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The keys of nested groups as words with dots.

    >>> list(dotted({"seed": 1, "model": {"layers": 2}}))
    ['seed', 'model.layers']
    """
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key
