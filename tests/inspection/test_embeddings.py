"""Neighbours, planes, counts and positions are those of the model, and pages hold only data."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import hornbook
from hornbook.errors import HornbookError
from hornbook.inspection.embedding_map import TokenMap, map_svg, token_map
from hornbook.inspection.embedding_page import map_page
from hornbook.inspection.embedding_plots import norms_plot, positions_plot
from hornbook.inspection.embeddings import (
    TokenVectors,
    all_neighbours,
    neighbours,
    principal_plane,
    token_vectors,
    tokens_of_word,
    training_counts,
)
from hornbook.inspection.position_encodings import position_encoding
from hornbook.models import Transformer, TransformerConfig
from hornbook.models.rotary import rotate
from hornbook.tokenizers import (
    BPETokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
    WordTokenizerConfig,
)

Train = Callable[..., hornbook.Run]


def test_neighbours_are_those_by_cosine() -> None:
    table = torch.randn(40, 7, generator=torch.Generator().manual_seed(1))
    table[5] = 0
    cosines = torch.nn.functional.cosine_similarity(table[:, None], table[None], dim=-1)
    for token, found in enumerate(all_neighbours(table.numpy(), 6)):
        others = [other for other in range(40) if other != token]
        alone = neighbours(table.numpy(), token, np.arange(40), 6)
        assert [n.token for n in found] == [n.token for n in alone]
        assert [n.cosine for n in found] == pytest.approx(
            sorted((cosines[token, other].item() for other in others), reverse=True)[:6], abs=1e-5
        )
        assert all(
            n.cosine == pytest.approx(cosines[token, n.token].item(), abs=1e-5) for n in found
        )
    few = np.array([3, 7, 9])
    assert {n.token for n in neighbours(table.numpy(), 7, few, 6)} == {3, 9}


@pytest.mark.parametrize("shape", [(30, 5), (5, 30), (3, 1), (1, 4)])
def test_the_plane_is_that_of_a_singular_value_decomposition(shape: tuple[int, int]) -> None:
    vectors = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    places, shares = principal_plane(vectors)
    values = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False)
    values = np.pad(values, (0, 2))
    assert places.shape == (shape[0], 2)
    assert np.linalg.norm(places, axis=0) == pytest.approx(values[:2], abs=1e-4)
    assert shares == pytest.approx(values[:2] ** 2 / max((values**2).sum(), 1e-30), abs=1e-5)
    assert np.array_equal(places, principal_plane(vectors)[0])


@pytest.mark.parametrize(
    ("kind", "width"), [("transformer", 16), ("gru", 16), ("bigram", 300), ("bigram_counts", 300)]
)
def test_every_kind_of_model_has_vectors(
    train_fast: Train, finished_run: hornbook.Run, tmp_path: Path, kind: str, width: int
) -> None:
    run = finished_run
    if kind != "transformer":
        model = {"kind": kind} | ({"d_model": 16, "layers": 1} if kind == "gru" else {})
        run = hornbook.train(
            run.config.corpus.files[0],
            preset=None,
            out=tmp_path / "run",
            overrides={"tokenizer.vocab_size": 300, "training.steps": 1, "model": model}
            | {"context_length": 16, "training.schedule.warmup_steps": 0, "training.device": "cpu"},
        )
    vectors = token_vectors(run)
    assert vectors.table.shape == (300, width)
    assert vectors.counts is not None
    assert vectors.counts.sum() > 1000
    assert vectors.counts[run.tokenizer.encode(" river")[0]] > 0


def test_counts_are_of_the_training_text_or_unknown(
    finished_run: hornbook.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = training_counts(finished_run)
    assert counts is not None
    text = Path(finished_run.config.corpus.files[0]).read_text(encoding="utf-8")
    split = finished_run.manifest.split
    assert split is not None
    share = split["training"]["characters"]
    encoded = finished_run.tokenizer.encode(text[:share])
    assert np.abs(np.bincount(encoded, minlength=300) - counts).sum() <= 2  # an end token, a cut
    monkeypatch.setenv("HORNBOOK_CACHE", str(tmp_path))
    assert training_counts(finished_run) is None
    known = TokenVectors("", np.eye(4, dtype=np.float32), None).known
    assert known.tolist() == [0, 1, 2, 3]


def test_a_word_is_a_token_or_its_pieces_or_unknown() -> None:
    text = ["the king sees the king and the queen of the river"] * 9
    bpe = BPETokenizer.train(text, 300)
    assert tokens_of_word(bpe, "king") == [*bpe.encode("king"), *bpe.encode(" king")]
    assert tokens_of_word(bpe, "qq") == [bpe.encode("q")[0]]
    assert tokens_of_word(bpe, "<|endoftext|>") == [bpe.end_id]
    characters = CharTokenizer.train(text)
    assert tokens_of_word(characters, "king") == characters.encode("king")
    words = WordTokenizer.train(text, WordTokenizerConfig(unknown="token"))
    assert tokens_of_word(words, "king") == words.encode("king")
    with pytest.raises(HornbookError, match=r"'kings' is no token.*king"):
        tokens_of_word(words, "kings")
    with pytest.raises(HornbookError, match="empty word"):
        tokens_of_word(bpe, "")


def small_transformer(**settings: Any) -> Transformer:
    config = TransformerConfig(d_model=16, heads=2, layers=1, **settings)
    model = Transformer(config, vocab_size=20, context_length=12)
    model.initialise(torch.Generator().manual_seed(2))
    return model


def test_likeness_of_rotary_positions_is_what_is_left_of_a_product() -> None:
    model = small_transformer(positions="rotary")
    encoding = position_encoding(model)
    assert encoding is not None
    assert model.rotary is not None
    ones = torch.ones(1, 1, 12, 8)
    turned = rotate(ones, *model.rotary.rotation(12))[0, 0]
    assert encoding.likeness.mean == pytest.approx((turned @ turned[0] / 8).numpy(), abs=1e-5)
    assert encoding.table.shape == (12, 4)


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_likeness_of_vectors_of_positions(positions: str) -> None:
    encoding = position_encoding(small_transformer(positions=positions))
    assert encoding is not None
    table = torch.from_numpy(encoding.table)
    for distance in range(12):
        pairs = table[: 12 - distance], table[distance:]
        cosines = torch.nn.functional.cosine_similarity(*pairs)
        found = encoding.likeness
        told = found.mean[distance], found.lowest[distance], found.highest[distance]
        expected = cosines.mean(), cosines.min(), cosines.max()
        assert told == pytest.approx([number.item() for number in expected], abs=1e-5)
    if positions == "sinusoidal":  # the formula knows no place, only a distance
        assert encoding.likeness.lowest == pytest.approx(encoding.likeness.highest, abs=1e-5)
    assert positions_plot("a run", encoding).startswith(b"<?xml")


@pytest.mark.parametrize("positions", ["none", "alibi"])
def test_no_positions_no_picture(positions: str) -> None:
    assert position_encoding(small_transformer(positions=positions)) is None


HOSTILE = '</script><script>alert("1 & 2")</script>'


def drawn(count: int = 40, **settings: Any) -> tuple[TokenMap, TokenVectors, Tokenizer]:
    tokenizer = BPETokenizer.train(["abc abd"] * 5, 262)
    table = np.random.default_rng(4).normal(size=(tokenizer.vocab_size, 6)).astype(np.float32)
    counts = np.arange(tokenizer.vocab_size)
    vectors = TokenVectors("token_embedding", table, counts)
    names = [HOSTILE, *(f"t{token}" for token in range(1, tokenizer.vocab_size))]
    shown = token_map("a <run>", vectors, tokenizer, names, wanted=[0], most=count, **settings)
    return shown, vectors, tokenizer


def test_the_page_holds_names_as_data_and_runs_its_own_script_alone() -> None:
    shown, *_ = drawn()
    page = map_page(shown, [0])
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == page.count("<script") == 2
    data = json.loads(scripts[0])
    assert data["names"][0] == HOSTILE
    assert data["marked"] == [0]
    assert len(data["ids"]) == 41 == len(data["near"])
    assert data["ids"][1] == max(data["ids"]), "the most frequent come first"
    checksum = base64.b64encode(hashlib.sha256(scripts[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{checksum}'" in page
    assert "innerHTML" not in page
    assert not re.search(r"(src|href)=|url\(|https?:", page)


def test_the_picture_is_whole_and_its_names_do_not_overlap() -> None:
    shown, vectors, tokenizer = drawn(250)
    picture = map_svg(shown, shown.views[0], [0])
    tree = ET.fromstring(picture)
    texts = list(tree.iter("{http://www.w3.org/2000/svg}text"))
    assert any("script" in (text.text or "") for text in texts)
    boxes = []
    for text in texts:
        x, y, size = (float(text.get(key, "0")) for key in ("x", "y", "font-size"))
        boxes.append((x, y - size, x + 0.6 * size * len(text.text or ""), y))
    assert len(boxes) > 100
    for number, one in enumerate(boxes):
        assert 0 < one[0] < one[2] < 900
        assert 0 < one[1] < one[3] < 760
        for other in boxes[:number]:
            apart = one[0] >= other[2] or other[0] >= one[2]
            assert apart or one[1] >= other[3] or other[1] >= one[3]
    assert norms_plot("a run", vectors, tokenizer) == norms_plot("a run", vectors, tokenizer)


def test_umap_is_a_second_view_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = ModuleType("umap")
    fake.__spec__ = SimpleNamespace()
    seeds = []

    def reducer(*, n_components: int, random_state: int, n_jobs: int) -> Any:
        seeds.append(random_state)
        return SimpleNamespace(fit_transform=lambda table: table[:, :n_components])

    fake.UMAP = reducer
    monkeypatch.setitem(sys.modules, "umap", fake)
    shown, *_ = drawn(seed=5)
    assert [view.name.split()[0] for view in shown.views] == ["PCA", "UMAP"]
    drawn(seed=5)
    drawn(seed=6)
    assert seeds[0] == seeds[1] != seeds[2]
    assert len(json.loads(re.findall(r"json\">(.*?)</script>", map_page(shown))[0])["views"]) == 2
