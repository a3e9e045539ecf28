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

Every cell is trained once for each seed, on the same number of tokens. How many steps and rows a
cell gets is never part of a study: ``budget`` works it out.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from hornbook.errors import ConfigError, Problem
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


class Cell(Settings):
    """One of the things that a study compares."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")
    """Its name in tables, plots and folders."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """What it changes, in groups as in ``run.toml``."""


class Study(Settings):
    """What is compared with what, and under which settings."""

    name: str
    """The name of a study that comes with hornbook, or of its file."""

    question: str = ""
    """What the study answers."""

    varies: str = ""
    """The settings that differ between its cells, in words."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """What all cells share, in groups as in ``run.toml``."""

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

    def varied_keys(self) -> set[str]:
        """The dotted keys that a cell sets."""
        return {key for cell in self.cells for key in _dotted(cell.settings)}

    def base(self, *, file: Path | None = None, overrides: Overrides = ()) -> RunConfig:
        """The settings that all cells share, with a file and a person's words laid over them.

        Raises:
            ConfigError: with every problem found; a key that the cells vary is one.
        """
        shared = resolve(base=resolve(overrides=QUIET), overrides=self.settings)
        self._refuse(_keys(overrides))
        return resolve(base=shared, file=file, overrides=overrides)

    def cell_config(self, base: RunConfig, name: str) -> RunConfig:
        """The settings of one cell; raises ``ConfigError`` where they do not fit together."""
        return resolve(base=base, overrides=self.cell(name).settings)

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


def built_in_names() -> list[str]:
    """The studies that come with hornbook, sorted."""
    folder = resources.files("hornbook.experiments") / "studies"
    return sorted(
        item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")
    )


def find_study(name: str) -> Study:
    """The study of that name, or the one in the TOML file at that path.

    Raises:
        ConfigError: when there is none, or the file is no study; every problem is named.
    """
    names = built_in_names()
    if name in names:
        text = (resources.files("hornbook.experiments") / "studies" / f"{name}.toml").read_text(
            "utf-8"
        )
        return parse_study(name, text, name)
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        try:
            return parse_study(path.stem, path.read_text("utf-8-sig"), name)
        except OSError as error:
            message = f"cannot be read: {error.strerror or error}"
        except UnicodeDecodeError as error:
            message = f"is not UTF-8 text: byte {error.start}"
        raise ConfigError([Problem("study", message, name)])
    near = difflib.get_close_matches(name, names, n=1)
    message = f"there is no such study; there are {', '.join(names)}, or name a TOML file."
    raise ConfigError([Problem("study", message, name, near[0] if near else None)])


def parse_study(name: str, text: str, place: str) -> Study:
    """A study from its TOML text.

    Args:
        name: what it is called.
        text: the content of its file.
        place: what to call the file in messages.

    Raises:
        ConfigError: with every problem found.
    """
    try:
        study = Study.model_validate({"name": name, **tomllib.loads(text)})
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Problem("study", f"is not valid TOML: {error}", place)]) from error
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, details["loc"])), f"{details['msg']} ({place})")
            for details in error.errors(include_url=False, include_context=False)
        ]
        raise ConfigError(problems) from error
    if problems := list(study.conflicts()):
        raise ConfigError(problems)
    return study


def _keys(overrides: Overrides) -> set[str]:
    if isinstance(overrides, Mapping):
        return set(_dotted(overrides))
    return {word.partition("=")[0].strip() for word in overrides}


def _dotted(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The keys of nested groups as words with dots.

    >>> list(_dotted({"seed": 1, "model": {"layers": 2}}))
    ['seed', 'model.layers']
    """
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key
