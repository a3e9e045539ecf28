"""Beam and contrastive search find what slow twins and transformers find."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

from hornbook.errors import GenerationError
from hornbook.generation import SamplingConfig, beam_search, contrastive_search, generate
from hornbook.models import LanguageModel, LSTMConfig, ModelConfig, TransformerConfig, build_model
from hornbook.models.base import State
from hornbook.tokenizers import ByteTokenizer

TOKENIZER = ByteTokenizer()
FEW = "abcd"
CONFIGS: list[ModelConfig] = [
    TransformerConfig(layers=2, d_model=16, heads=2),
    TransformerConfig(layers=2, d_model=16, heads=2, window=4, token_shift=True),
    LSTMConfig(d_model=8),
]


def lively(config: ModelConfig, context_length: int = 40, seed: int = 3) -> LanguageModel:
    """A model whose logits are far apart, so that rounding decides nothing."""
    vocab_size = TOKENIZER.vocab_size
    model = build_model(config, vocab_size=vocab_size, context_length=context_length, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.4)
    return model.eval()


def few(**settings: Any) -> SamplingConfig:
    """Only four letters are possible, and the end."""
    return SamplingConfig.model_validate({"pattern": f"[{FEW}]*", **settings})


def sum_of(model: LanguageModel, prompt: str, text: str, *, ended: bool) -> float:
    ids = TOKENIZER.encode(prompt + text) + ([TOKENIZER.end_id] if ended else [])
    with torch.no_grad():
        logs = model(torch.tensor([ids]))[0][0].double().log_softmax(-1)
    begin = len(TOKENIZER.encode(prompt))
    return sum(float(logs[place - 1, ids[place]]) for place in range(begin, len(ids)))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
@pytest.mark.parametrize("penalty", [0.0, 1.0, -0.5, 2.0])
def test_enough_beams_find_the_best_of_all_texts(config: ModelConfig, penalty: float) -> None:
    model, most = lively(config), 3
    scores: dict[tuple[str, str], float] = {}
    for length in range(most + 1):
        for letters in itertools.product(FEW, repeat=length):
            text = "".join(letters)
            if length < most:
                total = sum_of(model, "ab", text, ended=True)
                scores[text, "end"] = total / (length + 1) ** penalty
            else:
                scores[text, "length"] = sum_of(model, "ab", text, ended=False) / length**penalty
    expected = sorted(scores, key=lambda key: -scores[key])[:5]
    settings = few(max_tokens=most, samples=5)
    found = beam_search(model, TOKENIZER, "ab", settings, beams=130, length_penalty=penalty)
    assert [(beam.text, beam.ending) for beam in found] == expected
    for beam, key in zip(found, expected, strict=True):
        assert beam.score == pytest.approx(scores[key], rel=1e-4)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_one_beam_is_greedy(config: ModelConfig) -> None:
    model = lively(config)
    settings = SamplingConfig(max_tokens=20, temperature=0, no_repeat_ngram=2)
    found = beam_search(model, TOKENIZER, "ab", settings, beams=1)[0]
    assert found.text == generate(model, TOKENIZER, "ab", settings)[0].text


class Theirs(LanguageModel):
    """A model of transformers as one of ours; its state is all tokens so far."""

    def __init__(self, model: Any) -> None:
        super().__init__(model.config.vocab_size, model.config.n_positions)
        self.inner = model

    def hidden(self, tokens: torch.Tensor, state: State = None, **_: Any) -> Any:
        seen = tokens if state is None else torch.cat((state[0], tokens), dim=1)
        features = self.inner.transformer(input_ids=seen).last_hidden_state
        return features[:, -tokens.shape[1] :], (seen,)

    def head(self, features: torch.Tensor) -> torch.Tensor:
        inner: Any = self.inner.lm_head
        return inner(features)

    def init_state(self, batch_size: int, device: torch.device | None = None) -> State:
        return (torch.zeros(batch_size, 0, dtype=torch.int64),)

    def select_state(self, state: State, rows: torch.Tensor) -> State:
        return (state[0][rows],)

    def initialise(self, generator: torch.Generator) -> None:
        pass


def theirs(seed: int = 1) -> Any:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=TOKENIZER.vocab_size,
        n_positions=32,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.8,
    )
    return GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize("penalty", [0.0, 1.0, -0.7])
def test_beams_agree_with_transformers(beams: int, penalty: float) -> None:
    model = theirs()
    with torch.no_grad():
        # A likely end token, so that texts of several lengths compete.
        model.lm_head.weight[TOKENIZER.end_id] *= 1.7
    ids = torch.tensor([TOKENIZER.encode("hello")])
    expected: Any = model.generate(
        ids,
        generation_config=GenerationConfig(
            max_new_tokens=12,
            num_beams=beams,
            num_return_sequences=beams,
            length_penalty=penalty,
            early_stopping="never",
            do_sample=False,
            no_repeat_ngram_size=2,
            eos_token_id=TOKENIZER.end_id,
            pad_token_id=TOKENIZER.end_id,
        ),
    )
    settings = SamplingConfig(max_tokens=12, samples=beams, no_repeat_ngram=2)
    ours = Theirs(model)
    found = beam_search(ours, TOKENIZER, "hello", settings, beams=beams, length_penalty=penalty)
    end = [TOKENIZER.end_id]
    for beam, row in zip(found, expected[:, ids.shape[1] :].tolist(), strict=True):
        own = list(beam.tokens)
        assert own + end * (len(row) - len(own)) == row


def test_beams_end_at_stop_texts_whole_texts_and_a_full_context() -> None:
    model = lively(CONFIGS[0], context_length=8)
    for beam in beam_search(model, TOKENIZER, "ab", few(stop=["a", "cd"], samples=4)):
        assert "a" not in beam.text
        assert beam.ending in {"stop", "end", "length"}
    whole = beam_search(model, TOKENIZER, "ab", SamplingConfig(allowed=("no", "yes"), samples=3))
    assert {beam.text for beam in whole} == {"no", "yes"}
    assert all(beam.ending in {"complete", "end"} for beam in whole)
    full = beam_search(model, TOKENIZER, "abcdef", few(min_tokens=3), beams=2)[0]
    assert (len(full.tokens), full.ending) == (3, "length")
    assert beam_search(model, TOKENIZER, "ab", SamplingConfig(max_tokens=0))[0].text == ""


def test_searches_refuse_what_they_cannot_do() -> None:
    model = lively(CONFIGS[0], context_length=8)
    with pytest.raises(GenerationError, match="more beams"):
        beam_search(model, TOKENIZER, "a", SamplingConfig(samples=5))
    with pytest.raises(GenerationError, match="beams=0"):
        beam_search(model, TOKENIZER, "a", SamplingConfig(), beams=0)
    with pytest.raises(GenerationError, match="shorter prompt"):
        beam_search(model, TOKENIZER, "a" * 9, SamplingConfig())
    with pytest.raises(GenerationError, match=r"alpha=2[\s\S]*candidates=0"):
        contrastive_search(model, TOKENIZER, "a", SamplingConfig(), alpha=2, candidates=0)
    with pytest.raises(GenerationError, match="shorter prompt"):
        contrastive_search(model, TOKENIZER, "a" * 9, SamplingConfig())


def slow_contrastive(
    model: LanguageModel, ids: list[int], count: int, alpha: float, candidates: int
) -> list[int]:
    """By the formula, reading the whole text again for every candidate."""
    for _ in range(count):
        with torch.no_grad():
            features, _ = model.hidden(torch.tensor([ids]))
            likely, tokens = model.head(features[0, -1]).softmax(-1).topk(candidates)
            best: tuple[float, int] = (float("-inf"), -1)
            for probability, token in zip(likely.tolist(), tokens.tolist(), strict=True):
                longer, _ = model.hidden(torch.tensor([[*ids, token]]))
                likeness = F.cosine_similarity(longer[0, :-1], longer[0, -1:]).max()
                score = (1 - alpha) * probability - alpha * float(likeness)
                best = max(best, (score, token))
        ids = [*ids, best[1]]
    return ids


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
def test_contrastive_search_is_the_formula(config: ModelConfig, alpha: float) -> None:
    model = lively(config)
    prompt = TOKENIZER.encode("hello")
    expected = slow_contrastive(model, prompt, 20, alpha, candidates=5)[len(prompt) :]
    settings = SamplingConfig(max_tokens=20, stop_at_end=False)
    found = contrastive_search(model, TOKENIZER, "hello", settings, alpha=alpha, candidates=5)
    assert found.text == TOKENIZER.decode(expected)
    if alpha == 0:
        greedy = SamplingConfig(max_tokens=20, stop_at_end=False, temperature=0)
        assert found.text == generate(model, TOKENIZER, "hello", greedy)[0].text


def test_contrastive_search_keeps_the_rules_and_the_context() -> None:
    model = lively(CONFIGS[0], context_length=8)
    settings = SamplingConfig(allowed=("yes", "no"))
    assert contrastive_search(model, TOKENIZER, "a", settings).text in {"yes", "no"}
    full = contrastive_search(model, TOKENIZER, "abc", few(min_tokens=6))
    assert (len(full.text), full.ending) == (6, "length")
    stopped = contrastive_search(
        model, TOKENIZER, "a", few(stop=list(FEW), logit_bias={TOKENIZER.end_id: -100})
    )
    assert (stopped.text, stopped.ending) == ("", "stop")
