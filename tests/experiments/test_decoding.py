"""A study of decoding samples from one run; measures of texts are what they say."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import ConfigError, HornbookError
from hornbook.experiments import Comparison, Study, compare, study_of
from hornbook.experiments.comparison import Verdict
from hornbook.experiments.outcomes import SampledTexts
from hornbook.experiments.sampled_texts import distinct, perplexity, repetition
from hornbook.experiments.tables import markdown
from hornbook.runs.run import open_run
from tests.experiments.conftest import SMALL

words = st.lists(st.sampled_from("abc"), max_size=12)


@given(st.lists(words, max_size=4), st.integers(1, 3))
def test_distinct_by_its_definition(texts: list[list[str]], length: int) -> None:
    runs = []
    for text in texts:
        for first in range(len(text)):
            if first + length <= len(text):
                runs.append("".join(text[first : first + length]))
    expected = len(set(runs)) / len(runs) if runs else 0.0
    assert distinct(texts, length) == pytest.approx(expected)


@given(st.lists(words, max_size=4))
def test_repetition_by_its_definition(texts: list[list[str]]) -> None:
    again = count = 0
    for text in texts:
        seen = set()
        for first in range(len(text) - 3):
            run = tuple(text[first : first + 4])
            again, count = again + (run in seen), count + 1
            seen.add(run)
    assert repetition(texts) == pytest.approx(again / count if count else 0.0)


@pytest.fixture(scope="module")
def decoding() -> Study:
    axes = [
        {"key": "sampling.temperature", "values": [0.0, 1.0, 3.0]},
        {"key": "sampling.top_k", "values": [0, 2]},
    ]
    sampling = {"max_tokens": 12, "samples": 3, "stop_at_end": False}
    settings = {**SMALL, "sampling": sampling, "data": {"windows": "stream"}}
    return study_of({"name": "ways", "kind": "decoding", "settings": settings, "axes": axes})


@pytest.fixture(scope="module")
def sampled(decoding: Study, lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("decoding") / "study"
    return compare(decoding, lines, tokens=4000, seeds=2, out=folder)


def of(comparison: Comparison, cell: str) -> list[SampledTexts]:
    return [one for one in comparison.of(cell) if isinstance(one, SampledTexts)]


def test_one_run_is_trained_and_every_cell_samples_from_it(sampled: Comparison) -> None:
    assert [path.name for path in (sampled.folder / "cells").iterdir()] == ["sampled-run"]
    assert len(sampled.outcomes) == 2 * 7
    assert all(one.texts == 3 for cell in sampled.record.cells for one in of(sampled, cell))
    greedy = of(sampled, "0-top_k-0")
    assert greedy[0].example == greedy[1].example  # no draws, no difference
    assert greedy[0].distinct_1 == of(sampled, "0-top_k-2")[0].distinct_1
    wild, mild = of(sampled, "3-top_k-0"), of(sampled, "0-top_k-0")
    assert all(w.perplexity > m.perplexity for w, m in zip(wild, mild, strict=True))  # pyright: ignore


def test_a_sample_is_the_one_that_the_run_gives(sampled: Comparison) -> None:
    from hornbook.randomness import stream_seed

    run = open_run(f"{sampled.folder / 'cells' / 'sampled-run'}@latest")
    seed = stream_seed(2, "sampling") % (1 << 31)
    rules = {"max_tokens": 12, "stop_at_end": False, "temperature": 1.0, "top_k": 2}
    first = run.samples("", samples=3, seed=seed, **rules)[0].text
    assert of(sampled, "1-top_k-2")[1].example == first


def test_perplexity_is_that_of_the_probabilities(sampled: Comparison) -> None:
    run = open_run(f"{sampled.folder / 'cells' / 'sampled-run'}@latest")
    tokenizer, opening = run.tokenizer, run.tokenizer.end_id
    texts = [np.asarray(tokenizer.encode(text)) for text in ("in the", "a word")]
    surprise = 0.0
    for text in texts:
        ids = [opening, *text.tolist()]
        with torch.no_grad():
            logits, _ = run.model(torch.tensor([ids[:-1]]))
        chances = logits[0].double().log_softmax(-1)
        surprise -= sum(chances[place, token].item() for place, token in enumerate(text))
    expected = math.exp(surprise / sum(map(len, texts)))
    found = perplexity(run.model, tokenizer, texts, context_length=12, opening=opening)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_verdict_is_by_likeness_to_the_real_text(sampled: Comparison) -> None:
    verdict: Verdict = sampled.verdicts[0]
    real = [one.distinct_1 for one in of(sampled, "real-text")]
    for cell, distance in verdict.distances.items():
        values = [one.distinct_1 for one in of(sampled, cell)]
        off = [abs(a - b) for a, b in zip(values, real, strict=True)]  # pyright: ignore
        assert distance == pytest.approx(sum(off) / 2)
    assert "real-text" not in verdict.distances
    assert verdict.best == min(verdict.distances, key=lambda name: verdict.distances[name])
    assert "sampled from one run" in markdown(sampled)
    page = (sampled.folder / "report.html").read_text("utf-8")
    assert "How each cell" in page
    assert "<script" not in page


def test_a_run_that_is_given_is_not_trained(
    decoding: Study, sampled: Comparison, tmp_path: Path
) -> None:
    origin = sampled.folder / "cells" / "sampled-run"
    found = compare(decoding, origin=f"{origin}@latest", seeds=2, out=tmp_path / "again")
    assert not (tmp_path / "again" / "cells").exists()
    same = [(one.cell, one.example) for one in found.outcomes if isinstance(one, SampledTexts)]
    assert same == [
        (one.cell, one.example) for one in sampled.outcomes if isinstance(one, SampledTexts)
    ]
    with pytest.raises(ConfigError, match=r"model\.layers.*was trained with"):
        compare(decoding, origin=origin, overrides=["model.layers=3"], out=tmp_path / "other")


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"budget": "1s"}, "--budget.*too short to sample.*at least"),
        ({"tokens": 100, "origin": "nowhere"}, "nowhere is not a run"),
        ({"tokens": 100, "overrides": ["sampling.max_tokens=100000"]}, "fewer than a sample"),
        ({"tokens": 100, "overrides": ["sampling.top_k=3"]}, "is what the study ways compares"),
    ],
)
def test_mistakes_are_told(
    decoding: Study, lines: Path, tmp_path: Path, wish: dict, named: str
) -> None:
    with pytest.raises(HornbookError, match=f"(?s){named}"):
        compare(decoding, lines, out=tmp_path / "study", **wish)
    assert not (tmp_path / "study").exists()


def test_cells_that_begin_from_a_run(
    lines: Path, sampled: Comparison, tmp_path: Path, conduct: Callable[..., Comparison]
) -> None:
    cells = [
        {"name": "everything"},
        {"name": "frozen", "settings": {"training": {"freeze": ["token_embedding*"]}}},
        {"name": "warm", "begins_from": "origin"},
    ]
    wish = {
        "name": "freezing",
        "settings": {**SMALL, "model": {**SMALL["model"], "tied_head": False}},
        "cells": cells,
        "measures": ["running_text", "steps_to_loss"],
        "curve_points": 4,
    }
    study = study_of(wish)
    without = conduct(tmp_path / "without", study=study, seeds=1, tokens=300)
    assert without.record.cells == ["everything", "frozen"]
    assert "use --from RUN" in without.record.left_out["warm"]
    origin = sampled.folder / "cells" / "sampled-run"
    found = conduct(tmp_path / "with", study=study, seeds=1, origin=f"{origin}@latest")
    assert found.record.cells == ["everything", "frozen", "warm"]
    manifest = open_run(tmp_path / "with" / "cells" / "warm-seed-1").manifest
    assert manifest.warm_start is not None
    assert manifest.warm_start.run == str(origin.resolve())
    steps = found.values("warm", "steps_to_loss")
    last = found.trained("everything")[0].steps
    assert all(one is not None and one < last for one in steps)
    assert all((found.folder / name).is_file() for name in ("curves.csv", "curves.svg"))
    with pytest.raises(ConfigError, match="--from"):
        conduct(tmp_path / "none", origin=origin)
