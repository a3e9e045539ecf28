"""Sight, first loss and learning by heart: for every model they hold, and for wrong ones fail."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from hornbook.data import Batch
from hornbook.models import LanguageModel, Transformer, TransformerConfig, build_model
from hornbook.models.bigram import BigramConfig
from hornbook.models.bigram_counts import BigramCounts, BigramCountsConfig
from hornbook.models.previous_token import NOBODY, TokenBefore
from hornbook.models.recurrent import GRUConfig, LSTMConfig, Recurrent, RNNConfig
from hornbook.targets import IGNORED_TARGET, PADDING_SEGMENT
from hornbook.training.preflight_data import tokens_for_each_parameter
from hornbook.training.preflight_loss import (
    Beginning,
    first_loss,
    judged_loss,
    mean_loss,
    one_batch_is_learned,
)
from hornbook.training.preflight_sight import choose_probes, future_is_hidden

VOCAB, TIME = 40, 12
SETTINGS: dict[str, Any] = {
    "learned": TransformerConfig(d_model=16, layers=2, heads=2),
    "rotary": TransformerConfig(d_model=16, layers=2, heads=2, positions="rotary", dropout=0.2),
    "alibi": TransformerConfig(d_model=16, layers=2, heads=2, positions="alibi"),
    "zeros": TransformerConfig(
        d_model=16, layers=2, heads=2, zero_init=True, zero_init_head=True, tied_head=False
    ),
    "extras": TransformerConfig(
        d_model=16,
        layers=2,
        heads=2,
        token_shift=True,
        bigram_features=True,
        ngram_features=3,
        value_embeddings=True,
    ),
    "rnn": RNNConfig(d_model=16),
    "gru": GRUConfig(d_model=16, dropout=0.1),
    "lstm": LSTMConfig(d_model=16),
    "bigram": BigramConfig(),
    "counts": BigramCountsConfig(),
}  # fmt: skip
LEARNERS = [name for name in SETTINGS if name != "counts"]


def build(name: str) -> LanguageModel:
    return build_model(SETTINGS[name], vocab_size=VOCAB, context_length=TIME, seed=4).train()


def rows(form: str) -> Batch:
    """Two rows: whole, of several documents, or with padding before or behind the text."""
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(VOCAB, (2, TIME + 1), generator=draw)
    tokens, targets = tokens[:, :-1], tokens[:, 1:].clone()
    segments = None
    if form != "whole":
        segments = torch.tensor(
            {
                "packed": [[0] * 5 + [1] * 4 + [2] * 3, [0] * 2 + [1] * 8 + [-1] * 2],
                "left": [[-1] * 3 + [0] * 9, [0] * 12],
                "right": [[0] * 9 + [-1] * 3, [0] * 12],
            }[form]
        )
        targets[segments == PADDING_SEGMENT] = IGNORED_TARGET
    return Batch(tokens, targets, int((targets != IGNORED_TARGET).sum()), None, segments)


@pytest.mark.parametrize("form", ["whole", "packed", "left", "right"])
@pytest.mark.parametrize("name", SETTINGS)
def test_no_model_sees_the_future_or_another_document(name: str, form: str) -> None:
    model, batch = build(name), rows(form)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    found = future_is_hidden(model, batch)
    assert found.verdict == "pass", found.reason
    assert found.numbers["compared"] > 50
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key])
    assert not any(module._forward_hooks for module in model.modules())
    if form == "whole" and name not in {"bigram", "counts"}:
        assert found.numbers["tokens_back"] == TIME - 2
    if name == "bigram":
        assert found.numbers["tokens_back"] == 0


def test_the_reach_of_windows_is_found() -> None:
    settings = TransformerConfig(d_model=16, layers=2, heads=2, window=3, positions="rotary")
    model = build_model(settings, vocab_size=VOCAB, context_length=TIME, seed=3)
    found = future_is_hidden(model, rows("whole"))
    assert found.verdict == "pass"
    assert found.numbers["tokens_back"] == 4  # two layers, each of which looks back by two


@pytest.mark.parametrize("name", LEARNERS)
def test_a_model_that_peeks_by_one_token_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(name)
    original = type(model).hidden

    def peeking(self: Any, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        features, state = original(self, tokens, *args, **kwargs)
        return features + 0.01 * F.pad(features[:, 1:], (0, 0, 0, 1)), state

    monkeypatch.setattr(type(model), "hidden", peeking)
    found = future_is_hidden(model, rows("whole"))
    assert found.verdict == "fail"
    assert found.grave
    assert "which comes later" in found.reason


def test_a_single_place_that_peeks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model, original = build("rotary"), Transformer.hidden

    def peeking(self: Any, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        features, state = original(self, tokens, *args, **kwargs)
        spot = F.one_hot(torch.tensor(7), TIME)[:, None]
        return features + spot * features.roll(-1, dims=1), state

    monkeypatch.setattr(Transformer, "hidden", peeking)
    found = future_is_hidden(model, rows("whole"))
    assert found.verdict == "fail"
    assert "token 7 or one before it sees token 8" in found.reason


def test_an_attention_without_mask_fails_though_all_projections_are_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def everything(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, dropout: float) -> Any:
        return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    monkeypatch.setattr("hornbook.models.sight.causal_attention", everything)
    found = future_is_hidden(build("zeros"), rows("whole"))
    assert found.verdict == "fail"


def test_a_table_of_runs_that_reads_ahead_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    original = TokenBefore.tokens

    def ahead(self: Any, tokens: torch.Tensor, count: int) -> list[torch.Tensor]:
        return [*original(self, tokens, count)[:-1], F.pad(tokens[:, 1:], (0, 1), value=NOBODY)]

    monkeypatch.setattr(TokenBefore, "tokens", ahead)
    found = future_is_hidden(build("extras"), rows("whole"))
    assert found.verdict == "fail"


@pytest.mark.parametrize(("name", "form", "said"), [
    ("rotary", "packed", "another document"),
    ("gru", "packed", "another document"),
    ("learned", "left", "padding"),
])  # fmt: skip
def test_documents_that_are_not_kept_apart_fail(
    name: str, form: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(name)
    original = type(model).hidden

    def mixing(
        self: Any, tokens: torch.Tensor, state: Any = None, *, positions: Any, segments: Any
    ) -> Any:
        return original(self, tokens, state, positions=positions)

    monkeypatch.setattr(type(model), "hidden", mixing)
    found = future_is_hidden(model, rows(form))
    assert found.verdict == "fail"
    assert said in found.reason


def test_rows_that_see_each_other_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    model, original = build("lstm"), Recurrent.hidden

    def mixing(self: Any, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        features, state = original(self, tokens, *args, **kwargs)
        return features - features.mean(dim=0), state

    monkeypatch.setattr(Recurrent, "hidden", mixing)
    found = future_is_hidden(model, rows("whole"))
    assert found.verdict == "fail"
    assert "another row" in found.reason


def test_counts_that_peek_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def peeking(self: Any, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return self.log_probabilities[tokens.roll(-1, dims=1)], ()

    monkeypatch.setattr(BigramCounts, "hidden", peeking)
    assert future_is_hidden(build("counts"), rows("whole")).verdict == "fail"


def test_a_model_that_looks_at_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    model, original = build("rotary"), Transformer.hidden

    def detached(self: Any, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        features, state = original(self, tokens, *args, **kwargs)
        return features.detach(), state

    monkeypatch.setattr(Transformer, "hidden", detached)
    found = future_is_hidden(model, rows("whole"))
    assert found.verdict == "fail"
    assert "depend on no token" in found.reason


def test_probes_avoid_padding_and_the_last_place() -> None:
    probes = choose_probes(rows("left"), 64)
    assert len(probes.places) == TIME - 1
    assert int(probes.places.max()) == TIME - 2
    of_first = probes.places[probes.rows == 0]
    assert int(of_first.min()) >= 3
    short = Batch(torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2, 1, dtype=torch.int64), 2)
    assert future_is_hidden(build("rotary"), short).verdict == "skip"


# The first loss.


@pytest.mark.parametrize("name", LEARNERS)
def test_a_fresh_model_begins_near_the_logarithm(name: str) -> None:
    found = first_loss(build(name), rows("whole"), Beginning())
    assert found.verdict == "pass", found.reason


def test_the_mean_loss_is_that_of_a_plain_formula() -> None:
    model, batch = build("learned"), rows("right")
    logits, _ = model.eval()(batch.tokens, segments=batch.segments)
    chosen = logits.log_softmax(-1).gather(2, batch.targets.clamp(min=0)[..., None])[..., 0]
    plain = -chosen[batch.targets != IGNORED_TARGET].mean()
    assert mean_loss(model, batch) == pytest.approx(float(plain), rel=1e-6)


def test_huge_logits_fail() -> None:
    model = build("learned")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(40)
    found = first_loss(model, rows("whole"), Beginning())
    assert found.verdict == "fail"
    assert "too large" in found.reason


def test_what_a_first_loss_means_depends_on_where_the_weights_come_from() -> None:
    guess = math.log(100)
    assert judged_loss(guess - 2, 100, Beginning()).verdict == "fail"
    assert judged_loss(guess - 2, 100, Beginning("borrowed")).verdict == "pass"
    assert judged_loss(guess + 2, 100, Beginning("borrowed")).verdict == "fail"
    going_on = Beginning("resumed", 500, (2.0, 2.1, 1.9))
    assert judged_loss(2.1, 100, going_on).verdict == "pass"
    assert judged_loss(3.0, 100, going_on).verdict == "fail"
    assert judged_loss(math.nan, 100, going_on).verdict == "fail"
    # A run from before losses were kept is held to what any trained model reaches.
    assert judged_loss(3.0, 100, Beginning("resumed", 500)).verdict == "pass"


# Learning by heart.


@pytest.mark.parametrize("name", LEARNERS)
def test_every_model_learns_a_batch_by_heart_and_stays_as_it_is(name: str) -> None:
    model = build(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    found = one_batch_is_learned(model, rows("whole"))
    assert found.verdict == "pass", found.reason
    assert found.numbers["last_loss"] < found.numbers["share"] * found.numbers["first_loss"]
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_cannot_learn_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = build("learned").requires_grad_(False)
    found = one_batch_is_learned(frozen, rows("whole"))
    assert found.verdict == "fail"
    assert "frozen" in found.reason
    original = Transformer.head
    monkeypatch.setattr(Transformer, "head", lambda self, x: original(self, x).detach())
    found = one_batch_is_learned(build("learned"), rows("whole"), steps=3)
    assert found.verdict == "fail"
    assert "cut off" in found.reason


def test_a_partly_frozen_model_need_only_improve() -> None:
    model = build("learned")
    model.get_parameter("token_embedding.weight").requires_grad_(False)
    found = one_batch_is_learned(model, rows("whole"))
    assert found.verdict == "pass"
    assert found.numbers["share"] == 0.95


def test_memory_that_does_not_suffice_for_a_copy_gives_no_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr("copy.deepcopy", full)
    assert one_batch_is_learned(build("learned"), rows("whole")).verdict == "skip"


def test_tokens_for_each_parameter_are_counted() -> None:
    found = tokens_for_each_parameter(4000, 1000, 100)
    assert found.numbers["tokens_for_each_parameter"] == 40
    assert found.numbers["distinct_for_each_parameter"] == 10
    assert found.verdict == "pass"
    assert tokens_for_each_parameter(1000, 1000, 100).verdict == "skip"
    assert "read 50 times" in tokens_for_each_parameter(5000, 100, 100).reason
