"""Attention's own choices: shared heads, norms of queries and keys, scale; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from hornbook.models import Attention, Transformer, TransformerConfig, build_model

WIDTH, HEADS, TIME = 48, 6, 9
SIZE = WIDTH // HEADS
VOCAB, CONTEXT = 31, 24


def inputs() -> torch.Tensor:
    return torch.randn(2, TIME, WIDTH, generator=torch.Generator().manual_seed(2))


def attention(kv_heads: int = HEADS, **choices: Any) -> Attention:
    torch.manual_seed(1)
    made = Attention(WIDTH, HEADS, kv_heads, bias=True, **choices)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


@pytest.mark.parametrize("kv_heads", [1, 2, 3])
def test_shared_keys_and_values_are_repeated_ones(kv_heads: int) -> None:
    shared, repeated = attention(kv_heads), attention()
    with torch.no_grad():
        for name in ("weight", "bias"):
            part = getattr(shared.qkv, name)
            query, key, value = part.split([WIDTH, kv_heads * SIZE, kv_heads * SIZE])
            many = [
                rest.unflatten(0, (kv_heads, SIZE)).repeat_interleave(HEADS // kv_heads, 0)
                for rest in (key, value)
            ]
            joint = torch.cat([query, *(rest.flatten(0, 1) for rest in many)])
            getattr(repeated.qkv, name).copy_(joint)
        repeated.output.load_state_dict(shared.output.state_dict())
        torch.testing.assert_close(shared(inputs()), repeated(inputs()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm_gain", [False, True])
def test_query_key_norm_and_scale_are_the_formula(norm_gain: bool) -> None:
    made = attention(2, qk_norm=True, norm_gain=norm_gain, scale=1.5)
    assert made.query_norm is not None
    assert made.key_norm is not None
    x = inputs()

    def normed(heads: torch.Tensor, gain: torch.Tensor | None) -> torch.Tensor:
        size = (heads.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return heads / size * (1 if gain is None else gain)

    with torch.no_grad():
        joint = made.qkv(x).unflatten(-1, (HEADS + 4, SIZE)).transpose(1, 2)
        query = normed(joint[:, :HEADS], made.query_norm.weight)
        key = normed(joint[:, HEADS : HEADS + 2], made.key_norm.weight).repeat_interleave(3, 1)
        value = joint[:, HEADS + 2 :].repeat_interleave(3, 1)
        scores = 1.5 * query @ key.transpose(-2, -1) / SIZE**0.5
        hidden = torch.ones(TIME, TIME, dtype=torch.bool).triu(1)
        taken = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ value
        expected = made.output(taken.transpose(1, 2).flatten(2))
        torch.testing.assert_close(made(x), expected, atol=1e-5, rtol=1e-5)


def test_normed_queries_do_not_care_how_large_they_were() -> None:
    made, x = attention(qk_norm=True), inputs()
    with torch.no_grad():
        before = made(x)
        made.qkv.weight[: 2 * WIDTH] *= 7
        made.qkv.bias[: 2 * WIDTH] *= 7
        torch.testing.assert_close(made(x), before, atol=1e-4, rtol=1e-4)
        made.qkv.weight[2 * WIDTH :] *= 7
        assert not torch.allclose(made(x), before, atol=1e-2)


FORMS: list[dict[str, Any]] = [
    {"attention": "mla", "window": 6, "attention_softcap": 5.0, "qk_norm": True},
    {"attention": "mla", "positions": "alibi", "q_latent": 12},
    {"positions": "alibi", "window": 6, "window_layers": "alternate", "kv_heads": 2},
]


def model_of(choices: dict[str, Any]) -> Transformer:
    config = TransformerConfig(layers=2, heads=4, d_model=32, **choices)
    model = build_model(config, vocab_size=VOCAB, context_length=CONTEXT, seed=1)
    assert isinstance(model, Transformer)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(4)
    return model.eval()


def ids() -> torch.Tensor:
    return torch.randint(0, VOCAB, (2, CONTEXT), generator=torch.Generator().manual_seed(1))


SEGMENTS = torch.tensor([[0] * 10 + [1] * 14, [-1] * 5 + [0] * 19])


@pytest.mark.parametrize("whole", [False, True], ids=["autocast", "all of the model"])
@pytest.mark.parametrize("choices", FORMS, ids=str)
def test_bfloat16_is_near_float32_in_rows_documents_and_the_cache(
    choices: dict[str, Any], whole: bool
) -> None:
    model, low = model_of(choices), model_of(choices)
    if whole:
        low.bfloat16()
    with torch.no_grad():
        rows, documents = model(ids())[0], model(ids(), segments=SEGMENTS)[0]
        with torch.autocast("cpu", torch.bfloat16, enabled=not whole):
            found = low(ids())[0], low(ids(), segments=SEGMENTS)[0]
            state, parts = low.init_state(2), []
            for piece in ids().split([7, 1, 1, 9, 6], dim=1):
                logits, state = low(piece, state)
                parts.append(logits)
    scale = float(rows.abs().max())
    for ours, exact in zip((*found, torch.cat(parts, dim=1)), (rows, documents, rows), strict=True):
        assert (ours.float() - exact).abs().max() < 0.05 * scale


@pytest.mark.parametrize("choices", FORMS, ids=str)
def test_compiled_without_a_break_it_is_the_same_and_not_compiled_anew(
    choices: dict[str, Any],
) -> None:
    torch._dynamo.reset()
    model = model_of(choices)
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)
    with torch._dynamo.config.patch(error_on_recompile=True), torch.no_grad():
        for shift in range(3):
            tokens = (ids() + shift) % VOCAB
            torch.testing.assert_close(compiled(tokens)[0], model(tokens)[0])


def test_distances_beyond_256_count_in_bfloat16() -> None:
    config = TransformerConfig(layers=1, heads=2, d_model=16, positions="alibi")
    model = build_model(config, vocab_size=9, context_length=600, seed=1).bfloat16()
    assert isinstance(model, Transformer)
    assert model.sight.places.unique().numel() == 600


@pytest.mark.parametrize(
    ("settings", "keys", "hint"),
    [
        ({"attention": "mla", "kv_heads": 2}, ["kv_heads"], "attention=multihead"),
        ({"attention": "mla", "value_embeddings": True}, ["value_embeddings"], "multihead"),
        ({"attention": "mla", "kv_latent": 257}, ["kv_latent"], "256"),
        ({"attention": "mla", "q_latent": 129}, ["q_latent"], "128"),
        ({"attention": "mla", "rotary_fraction": 1.0}, ["rotary_fraction"], "0.5"),
        ({"kv_latent": 64, "q_latent": 9}, ["kv_latent", "q_latent"], "attention=mla"),
        ({"window": 8, "window_layers": "0,4"}, ["window_layers"], "the last one is 3"),
        ({"window_layers": "alternate"}, ["window_layers"], "window=64"),
        ({"window": 1}, ["window"], "2 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(
    settings: dict[str, Any], keys: list[str], hint: str
) -> None:
    problems = list(TransformerConfig(**settings).conflicts())
    assert [problem.key for problem in problems] == keys
    assert all(hint in problem.message for problem in problems)


@pytest.mark.parametrize("pattern", ["", "some", "-1", "0,,2", "1.5", "0;1", "[0, 1]", "²"])
def test_a_pattern_of_layers_is_a_word_or_numbers(pattern: str) -> None:
    with pytest.raises(ValidationError, match="should be all, alternate, or the numbers"):
        TransformerConfig(window=8, window_layers=pattern)


def test_layers_have_the_windows_that_the_pattern_says() -> None:
    def windows(pattern: Any) -> list[int]:
        return TransformerConfig(layers=4, window=8, window_layers=pattern).windows

    assert windows("all") == [8, 8, 8, 8]
    assert windows("alternate") == [8, 0, 8, 0]
    assert windows(" 3, 1") == windows([1, 3]) == [0, 8, 0, 8]
    assert TransformerConfig(layers=3).windows == [0, 0, 0]
