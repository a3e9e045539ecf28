"""Rules, text that is certain, and one loop that gives the same with and without its state."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import GenerationError
from hornbook.generation import (
    Chooser,
    SamplingConfig,
    TextStream,
    Vocabulary,
    generate,
    generate_tokens,
    stream,
)
from hornbook.generation.rules import draw, keep_top_k, keep_top_p
from hornbook.models import (
    Bigram,
    BigramConfig,
    LanguageModel,
    TransformerConfig,
    build_model,
)
from hornbook.tokenizers import ByteTokenizer

TOKENIZER = ByteTokenizer()


def lively_model(positions: str = "rotary", context_length: int = 16) -> LanguageModel:
    """A transformer whose logits are far enough apart to be told from rounding."""
    config = TransformerConfig(layers=2, heads=2, d_model=32, positions=positions)  # type: ignore[arg-type]
    model = build_model(
        config, vocab_size=TOKENIZER.vocab_size, context_length=context_length, seed=4
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(8)
    return model


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("prompt_length", [1, 9, 16, 40])
def test_with_the_state_equals_without(
    positions: str, temperature: float, prompt_length: int
) -> None:
    model = lively_model(positions)
    prompt = [(7 * i) % 256 for i in range(prompt_length)]
    config = SamplingConfig(max_tokens=50, temperature=temperature, samples=3, seed=5)
    with_state = list(generate_tokens(model, prompt, config))
    without = list(generate_tokens(model, prompt, config, use_state=False))
    assert with_state == without
    assert len(with_state) == 50


def test_a_context_of_one_slides() -> None:
    model = lively_model(context_length=1)
    config = SamplingConfig(max_tokens=5, temperature=0)
    assert list(generate_tokens(model, [1, 2, 3], config)) == list(
        generate_tokens(model, [1, 2, 3], config, use_state=False)
    )


def test_the_same_seed_gives_the_same_text_and_samples_are_independent() -> None:
    model = lively_model()
    four = generate(model, TOKENIZER, "ab", SamplingConfig(samples=4, seed=9, max_tokens=20))
    again = generate(model, TOKENIZER, "ab", SamplingConfig(samples=4, seed=9, max_tokens=20))
    two = generate(model, TOKENIZER, "ab", SamplingConfig(samples=2, seed=9, max_tokens=20))
    other = generate(model, TOKENIZER, "ab", SamplingConfig(samples=4, seed=10, max_tokens=20))
    assert four == again
    assert four[:2] == two
    assert len({sample.text for sample in four}) == 4
    assert four != other


def test_an_empty_prompt_starts_a_document() -> None:
    model = lively_model()
    config = SamplingConfig(max_tokens=8, temperature=0)
    sample = generate(model, TOKENIZER, "", config)[0]
    expected = list(generate_tokens(model, [TOKENIZER.start_id], config))
    assert sample.prompt == ""
    assert sample.text == TOKENIZER.decode([ids[0] for ids in expected])


def test_greedy_takes_the_likeliest() -> None:
    model = Bigram(BigramConfig(), vocab_size=TOKENIZER.vocab_size)
    with torch.no_grad():
        model.table.weight.zero_()
        for here, following in zip("abc", "bca", strict=True):
            model.table.weight[ord(here), ord(following)] = 1.0
    text = generate(model, TOKENIZER, "a", SamplingConfig(temperature=0, max_tokens=7))[0]
    assert str(text) == "abcabcab"
    assert text.ending == "length"


def test_the_end_token_and_stop_texts_end_a_sample() -> None:
    model = Bigram(BigramConfig(), vocab_size=TOKENIZER.vocab_size)
    end = TOKENIZER.end_id
    with torch.no_grad():
        for here, following in ((97, 98), (98, 99), (99, end), (end, 97)):
            model.table.weight[here, :] = 0.0
            model.table.weight[here, following] = 9.0
    config = SamplingConfig(temperature=0, max_tokens=6)
    ended = generate(model, TOKENIZER, "a", config)[0]
    assert (ended.text, ended.ending) == ("bc", "end")
    going_on = generate(model, TOKENIZER, "a", config.model_copy(update={"stop_at_end": False}))[0]
    assert going_on.text == "bc<|endoftext|>abc"[: len(going_on.text)]
    assert going_on.ending == "length"
    stopped = generate(model, TOKENIZER, "a", config.model_copy(update={"stop": ("bc", "zz")}))[0]
    assert (stopped.text, stopped.ending) == ("", "stop")


def test_stream_gives_the_same_text_as_generate_and_ends_each_sample_once() -> None:
    model = lively_model()
    config = SamplingConfig(samples=3, seed=2, max_tokens=40, stop=("e",))
    pieces = list(stream(model, TOKENIZER, "hello", config))
    for number, sample in enumerate(generate(model, TOKENIZER, "hello", config)):
        own = [piece for piece in pieces if piece.sample == number]
        assert "".join(piece.text for piece in own) == sample.text
        assert [piece.ending for piece in own if piece.ending] == [sample.ending]
        assert own[-1].ending is not None
        assert "e" not in sample.text


def test_nothing_asked_for_is_nothing() -> None:
    sample = generate(lively_model(), TOKENIZER, "x", SamplingConfig(max_tokens=0))[0]
    assert (sample.text, sample.ending) == ("", "length")


def test_top_k_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(GenerationError, match="257"):
        generate(lively_model(), TOKENIZER, "x", SamplingConfig(top_k=258))


@given(
    text=st.text(max_size=30),
    cuts=st.lists(st.integers(0, 120), max_size=12),
    stops=st.lists(st.text(min_size=1, max_size=3), max_size=3),
)
def test_streamed_text_does_not_depend_on_how_bytes_arrive(
    text: str, cuts: list[int], stops: list[str]
) -> None:
    raw = text.encode()
    places = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    streamed = TextStream(stops)
    out, broken = [], False
    for start, stop in itertools.pairwise(places):
        piece = streamed.feed(raw[start:stop])
        broken |= "\ufffd" in piece and "\ufffd" not in text
        out.append(piece)
    result = "".join(out) + streamed.finish()
    # Cut at the stop text that is complete first; of those, at the earliest beginning.
    expected = text
    for end in range(len(text) + 1):
        starts = [text[:end].find(stop) for stop in stops if stop in text[:end]]
        if starts:
            expected = text[: min(starts)]
            break
    assert not broken
    if len(places) == len(raw) + 1 or not stops:
        assert result == expected
    assert text.startswith(result)
    assert not any(stop in result for stop in stops)


def test_a_cut_character_becomes_the_replacement_character() -> None:
    streamed = TextStream()
    assert streamed.feed("é".encode()[:1]) == ""
    assert streamed.finish() == "\ufffd"


@given(
    logits=st.lists(st.floats(-20, 20), min_size=2, max_size=40),
    k=st.integers(0, 45),
    p=st.floats(0.01, 1.0),
)
def test_rules_keep_what_they_say(logits: list[float], k: int, p: float) -> None:
    row = torch.tensor([logits])
    kept = keep_top_k(row, k).isfinite()[0]
    if 0 < k < len(logits):
        threshold = sorted(row[0].tolist(), reverse=True)[k - 1]
        assert kept.tolist() == [value >= threshold for value in row[0].tolist()]
    else:
        assert kept.all()
    nucleus = keep_top_p(row, p)[0]
    probabilities = row[0].softmax(-1)
    inside = nucleus.isfinite()
    assert inside[row[0].argmax()]
    assert probabilities[inside].sum() >= min(p, 1.0) - 1e-4
    if inside.sum() > 1:  # without its least likely member it would not reach p
        assert probabilities[inside].sum() - probabilities[inside].min() < p + 1e-4


@given(
    weights=st.lists(st.floats(0, 10), min_size=1, max_size=50).filter(lambda w: sum(w) > 0.1),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_draw_never_takes_the_impossible(weights: list[float], uniform: float) -> None:
    probabilities = torch.tensor([weights], dtype=torch.float32)
    probabilities = probabilities / probabilities.sum()
    token = int(draw(probabilities, torch.tensor([uniform]))[0])
    assert probabilities[0, token] > 0


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([[0.5, 0.0, 0.2, 0.3]]).repeat(20_000, 1)
    uniforms = torch.rand(20_000, generator=torch.Generator().manual_seed(1))
    shares = torch.bincount(draw(probabilities, uniforms), minlength=4) / 20_000
    assert torch.allclose(shares, probabilities[0], atol=0.015)


def test_the_order_of_rules_is_temperature_then_k_then_p() -> None:
    logits = torch.tensor([4.0, 3.0, 2.0, 1.0])
    config = SamplingConfig(temperature=0.5, top_k=3, top_p=0.9)
    by_hand = keep_top_p(keep_top_k(logits / 0.5, 3), 0.9).softmax(-1)
    chooser = Chooser(Vocabulary(4), torch.device("cpu"))
    chooser.join(config, [])
    assert torch.equal(chooser.probabilities(logits[None])[0], by_hand)
    assert (by_hand[2:] == 0).all()
