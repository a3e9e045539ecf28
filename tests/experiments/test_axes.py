"""Axes become cells, lines of a plot, and one report of everything that is wrong with them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import ConfigError
from hornbook.experiments import find_study, study_of
from hornbook.experiments.axes import Axis, LogRange
from hornbook.experiments.axis_lines import is_geometric, lines_of
from hornbook.experiments.record import StudyRecord
from hornbook.experiments.study_file import parse_study
from hornbook.runs.assembly import make_model
from hornbook.tokenizers import ByteTokenizer

RATES = {"key": "training.learning_rate", "values": [0.01, 0.1, 1.0]}
KINDS = {"key": "training.optimizer.kind", "values": ["sgd", "adamw"]}


def test_a_grid_has_every_combination_once() -> None:
    study = study_of({"name": "grid", "axes": [KINDS, RATES]})
    assert [cell.name for cell in study.cells] == [
        "sgd-0.01", "sgd-0.1", "sgd-1", "adamw-0.01", "adamw-0.1", "adamw-1",
    ]  # fmt: skip
    config = study.cell_config(study.base(), "adamw-0.1").training
    assert (config.optimizer.kind, config.learning_rate) == ("adamw", 0.1)


def test_cells_stand_at_every_point_unless_they_have_axes_of_their_own() -> None:
    cells = [
        {"name": "wide", "settings": {"model": {"d_model": 32}}},
        {"name": "deep", "axes": [{"key": "model.layers", "values": [2, 4]}]},
    ]
    study = study_of({"name": "mixed", "axes": [RATES], "cells": cells})
    names = ["wide-0.01", "wide-0.1", "wide-1", "deep-layers-2", "deep-layers-4"]
    assert [cell.name for cell in study.cells] == names
    base = study.base()
    assert study.cell_config(base, "wide-0.1").model.d_model == 32  # pyright: ignore
    assert study.cell_config(base, "deep-layers-4").training.learning_rate == 1e-3
    assert cells[0]["settings"] == {"model": {"d_model": 32}}  # nothing was written into it


@given(st.floats(1e-6, 1.0), st.floats(1.5, 1e5), st.integers(3, 20))
def test_a_logarithmic_range_has_equal_ratios(first: float, ratio: float, count: int) -> None:
    wish = {"from": first, "to": first * ratio, "count": count}
    points = LogRange.model_validate(wish).points()
    assert len(points) == count
    for number, point in enumerate(points):
        assert math.isclose(point, first * ratio ** (number / (count - 1)), rel_tol=0.05)
    # two digits blur small steps, and nothing else
    assert is_geometric(list(points)) or ratio ** (1 / (count - 1)) < 3


def test_lines_are_cells_that_differ_in_one_number() -> None:
    study = study_of({"name": "grid", "axes": [KINDS, RATES]})
    found = lines_of(study, [cell.name for cell in study.cells])
    assert found is not None
    assert (found.key, found.title, found.logarithmic) == (
        "training.learning_rate",
        "learning rate",
        True,
    )
    assert found.lines["adamw"] == [(0.01, "adamw-0.01"), (0.1, "adamw-0.1"), (1.0, "adamw-1")]
    assert lines_of(study_of({"name": "two", "axes": [KINDS]}), ["sgd", "adamw"]) is None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"axes": [{**RATES, "key": "model.layer"}]}, r"axes\.0\.key=model\.layer.*mine\.toml.*"
         r"Did you mean model\.layers"),
        ({"axes": [RATES], "settings": {"contxt_length": 8}}, "Did you mean context_length"),
        ({"cells": [{"name": "a"}, {"name": "b", "settings": {"model": {"hads": 2}}}]},
         r"cells\.1\.settings=model\.hads.*Did you mean model\.heads"),
        ({"axes": [{"key": "seed"}]}, "needs either values or log"),
        ({"axes": [{**RATES, "log": {"from": 1, "to": 2, "count": 3}}]}, "needs either"),
        ({"axes": [{"key": "seed", "values": [1]}]}, "at least two different"),
        ({"axes": [{"key": "seed", "values": [1, 2, 1]}]}, "names a value twice"),
        ({"axes": [{"key": "seed", "log": {"from": -1, "to": 2, "count": 3}}]}, "greater than 0"),
        ({"axes": [{"key": "seed", "values": list(range(300))}]}, "300 cells"),
        ({"cells": [{"name": "alone"}]}, "at least two cells"),
        ({}, "at least two cells"),
        ({"axes": [RATES], "measures": ["lnes"]}, "Did you mean lines"),
        ({"axes": [RATES], "kind": "decoding"}, "no setting of sampling"),
        ({"axes": [RATES], "colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_mistakes_name_the_place(content: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){named}"):
        study_of({"name": "mine", **content}, "mine.toml")


def test_all_mistakes_are_told_at_once() -> None:
    text = (
        'settings.model.d_modl = 3\n[[axes]]\nkey = "model.layer"\nvalues = [1, 2]\n'
        '[[axes]]\nkey = "training.rate"\nvalues = [1]\n'
    )
    with pytest.raises(ConfigError) as caught:
        parse_study("mine", text, "mine.toml")
    assert len(caught.value.problems) == 4


def test_values_that_do_not_fit_are_told_once_with_their_cells() -> None:
    axes = [{"key": "model.heads", "values": [3, 4]}, {"key": "model.layers", "values": ["x", 2]}]
    study = study_of({"name": "mine", "axes": axes})
    with pytest.raises(ConfigError) as caught:
        study.base()
    told = sorted(map(str, caught.value.problems))
    assert len(told) == 2
    assert "heads=3: does not divide" in told[0]
    assert "(in the cells heads-3-x and heads-3-layers-2)" in told[0]
    assert "layers=x" in told[1]


def test_a_study_with_axes_comes_back_from_its_record(tmp_path: Path) -> None:
    study = find_study("learning-rate")
    record = StudyRecord(
        study=study,
        settings=study.base(),
        seeds=1,
        tokens=10,
        evaluated_tokens=10,
        corpus_fingerprint="x",
        same_initial_weights=True,
        plan={},
        left_out={},
    )
    record.write(tmp_path)
    again = StudyRecord.read(tmp_path)
    assert [cell.at for cell in again.study.cells] == [cell.at for cell in study.cells]
    assert again.study.axes[1].title == "learning rate"


def test_an_axis_needs_one_kind_of_points() -> None:
    assert not list(Axis(key="seed", values=(1, 2)).conflicts())


@pytest.mark.parametrize("name", ["positions", "feedforward"])
def test_cells_of_other_shapes_share_the_first_weights_where_they_can(name: str) -> None:
    study = find_study(name)
    base = study.base()
    tokenizer = ByteTokenizer()
    models = [
        make_model(study.cell_config(base, cell.name), tokenizer).state_dict()
        for cell in study.cells
    ]
    first, *others = models
    for other in others:
        shared = [key for key in first if key in other and first[key].shape == other[key].shape]
        assert len(shared) >= 10
        assert all(torch.equal(first[key], other[key]) for key in shared)
