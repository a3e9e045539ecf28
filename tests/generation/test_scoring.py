"""Scores: each token once, with the context that was promised, against slow and foreign twins."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hornbook
from hornbook.errors import GenerationError, TokenizerError
from hornbook.generation import score
from hornbook.generation.scoring import score_ids, window_starts
from hornbook.models import LanguageModel, build_model
from hornbook.runs.assembly import make_batches
from hornbook.runs.resolution import resolve
from hornbook.tokenizers import ByteTokenizer

TOKENIZER = ByteTokenizer()
TEXT = "The river – a small, old bird; über 三 rivers!\n" * 2
KINDS = ["transformer", "rnn", "gru", "lstm", "bigram", "bigram_counts"]


def lively(kind: str = "transformer", context_length: int = 12, **more: Any) -> LanguageModel:
    """A small model whose logits are far enough apart to be told from rounding."""
    sizes = {"d_model": 32, "layers": 2} if "bigram" not in kind else {}
    sizes |= {"heads": 2} if kind == "transformer" else {}
    overrides = {"model.kind": kind, **{f"model.{k}": v for k, v in {**sizes, **more}.items()}}
    settings = resolve(preset="tiny", overrides=overrides).model
    model = build_model(
        settings, vocab_size=TOKENIZER.vocab_size, context_length=context_length, seed=4
    )
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.ndim >= 2 and tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.4)
    return model.eval()


def twin(model: LanguageModel, ids: list[int], overlap: int) -> list[tuple[float, int]]:
    """Token by token: the window that a token belongs to is read up to it, and only for it."""
    found = []
    for target in range(1, len(ids)):
        start = 0
        if model.context_length is not None:
            starts = window_starts(len(ids) - 1, model.context_length, overlap)
            start = next(s for s in starts if target <= s + model.context_length)
        with torch.inference_mode():
            logits = model(torch.tensor([ids[start:target]]))[0][0, -1].double()
        true = logits[ids[target]]
        rank = 1 + sum(1 for other in logits.tolist() if other > true)
        found.append(((true - logits.logsumexp(0)).item(), rank))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_twin_that_goes_token_by_token(kind: str) -> None:
    model, text = lively(kind), TEXT[:60]
    scored = score(model, TOKENIZER, text, opening=TOKENIZER.end_id)
    ids = [TOKENIZER.end_id, *TOKENIZER.encode(text)]
    expected = twin(model, ids, overlap=6)
    np.testing.assert_allclose(scored.log_probabilities, [e[0] for e in expected], atol=2e-5)
    assert scored.ranks.tolist() == [e[1] for e in expected]
    assert scored.ids.tolist() == ids[1:]


@pytest.mark.parametrize("overlap", [0, 1, 5, 11])
@pytest.mark.parametrize("length", [1, 2, 11, 12, 13, 14, 40])
def test_every_overlap_and_length_equals_the_twin(overlap: int, length: int) -> None:
    model = lively()
    ids = [7, *((11 * i) % 256 for i in range(length))]
    expected = twin(model, ids, overlap)
    found = score_ids(model, ids, overlap=overlap)
    np.testing.assert_allclose(found.log_probabilities, [e[0] for e in expected], atol=2e-5)


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_windows_cover_all_and_keep_their_promise(length: int, context: int, data: Any) -> None:
    overlap = data.draw(st.integers(0, context - 1))
    width = min(context, length)
    starts = window_starts(length, width, min(overlap, width - 1))
    assert starts[0] == 0
    assert starts[-1] + width == length
    assert len(set(starts)) == len(starts)
    for before, start in zip(starts, starts[1:], strict=False):
        first_new_input = before + width
        assert start <= first_new_input  # nothing is left out
        assert first_new_input - start >= overlap


def test_many_windows_and_few_logits_at_once_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = lively()
    whole = score(model, TOKENIZER, TEXT, alternatives=3)
    monkeypatch.setattr("hornbook.generation.scoring.TOKENS_AT_ONCE", 24)
    monkeypatch.setattr("hornbook.generation.scoring.logit_rows", lambda *_: 5)
    apart = score(model, TOKENIZER, TEXT, alternatives=3)
    np.testing.assert_allclose(apart.log_probabilities, whole.log_probabilities, atol=1e-5)
    assert apart.ranks.tolist() == whole.ranks.tolist()
    assert apart.alternatives.tolist() == whole.alternatives.tolist()


def test_a_carried_state_reads_a_long_text_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively("lstm")
    whole = score(model, TOKENIZER, TEXT)
    monkeypatch.setattr("hornbook.generation.scoring.TOKENS_AT_ONCE", 7)
    parts = score(model, TOKENIZER, TEXT)
    np.testing.assert_allclose(parts.log_probabilities, whole.log_probabilities, atol=1e-5)


def test_alternatives_are_the_likeliest_tokens() -> None:
    scored = score(lively(), TOKENIZER, TEXT, alternatives=4)
    assert scored.alternatives.shape == (scored.tokens, 4)
    assert (np.diff(scored.alternative_log_probabilities) <= 0).all()
    for rank, token, own, ids, values in zip(
        scored.ranks,
        scored.ids,
        scored.log_probabilities,
        scored.alternatives,
        scored.alternative_log_probabilities,
        strict=True,
    ):
        assert (token in ids) == (rank <= 4)
        if rank <= 4:
            assert ids[rank - 1] == token
            assert values[rank - 1] == own


def test_what_is_counted() -> None:
    scored = score(lively(), TOKENIZER, TEXT)
    content = TEXT.encode()
    assert (scored.tokens, scored.bytes) == (len(content), len(content))
    assert b"".join(scored.pieces) == content
    assert scored.nats == pytest.approx(-scored.log_probabilities.sum(), rel=1e-5)
    assert scored.bits_per_byte == pytest.approx(scored.nats / math.log(2) / len(content))
    assert scored.perplexity == pytest.approx(math.exp(scored.nats / scored.tokens))


def test_an_empty_text_has_no_score() -> None:
    scored = score(lively(), TOKENIZER, "")
    assert (scored.tokens, scored.bytes, scored.nats, scored.bits_per_byte) == (0, 0, 0.0, None)
    assert math.isnan(scored.perplexity)


def test_a_special_tokens_name_is_plain_text() -> None:
    name = next(iter(TOKENIZER.special_tokens))
    assert score(lively(), TOKENIZER, name).tokens == len(name)


def test_a_context_of_one() -> None:
    model = lively(context_length=1)
    ids = [5, 6, 7, 8]
    expected = [e[0] for e in twin(model, ids, 0)]
    np.testing.assert_allclose(score_ids(model, ids).log_probabilities, expected, atol=2e-5)


@pytest.mark.parametrize("overlap", [-1, 12, 1000])
def test_an_overlap_that_does_not_fit_is_refused(overlap: int) -> None:
    with pytest.raises(GenerationError, match="0 to 11"):
        score(lively(), TOKENIZER, TEXT, overlap=overlap)


def test_too_many_alternatives_and_no_text_are_refused() -> None:
    with pytest.raises(GenerationError, match="vocabulary"):
        score(lively(), TOKENIZER, TEXT, alternatives=100_000)
    with pytest.raises(TokenizerError, match="surrogate"):
        score(lively(), TOKENIZER, "\ud800")


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_one_window_of_validation_has_the_runs_loss(
    kind: str, tmp_path: Path, train_fast: Callable[..., hornbook.Run]
) -> None:
    from hornbook.runs.assembly import find_store
    from hornbook.training.evaluation import evaluate

    changes = {"model.kind": kind} | ({"model.heads": 2} if kind == "transformer" else {})
    run = train_fast(tmp_path / "run", **{"training.steps": 4, **changes})
    config, store = find_store(run.folder, run.config, run.manifest)
    batches = make_batches(config, store).evaluation
    assert batches is not None
    batch = next(iter(batches.batches(1)))
    lengths = torch.from_numpy(run.tokenizer.byte_lengths().copy())

    class OneWindow:
        context_length = batch.tokens.shape[1]

        def batches(self, size: int) -> Any:
            yield batch

    measured = evaluate(run.model, OneWindow(), lengths)
    ids = [*batch.tokens[0].tolist(), int(batch.targets[0, -1])]
    found = score_ids(run.model, ids)
    assert -found.log_probabilities.mean() == pytest.approx(measured.loss, rel=1e-5)
    text = run.tokenizer.decode(ids)
    opened = run.score(text, overlap=3)
    again = score(run.model, run.tokenizer, text, opening=run.tokenizer.end_id, overlap=3)
    assert opened.log_probabilities.tolist() == again.log_probabilities.tolist()
