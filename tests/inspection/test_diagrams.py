"""Charts of every preset and every choice: they say what the module has, and nothing overlaps."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from accounted_models import MODELS, named
from chart_places import assert_readable

from hornbook.errors import RunError
from hornbook.inspection.accounting.account import assumed_vocabulary
from hornbook.inspection.diagrams.drawing import as_svg, as_text, check_diagram_name
from hornbook.inspection.diagrams.flow import Flow, Repeat
from hornbook.inspection.diagrams.layout import lay_out
from hornbook.inspection.diagrams.model_flow import flow_of_run, model_flow
from hornbook.models import TransformerConfig, build_model
from hornbook.models.undrawn import undrawn
from hornbook.runs.resolution import preset_names, resolve


@cache
def flow_of(config: Any) -> Flow:
    with torch.device("meta"), undrawn():
        return model_flow(build_model(config, vocab_size=77, context_length=32, seed=1))


def look_at(flow: Flow) -> None:
    assert_readable(lay_out(flow, "a model with a name of some length"))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_drawn_as_it_is_built(name: str) -> None:
    config = resolve(preset=name)
    vocab_size, _ = assumed_vocabulary(config)
    flow = flow_of_run(config, vocab_size)
    look_at(flow)
    assert f"{flow.parameters():,} parameters" in flow.facts


@pytest.mark.parametrize("config", MODELS, ids=named)
def test_every_choice_is_drawn_with_all_its_parameters(config: Any) -> None:
    flow = flow_of(config)
    look_at(flow)
    assert f"{flow.parameters():,} parameters" in flow.facts
    for text in (as_svg(flow, "x"), as_text(flow, "x", Path("x.mmd"))):
        for box, _ in flow.boxes():
            assert box.title in text


def test_every_switch_changes_the_picture() -> None:
    unseen = {"attention_scale"}  # numbers that change no shape and no part
    pictures: dict[str, str] = {}
    for config in MODELS:
        changed = config.model_dump(exclude_defaults=True).keys() - {"layers", "heads", "d_model"}
        if changed & unseen or "attention_dropout" in changed or "position_count" in changed:
            continue
        picture = as_svg(flow_of(config), "x")
        assert picture not in pictures.values(), named(config)
        pictures[named(config)] = picture


def test_equal_layers_are_folded_and_others_are_not() -> None:
    def repeats(**changes: Any) -> list[tuple[int, str]]:
        config: Any = TransformerConfig(heads=2, d_model=32, **changes)
        flow = flow_of(config)
        return [(item.times, item.caption) for item in flow.items if isinstance(item, Repeat)]

    assert repeats(layers=6) == [(6, "layers 0 to 5")]
    assert repeats(layers=1) == [(1, "layer 0")]
    found = repeats(layers=5, window=4, window_layers="alternate")
    assert found == [(2, "layers 0 to 3, 2 at a time"), (1, "layer 4")]
    assert repeats(layers=4, window=4, window_layers="0,1") == [
        (2, "layers 0 to 1"),
        (2, "layers 2 to 3"),
    ]


def test_the_file_is_a_picture_without_anything_from_elsewhere() -> None:
    for config in MODELS[:3]:
        root = ET.fromstring(as_svg(flow_of(config), "a < b & c"))
        assert root.tag.endswith("svg")
        assert "a < b & c" in "".join(root.itertext())


def test_mermaid_names_each_node_once_and_every_edge_leads_somewhere() -> None:
    text = as_text(flow_of(MODELS[0]), "x", Path("x.mmd"))
    lines = [line.strip() for line in text.splitlines()]
    plain = [line for line in lines if line[:1] in ("n", "s") and "--" not in line]
    nodes = [re.split(r"[\[(]", line)[0] for line in plain if not line.startswith("subgraph")]
    assert len(nodes) == len(set(nodes)) > 10
    for line in text.splitlines():
        if "-->" in line:
            assert line.split()[0] in nodes
            assert line.split()[-1] in nodes


@pytest.mark.parametrize("name", ["x.png", "x", "no-such-folder/x.svg", "no-such-folder/x.mmd"])
def test_other_files_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"\.svg|no folder"):
        check_diagram_name(tmp_path / name)
