"""Padding changes nothing: not a line's logits, not its gradients, whatever the padding holds."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
import torch

from hornbook.data import LineIds, LineWindows, Positions, TokenSequence
from hornbook.data.batch import Batch
from hornbook.data.numpy_gathering import line_batch
from hornbook.models import (
    Bigram,
    BigramConfig,
    GRUConfig,
    LanguageModel,
    LSTMConfig,
    ModelConfig,
    RNNConfig,
    TransformerConfig,
    build_model,
)
from hornbook.models.norms import NormKind
from hornbook.optimization import cross_entropy_sum

VOCAB, CONTEXT, LINE = 61, 12, 7
PAD = 60

TRANSFORMERS = [
    TransformerConfig.model_validate(
        {"layers": 2, "heads": 4, "kv_heads": kv_heads, "d_model": 32}
        | {"positions": positions, "norm": norm, "position_count": 20}
    )
    for positions, norm, kv_heads in itertools.product(
        get_args(TransformerConfig.model_fields["positions"].annotation),
        get_args(NormKind),
        (0, 1),
    )
]
RECURRENT = [kind(d_model=16) for kind in (RNNConfig, GRUConfig, LSTMConfig)]
FORMS: list[ModelConfig] = [*TRANSFORMERS, *RECURRENT]


def build(config: ModelConfig) -> LanguageModel:
    model = build_model(config, vocab_size=VOCAB, context_length=CONTEXT, seed=3)
    # Wider initial weights than the real ones, so that a wrong mask shows clearly.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(10)
    return model.eval()


def full_batch(positions: Positions, pad: int = PAD) -> Batch:
    """One short line as it moves through the window: padding on the left, right, and both."""
    tokens = (np.arange(LINE - 1) * 5 + 3).astype(np.uint16)
    filler = np.ones(CONTEXT, dtype=np.uint16)  # a second line, long enough for full
    sequence = TokenSequence(
        [np.concatenate([tokens, filler])], np.array([LINE - 1, LINE - 1 + CONTEXT])
    )
    windows = LineWindows(sequence.document_ends, CONTEXT, 1, "full")
    rows = np.arange(CONTEXT - LINE)
    return line_batch(sequence, windows, rows, LineIds(2, pad), positions, rows)


def real(row: int) -> slice:
    """Where the line stands in row ``row`` of ``full_batch``."""
    begin = CONTEXT - LINE - row
    return slice(begin, begin + LINE)


@pytest.mark.parametrize("config", FORMS, ids=str)
def test_padding_does_not_change_the_logits_of_a_line(config: ModelConfig) -> None:
    model, batch = build(config), full_batch(Positions())
    alone, _ = model(batch.tokens[0, real(0)][None])
    logits, _ = model(batch.tokens, positions=batch.positions, segments=batch.segments)
    assert torch.isfinite(logits).all()
    for row in range(len(batch.tokens)):
        assert torch.equal(batch.tokens[row, real(row)], batch.tokens[0, real(0)])
        torch.testing.assert_close(logits[row, real(row)], alone[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("config", FORMS, ids=str)
def test_what_the_padding_holds_is_never_seen(config: ModelConfig) -> None:
    model = build(config)
    found = []
    for pad in (PAD, 7):
        batch = full_batch(Positions(), pad)
        logits, _ = model(batch.tokens, positions=batch.positions, segments=batch.segments)
        found.append(torch.stack([logits[row, real(row)] for row in range(len(batch.tokens))]))
    assert torch.equal(*found)
    assert not torch.equal(full_batch(Positions(), PAD).tokens, full_batch(Positions(), 7).tokens)


@pytest.mark.parametrize("config", FORMS, ids=str)
def test_gradients_are_those_of_the_line_alone(config: ModelConfig) -> None:
    gradients = []
    batch = full_batch(Positions())
    assert batch.real_targets == len(batch.tokens) * (LINE - 1)
    line = batch.tokens[0, real(0)][None]
    for tokens, targets, positions, segments in (
        (batch.tokens, batch.targets, batch.positions, batch.segments),
        (line[:, :-1], line[:, 1:], None, None),
    ):
        model = build(config)
        logits, _ = model(tokens, positions=positions, segments=segments)
        loss = cross_entropy_sum(logits, targets) / targets[targets >= 0].numel()
        loss.backward()
        gradients.append(
            # Positions that the line alone does not reach have no gradient in either.
            {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        )
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("config", TRANSFORMERS, ids=str)
def test_only_what_is_added_to_the_embedding_knows_the_place(
    config: TransformerConfig,
) -> None:
    model = build(config)
    batch = full_batch(Positions())
    assert batch.positions is not None
    here, _ = model(batch.tokens, positions=batch.positions, segments=batch.segments)
    there, _ = model(batch.tokens, positions=batch.positions + 8, segments=batch.segments)
    same = torch.allclose(here[0, real(0)], there[0, real(0)], atol=1e-3)
    assert same == (config.positions not in ("learned", "sinusoidal"))


def test_a_bigram_sees_no_padding_either() -> None:
    model = Bigram(BigramConfig(), vocab_size=VOCAB)
    model.initialise(torch.Generator())
    batch = full_batch(Positions())
    cross_entropy_sum(model(batch.tokens)[0], batch.targets).backward()
    touched = model.table.weight.grad
    assert touched is not None
    assert not touched[PAD].any()
    assert touched[2].any()
