"""The chart of a run's parts says what the code says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chart_places import assert_readable

from hornbook.inspection.diagrams.house import makers, shared_settings
from hornbook.inspection.diagrams.house_drawing import house_text, lay_out_house
from hornbook.inspection.diagrams.settings_read import keys_below, keys_read
from hornbook.optimization import ObjectiveConfig
from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import settings_keys
from hornbook.settings import Settings


def test_things_are_made_of_what_their_makers_take() -> None:
    assert {maker.thing: maker.needs for maker in makers()} == {
        "corpus": (),
        "tokenizer": ("corpus",),
        "store": ("corpus", "tokenizer"),
        "windows": ("store",),
        "model": ("tokenizer",),
        "objective": ("model", "windows"),
        "optimizer": ("model",),
        "run": ("corpus", "tokenizer", "model", "optimizer"),
    }


def test_every_key_is_a_setting() -> None:
    known = {key for key, _ in settings_keys(RunConfig())}
    for maker in makers()[:-1]:
        for key in maker.settings:
            begin = key.removesuffix("*")
            assert key in known or any(k.startswith(begin) for k in known if key != begin), key


def test_shared_settings_are_read_by_those_that_share_them() -> None:
    readers = {
        key: [maker.thing for maker in makers() if key in maker.settings]
        for key in shared_settings(makers())
    }
    assert readers["context_length"] == ["windows", "model"]
    assert readers["seed"] == ["corpus", "windows", "model"]
    assert readers["training.batch_size"] == ["windows", "optimizer"]


def test_a_chain_is_followed_through_names_functions_and_properties() -> None:
    found = keys_read(reads_much, RunConfig)
    assert set(found) == {
        "seed", "training.steps", "training.schedule.*", "context_length", "data.positions",
        "model.position_count", "corpus.validation_fraction",
    }  # fmt: skip
    assert keys_below(RunConfig, ObjectiveConfig) == ["training.objective.*"]
    assert keys_read(len, RunConfig) == []


def reads_much(config: RunConfig) -> Iterator[object]:
    plan = config.training
    yield plan.steps, plan.schedule
    yield config.seed
    yield config.position_count
    yield _reads_more(config)


def _reads_more(config: RunConfig) -> object:
    return getattr(config.corpus, "validation_fraction", Settings)


def test_the_picture_can_be_read() -> None:
    layout, dots = lay_out_house(makers())
    assert_readable(layout)
    assert len(set(dots)) == len(dots)
    tips = [line.points[-1] for line in layout.lines if line.tip]
    assert len(set(tips)) == len(tips) == sum(len(maker.needs) for maker in makers())


def test_mermaid_says_the_same() -> None:
    text = house_text(Path("x.mmd"))
    assert text.count(" --> ") == sum(len(maker.needs) for maker in makers())
    assert "store --> windows" in text
