"""Rows of different lengths in one batch, joining and leaving: each as it would be alone."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from hornbook.errors import ConfigError, GenerationError
from hornbook.generation import (
    Decoder,
    SamplingConfig,
    Writer,
    generate,
    generate_tokens,
    stream,
)
from hornbook.generation.decoder import Row, window_start
from hornbook.models import (
    BigramConfig,
    GRUConfig,
    LanguageModel,
    LSTMConfig,
    ModelConfig,
    RNNConfig,
    Transformer,
    TransformerConfig,
    build_model,
)
from hornbook.models.attention_paths import masked_attention
from hornbook.runs.resolution import resolve
from hornbook.tokenizers import ByteTokenizer

TOKENIZER = ByteTokenizer()
VOCAB, CONTEXT = 19, 12
SMALL: dict[str, Any] = {"layers": 2, "d_model": 16, "heads": 2}
MODELS: list[ModelConfig] = [
    BigramConfig(),
    RNNConfig(d_model=8),
    GRUConfig(d_model=8),
    LSTMConfig(d_model=8),
    TransformerConfig(**SMALL),
    TransformerConfig(**SMALL, positions="learned"),
    TransformerConfig(**SMALL, positions="sinusoidal", kv_heads=1),
    TransformerConfig(**SMALL, positions="alibi", kv_heads=1),
    TransformerConfig(**SMALL, positions="alibi", window=4),
    TransformerConfig(**SMALL, positions="none"),
    TransformerConfig(**SMALL, attention="mla", kv_latent=8),
    TransformerConfig(**SMALL, window=4, window_layers="alternate"),
    TransformerConfig(**SMALL, attention_softcap=3.0),
    TransformerConfig(**SMALL, token_shift=True, bigram_features=True, ngram_features=4),
]


def lively(config: ModelConfig, vocab: int = VOCAB, context: int = CONTEXT) -> LanguageModel:
    """A model whose logits are far enough apart to be told from rounding."""
    model = build_model(config, vocab_size=vocab, context_length=context, seed=2).eval()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.4)
    return model


def alone(model: LanguageModel, row: Row, count: int) -> list[int]:
    """The slow twin: the whole window read again for each token."""
    prompt, config = row.tokens[: row.prompt_length], row.config
    config = config.model_copy(update={"samples": row.sample + 1, "max_tokens": count})
    tokens = generate_tokens(model, prompt, config, use_state=False)
    return [ids[row.sample] for ids in tokens]


@pytest.mark.parametrize("config", MODELS, ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_rows_come_and_go_and_each_is_what_it_would_be_alone(
    config: ModelConfig, seed: int
) -> None:
    model, draw = lively(config), random.Random(seed)
    decoder = Decoder(model)
    rows: list[Row] = []
    for _ in range(45):
        if draw.random() < 0.25 and len(decoder) < 6:
            prompt = [draw.randrange(VOCAB) for _ in range(draw.choice([1, 1, 2, 5, 12, 13, 30]))]
            temperature = draw.choice([0.0, 0.8])
            rules = SamplingConfig(temperature=temperature, top_k=draw.choice([0, 5]), seed=seed)
            rows += decoder.join(prompt, rules, draw.choice([(0,), (0, 1), (2,)]))
        found = decoder.step()
        assert [row.number for row in found] == sorted(row.number for row in found)
        if len(decoder) and draw.random() < 0.15:
            decoder.leave(draw.choice(list(found)))
    assert len(rows) > 4
    for row in rows:
        written = row.tokens[row.prompt_length :]
        assert written == alone(model, row, len(written))


@pytest.mark.parametrize("config", MODELS, ids=repr)
def test_log_probabilities_are_those_of_the_row_alone(config: ModelConfig) -> None:
    model, decoder = lively(config), Decoder(lively(config))
    rules = SamplingConfig(temperature=0.7, alternatives=3)
    rows = [decoder.join(list(range(length)), rules)[0] for length in (1, 9, 4)]
    for _ in range(3):
        for row, token in decoder.step().items():
            assert token is not None
            with torch.no_grad():
                logits, _ = model(torch.tensor([row.tokens[:-1]]))
            expected = logits[0, -1].log_softmax(-1)
            assert token.log_probability == pytest.approx(float(expected[token.id]), abs=1e-5)
            top = expected.topk(3)
            assert [each.id for each in token.alternatives] == top.indices.tolist()
            found = torch.tensor([each.log_probability for each in token.alternatives])
            torch.testing.assert_close(found, top.values)
    assert len(rows) == len(decoder)


def cut_twin(model: Transformer, tokens: list[int], prompt_length: int) -> torch.Tensor:
    """Logits after each token when the state is cut: all at once, in a context for all of them.

    A token that was read alone saw what its window held then; those of the prompt, which are read
    together, saw the window that the prompt ended in.
    """
    config = model.config.model_copy(update={"window": 0})
    twin = build_model(config, vocab_size=VOCAB, context_length=len(tokens), seed=2).eval()
    assert isinstance(twin, Transformer)
    twin.load_state_dict(model.state_dict())
    first = window_start(prompt_length, CONTEXT)
    may_see = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    for place in range(len(tokens)):
        start = first if place < prompt_length else window_start(place + 1, CONTEXT)
        may_see[place, min(start, place) : place + 1] = True

    def attends(*_: object, **__: object) -> list[Any]:
        attend = masked_attention(twin.sight._quieter(may_see), twin.sight.cap)
        return [attend] * twin.config.layers

    twin.sight.attends = attends  # type: ignore[method-assign]
    with torch.no_grad():
        return twin(torch.tensor([tokens]))[0][0]


@pytest.mark.parametrize("prompt_length", [1, 12, 13, 31])
@pytest.mark.parametrize(
    "config",
    [
        TransformerConfig(**SMALL),
        TransformerConfig(**SMALL, rotary_fraction=0.5, kv_heads=1),
        TransformerConfig(**SMALL, positions="alibi"),
        TransformerConfig(**SMALL, positions="none"),
        TransformerConfig(**SMALL, attention="mla", kv_latent=8),
    ],
    ids=repr,
)
def test_a_state_that_is_cut_is_what_the_slow_twin_says(
    config: TransformerConfig, prompt_length: int
) -> None:
    model, decoder = lively(config), Decoder(lively(config))
    assert isinstance(model, Transformer)
    rules = SamplingConfig(temperature=0, overflow="slide")
    prompt = [(5 * n) % VOCAB for n in range(prompt_length)]
    # A neighbour of another length must not change anything.
    (neighbour,) = decoder.join([3, 4], rules)
    (row,) = decoder.join(prompt, rules)
    measured = {row.number: [], neighbour.number: []}
    for _ in range(40):
        for each, token in decoder.step().items():
            assert token is not None
            measured[each.number].append(token.log_probability)
    for each in (row, neighbour):
        logits = cut_twin(model, each.tokens[:-1], each.prompt_length)[each.prompt_length - 1 :]
        assert logits.argmax(-1).tolist() == each.tokens[each.prompt_length :]
        expected = logits.log_softmax(-1).amax(-1)
        torch.testing.assert_close(
            torch.tensor(measured[each.number]), expected, atol=2e-5, rtol=1e-4
        )


def test_a_window_in_every_layer_slides_as_the_longer_context_would() -> None:
    config = TransformerConfig(**SMALL, window=4)
    model = lively(config)
    longer = build_model(config, vocab_size=VOCAB, context_length=80, seed=2).eval()
    longer.load_state_dict(model.state_dict())
    rules = SamplingConfig(temperature=0, max_tokens=60, overflow="slide")
    # What a layer sees always lies within the half that is kept.
    assert list(generate_tokens(model, [1, 2, 3], rules)) == list(
        generate_tokens(longer, [1, 2, 3], rules)
    )


def test_cutting_is_refused_where_places_are_a_part_of_each_vector() -> None:
    model = lively(TransformerConfig(**SMALL, positions="learned"))
    with pytest.raises(GenerationError, match="overflow=restart"):
        Decoder(model).join([1], SamplingConfig(overflow="slide"))
    # A model without a context has nothing to overflow.
    Decoder(lively(GRUConfig(d_model=8))).join([1], SamplingConfig(overflow="slide"))


def test_a_full_context_may_end_the_text() -> None:
    model = lively(TransformerConfig(**SMALL), vocab=TOKENIZER.vocab_size)
    config = SamplingConfig(max_tokens=99, overflow="stop", stop_at_end=False, temperature=0)
    pieces = list(stream(model, TOKENIZER, "abcd", config))
    assert pieces[-1].ending == "length"
    written = [token.id for piece in pieces for token in piece.tokens]
    assert len(written) == CONTEXT + 1 - 4
    with pytest.raises(GenerationError, match="13 tokens and the context 12"):
        generate(model, TOKENIZER, "a" * 13, config)


def test_several_prompts_are_written_together_and_each_as_alone() -> None:
    model = lively(TransformerConfig(**SMALL), vocab=TOKENIZER.vocab_size)
    config = SamplingConfig(max_tokens=20, samples=2, seed=3, stop=("e", "\x01"))
    prompts = ["", "a", "a longer one than the context", "b"]
    together = generate(model, TOKENIZER, prompts, config)
    by_itself = [sample for each in prompts for sample in generate(model, TOKENIZER, each, config)]
    assert together == by_itself
    assert generate(model, TOKENIZER, [], config) == []


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_more_texts_than_rows_wait_for_their_turn(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lively(TransformerConfig(**SMALL), vocab=TOKENIZER.vocab_size)
    config = SamplingConfig(max_tokens=9, samples=4, seed=3)
    expected = generate(model, TOKENIZER, ["x", "yy"], config)
    monkeypatch.setattr("hornbook.generation.sampler.MOST_ROWS", rows)
    assert generate(model, TOKENIZER, ["x", "yy"], config) == expected


def test_pieces_carry_every_token_once() -> None:
    model = lively(TransformerConfig(**SMALL), vocab=TOKENIZER.vocab_size)
    config = SamplingConfig(max_tokens=40, samples=3, seed=1, stop=("zz",), stop_at_end=False)
    found: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for piece in stream(model, TOKENIZER, "ab", config):
        found[piece.sample] += [token.id for token in piece.tokens]
        assert all(token.log_probability <= 0 for token in piece.tokens)
    expected = list(generate_tokens(model, TOKENIZER.encode("ab"), config))
    for sample, ids in found.items():
        assert ids == [step[sample] for step in expected][: len(ids)]
        assert len(ids) == 40


def test_a_line_that_nobody_waits_for_makes_room() -> None:
    model = lively(TransformerConfig(**SMALL), vocab=TOKENIZER.vocab_size)
    writer = Writer(model, TOKENIZER)
    config = SamplingConfig(max_tokens=6, temperature=0, stop_at_end=False)
    (first,) = writer.join("abc", config)
    second, third = writer.join("d", config.model_copy(update={"samples": 2}))
    none = writer.join("d", config.model_copy(update={"max_tokens": 0}))
    writer.step()
    assert len(writer) == 3
    writer.leave(first)
    writer.leave(first)
    writer.leave(none[0])
    assert len(writer) == 2
    endings = []
    while len(writer):
        endings += [line for line, piece in writer.step() if piece.ending]
    assert endings == [second, third]


def test_the_memory_of_rows_that_left_is_used_again() -> None:
    model = lively(TransformerConfig(**SMALL))
    decoder = Decoder(model)
    config, sizes = SamplingConfig(temperature=0), set()
    for number in range(30):
        row = decoder.join([number % VOCAB], config)[0]
        decoder.join([1, 2, 3], config)
        decoder.step()
        decoder.leave(row)
        if number > 2:
            decoder.leave(decoder._rows[0])
            sizes.add(decoder._state.nbytes)
    assert len(sizes) <= 2


def test_a_run_that_could_not_slide_says_so_before_it_is_trained() -> None:
    words = ["model.positions=learned", "sampling.overflow=slide"]
    with pytest.raises(ConfigError, match=r"sampling\.overflow=slide: .* use restart or stop"):
        resolve(overrides=words)
    assert resolve(overrides=["sampling.overflow=slide"]).sampling.overflow == "slide"
