"""Where studies come from: the TOML files in ``studies/``, a person's own, or a mapping in Python.

A file has ``cells``, ``axes`` or both, and becomes a ``Study`` whose cells are all written out:

    [[axes]]                                    cells  layers-2   at {"model.layers": 2}
    key = "model.layers"               ->              layers-4   at {"model.layers": 4}
    values = [2, 4]

Every mistake is told at once, with the place in the file and the key that was probably meant.
"""

from __future__ import annotations

import copy
import difflib
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from hornbook.errors import ConfigError, Problem
from hornbook.experiments.axes import MOST_CELLS, Axis, combinations, point_names
from hornbook.experiments.measures import known_measures
from hornbook.experiments.study import REAL_TEXT, Cell, Study, dotted
from hornbook.runs.resolution import known_keys, nearest_key

_FOLDER = resources.files("hornbook.experiments") / "studies"


class StudyFile(Study):
    """A study as it is written: its cells may still have axes, and there may be none."""

    cells: tuple[Cell, ...] = Field(default=())
    """What is compared; each at every point of the axes."""


def built_in_names() -> list[str]:
    """The studies that come with hornbook, sorted."""
    names = (item.name for item in _FOLDER.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def find_study(name: str) -> Study:
    """The study of that name, or the one in the TOML file at that path.

    Raises:
        ConfigError: when there is none, or the file is no study; every problem is named.
    """
    names = built_in_names()
    if name in names:
        return parse_study(name, (_FOLDER / f"{name}.toml").read_text("utf-8"), name)
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
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Problem("study", f"is not valid TOML: {error}", place)]) from error
    return study_of({"name": name, **content}, place)


def study_of(content: Mapping[str, Any], place: str = "the study") -> Study:
    """A study from what its file would hold, with all cells written out.

    Args:
        content: ``name`` and the keys of a study's file.
        place: what to call it in messages.

    Raises:
        ConfigError: with every problem found.

    >>> axis = {"key": "model.layers", "values": [2, 4]}
    >>> [cell.name for cell in study_of({"name": "depth", "axes": [axis]}).cells]
    ['layers-2', 'layers-4']
    """
    try:
        found = StudyFile.model_validate(content)
    except ValidationError as error:
        problems = [
            Problem(".".join(map(str, details["loc"])), f"{details['msg']} ({place})")
            for details in error.errors(include_url=False, include_context=False)
        ]
        raise ConfigError(problems) from error
    problems = [*_problems(found, place)]
    if problems:
        raise ConfigError(problems)
    try:
        study = Study.model_validate({**found.model_dump(), "cells": written_out(found)})
    except ValidationError as error:  # a name too long for a folder
        reasons = {details["msg"] for details in error.errors(include_url=False)}
        raise ConfigError([Problem("cells", f"{', '.join(reasons)} ({place})")]) from error
    if problems := list(study.conflicts()):
        raise ConfigError(problems)
    return study


def written_out(found: StudyFile) -> list[dict[str, Any]]:
    """Every cell at every point of its axes, in the order of the file, as plain values."""
    # What a decoding study compares with stands first.
    cells: list[dict[str, Any]] = [{"name": REAL_TEXT}] if found.kind == "decoding" else []
    for cell in found.cells or (None,):
        for at in combinations(_axes_of(found, cell)):
            parts = [cell.name] if cell is not None else []
            parts += point_names(at)
            name = "-".join(parts)
            settings = copy.deepcopy(cell.settings) if cell is not None else {}
            for key, value in at.items():
                _put(settings, key, value)
            cells.append(
                {
                    "name": name,
                    "settings": settings,
                    "begins_from": cell.begins_from if cell is not None else "",
                    "line": cell.name if cell is not None and at else "",
                    "at": at,
                }
            )
    return cells


def _put(settings: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested groups."""
    *groups, name = key.split(".")
    for group in groups:
        settings = settings.setdefault(group, {})
    settings[name] = value


def _axes_of(found: StudyFile, cell: Cell | None) -> tuple[Axis, ...]:
    return cell.axes if cell is not None and cell.axes else found.axes


def _problems(found: StudyFile, place: str) -> Iterator[Problem]:
    known = known_keys()
    axes = [(f"axes.{number}", axis) for number, axis in enumerate(found.axes)]
    for number, cell in enumerate(found.cells):
        axes += [(f"cells.{number}.axes.{m}", axis) for m, axis in enumerate(cell.axes)]
        for key in dotted(cell.settings):
            yield from _unknown(f"cells.{number}.settings", key, known, place)
    for where, axis in axes:
        yield from _unknown(f"{where}.key", axis.key, known, place)
        for problem in axis.conflicts():
            yield Problem(where, f"{problem.message} ({place})", problem.value)
    for key in dotted(found.settings):
        yield from _unknown("settings", key, known, place)
    if found.kind == "decoding":
        yield from _not_sampling(found, place)
    measures = known_measures(found.kind)
    for name in found.measures:
        if name not in measures:
            near = difflib.get_close_matches(name, measures, n=1)
            message = f"there is no such measure; there are {', '.join(measures)} ({place})."
            yield Problem("measures", message, name, near[0] if near else None)
    count = sum(_cell_count(found, cell) for cell in found.cells or (None,))
    if count < 2:
        yield Problem("cells", f"a study needs at least two cells, or an axis ({place})")
    elif count > MOST_CELLS:
        yield Problem(
            "axes", f"make {count:,} cells; more than {MOST_CELLS} are a mistake ({place})"
        )


def _not_sampling(found: StudyFile, place: str) -> Iterator[Problem]:
    cells = found.cells
    keys = {axis.key for axis in (*found.axes, *(axis for cell in cells for axis in cell.axes))}
    keys |= {key for cell in cells for key in dotted(cell.settings)}
    for key in sorted(keys):
        if not key.startswith("sampling."):
            message = f"is no setting of sampling, and kind=decoding trains one run alone ({place})"
            yield Problem("cells", message, key)


def _cell_count(found: StudyFile, cell: Cell | None) -> int:
    axes, count = _axes_of(found, cell), 1
    for axis in axes:
        count *= len(axis.points())
    return count if axes or cell is not None else 0


def _unknown(where: str, key: str, known: frozenset[str], place: str) -> Iterator[Problem]:
    if key not in known:
        near = nearest_key(key, sorted(known))
        yield Problem(where, f"there is no such setting ({place}).", key, near)
