"""Every value that the settings allow draws a token, and a model gone wrong is told as such."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hornbook.errors import ConfigError, ModelBroken
from hornbook.generation import Chooser, SamplingConfig, Vocabulary, generate
from hornbook.generation.beams import beam_search
from hornbook.generation.contrastive import contrastive_search
from hornbook.generation.decoder import Decoder
from hornbook.generation.rules import draw, with_repetition_penalty, with_temperature
from hornbook.generation.scoring import score
from hornbook.models import BigramConfig, LanguageModel, build_model
from hornbook.runs.resolution import resolve
from hornbook.tokenizers import ByteTokenizer

CPU, VOCAB = torch.device("cpu"), 9
TINY = [5e-324, 1e-320, 1e-46, 1e-45, 1e-40, 1e-38, 1.2e-38, 1e-30, 1e-7]
NEARLY_ONE = [1 - 1e-16, 1 - 1e-8, 0.5]


def one_of(*values: float) -> st.SearchStrategy[float]:
    return st.sampled_from([*values])


CONFIGS = st.fixed_dictionaries(
    {
        "temperature": one_of(0.0, *TINY, 0.8, 1.0, 100.0),
        "top_k": st.sampled_from([0, 1, VOCAB]),
        "top_p": one_of(*TINY, *NEARLY_ONE, 1.0),
        "min_p": one_of(0.0, *TINY, *NEARLY_ONE, 1.0),
        "typical_p": one_of(*TINY, *NEARLY_ONE, 1.0),
        "repetition_penalty": one_of(*TINY, 1.0, 100.0),
        "presence_penalty": one_of(0.0, -100.0, 100.0, *TINY),
        "frequency_penalty": one_of(0.0, -100.0, 100.0, *TINY),
        "logit_bias": st.sampled_from([(), ((0, 100.0), (1, -100.0)), ((2, 5e-324),)]),
    }
).map(SamplingConfig.model_validate)
LOGITS = st.lists(
    st.sampled_from([0.0, 1e-45, -1e-45, 1.0, 1.0, 2.5, -3.0, 88.0, -1e4, 1e30, -1e30]),
    min_size=VOCAB,
    max_size=VOCAB,
)


@given(st.lists(st.tuples(CONFIGS, LOGITS), min_size=1, max_size=3), st.integers(0, 2**53 - 1))
@example([(SamplingConfig(temperature=1e-320), [1.0] + [0.0] * 8)], 0)
@example([(SamplingConfig(repetition_penalty=1e-45), [1.0] * 9)], 0)
@settings(max_examples=25)
def test_extreme_settings_draw_tokens(rows: list[tuple[Any, list[float]]], number: int) -> None:
    chooser = Chooser(Vocabulary(VOCAB), CPU)
    for config, _ in rows:
        chooser.join(config, [0, 1, 1])
    logits = torch.tensor([row for _, row in rows])
    uniforms = torch.full((len(rows),), number / 2**53, dtype=torch.float64)
    for _ in range(3):
        chances = chooser.probabilities(logits)
        torch.testing.assert_close(chances.sum(-1), torch.ones(len(rows)))
        choice = chooser.choose(logits, uniforms)
        assert (chances.gather(1, choice.ids[:, None]) > 0).all()
        assert choice.log_probabilities.isfinite().all()
        chooser.accept(choice.ids)


@pytest.mark.parametrize("temperature", TINY)
def test_a_temperature_near_zero_is_greedy_and_shares_ties(temperature: float) -> None:
    logits = torch.tensor([[-5.0, 3.0, 7.0, 7.0, -1e9, 6.9999]])
    for given_as in (temperature, torch.tensor([[temperature]])):
        shares = with_temperature(logits, given_as).softmax(dim=-1)
        assert shares[:, 4].item() == 0
        if temperature < 1e-6:
            assert shares.tolist() == [[0, 0, 0.5, 0.5, 0, 0]]


def test_a_repetition_penalty_near_zero_ends_at_the_largest_number() -> None:
    logits = torch.tensor([[4.0, -4.0, 0.0, float("-inf"), 4.0]])
    seen = torch.tensor([[True, True, True, True, False]])
    found = with_repetition_penalty(logits, seen, 1e-320)
    assert found[0, 0] == torch.finfo(torch.float32).max
    assert found[0, 1:].tolist() == pytest.approx([0.0, 0.0, -math.inf, 4.0])


@pytest.mark.parametrize("name", ["temperature", "top_p", "repetition_penalty", "min_p"])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e38])
def test_what_is_no_setting_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"sampling.{name}"):
        resolve(overrides={f"sampling.{name}": value})


def test_no_draw_lies_outside_the_vocabulary() -> None:
    rows = torch.tensor([[math.nan, math.nan], [0.0, 0.0], [math.nan, 1.0], [0.0, 1.0]])
    for number in (0.0, 0.5, 1 - 2**-53, 1.0):
        ids = draw(rows, torch.full((4,), number, dtype=torch.float64))
        assert ((ids >= 0) & (ids < 2)).all()


def broken_model(**at: float) -> LanguageModel:
    """A bigram table in which the row of a token holds what is no number."""
    model = build_model(BigramConfig(), vocab_size=261, context_length=8, seed=1)
    with torch.no_grad():
        (table,) = model.parameters()
        for letter, value in at.items():
            table[ord(letter)] = value
    return model.eval()


@pytest.mark.parametrize("value", [math.nan, -math.inf, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1e-40, 1.0])
def test_a_model_gone_wrong_is_told(value: float, temperature: float) -> None:
    model, tokenizer = broken_model(x=value), ByteTokenizer()
    config = SamplingConfig(temperature=temperature, max_tokens=2, no_repeat_ngram=3)
    with pytest.raises(ModelBroken, match="earlier checkpoint"):
        generate(model, tokenizer, ["a", "x"], config)
    with pytest.raises(ModelBroken):
        beam_search(model, tokenizer, "x", config)
    with pytest.raises(ModelBroken):
        contrastive_search(model, tokenizer, "x", config)
    with pytest.raises(ModelBroken):
        score(model, tokenizer, "axa")


def test_one_row_gone_wrong_leaves_the_others_as_they_are() -> None:
    model, config = broken_model(x=math.nan), SamplingConfig(temperature=1.0, seed=5)
    alone = Decoder(model)
    (row,) = alone.join([97], config)
    expected = [alone.step()[row] for _ in range(2)]
    decoder = Decoder(model)
    (fine,), (wrong,) = decoder.join([97], config), decoder.join([ord("x")], config)
    found = decoder.step()
    broken = found[wrong]
    assert broken is not None
    assert broken.is_broken
    assert 0 <= broken.id < 261
    decoder.leave(wrong)
    assert [found[fine], decoder.step()[fine]] == expected
