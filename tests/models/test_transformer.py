"""The transformer: its sizes, its cache, its mask, and what it may not see."""

from __future__ import annotations

import itertools

import pytest
import torch

from hornbook.models import Transformer, TransformerConfig, TransformerState, build_model

VOCAB, CONTEXT = 61, 24

FORMS = [
    TransformerConfig.model_validate(
        {
            "layers": 2,
            "heads": 4,
            "kv_heads": kv_heads,
            "d_model": 32,
            "positions": positions,
            "norm": norm,
            "feedforward": feedforward,
            "tied_head": tied,
            "bias": bias,
        }
    )
    for kv_heads, positions, (norm, feedforward, tied, bias) in itertools.product(
        (0, 2, 1),
        ("learned", "rotary"),
        (
            ("layernorm", "gelu", True, True),
            ("rmsnorm", "swiglu", False, False),
            ("layernorm", "swiglu", True, False),
        ),
    )
]


def build(config: TransformerConfig, seed: int = 3) -> Transformer:
    model = build_model(config, vocab_size=VOCAB, context_length=CONTEXT, seed=seed)
    assert isinstance(model, Transformer)
    # Wider initial weights than the real ones, so that a wrong mask shows clearly.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(10)
    return model.eval()


def tokens(rows: int, time: int) -> torch.Tensor:
    return torch.randint(0, VOCAB, (rows, time), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("config", FORMS)
def test_pieces_through_the_cache_equal_the_whole(config: TransformerConfig) -> None:
    model, ids = build(config), tokens(3, CONTEXT)
    whole, none = model(ids)
    assert none is None
    state = model.init_state(3)
    parts = []
    for piece in ids.split([7, 1, 1, 10, 5], dim=1):
        logits, state = model(piece, state)
        parts.append(logits)
    assert isinstance(state, TransformerState)
    assert state.length == CONTEXT
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("config", FORMS[::4])
def test_no_position_sees_the_future(config: TransformerConfig) -> None:
    model = build(config)
    ids = tokens(1, 10)
    embedded = {}

    def keep(module: object, inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        embedded["x"] = output

    hook = model.token_embedding.register_forward_hook(keep)
    logits, _ = model(ids)
    hook.remove()
    logits[0, 4].sum().backward()
    influence = embedded["x"].grad[0].abs().sum(dim=1)
    assert (influence[:5] > 0).all()
    assert (influence[5:] == 0).all()


@pytest.mark.parametrize("config", FORMS[::4])
def test_segments_keep_documents_apart_to_the_bit(config: TransformerConfig) -> None:
    model = build(config)
    ids = tokens(2, 12)
    segments = torch.tensor([[0] * 5 + [1] * 7, [0] * 3 + [1] * 9])
    before, _ = model(ids, segments=segments)
    changed = ids.clone()
    changed[0, :5] = (changed[0, :5] + 1) % VOCAB
    after, _ = model(changed, segments=segments)
    assert torch.equal(before[0, 5:], after[0, 5:])
    assert not torch.allclose(before[0, :5], after[0, :5])


@pytest.mark.parametrize("config", FORMS[::4])
def test_a_packed_document_with_its_positions_equals_itself_alone(
    config: TransformerConfig,
) -> None:
    model = build(config)
    ids = tokens(1, 12)
    segments = torch.tensor([[0] * 5 + [1] * 7])
    positions = torch.tensor([[*range(5), *range(7)]])
    packed, _ = model(ids, positions=positions, segments=segments)
    alone, _ = model(ids[:, 5:])
    torch.testing.assert_close(packed[:, 5:], alone, atol=2e-5, rtol=1e-4)


def test_gpt2_form_has_the_published_number_of_parameters() -> None:
    config = TransformerConfig(
        layers=12, heads=12, d_model=768, positions="learned", norm="layernorm",
        feedforward="gelu", tied_head=True, bias=True,
    )  # fmt: skip
    with torch.device("meta"):
        model = Transformer(config, vocab_size=50257, context_length=1024)
    assert model.parameter_count() == 124_439_808


def test_equal_seeds_give_equal_weights_and_others_do_not() -> None:
    config = FORMS[0]
    first, second, other = (
        build_model(config, vocab_size=VOCAB, context_length=CONTEXT, seed=seed)
        for seed in (1, 1, 2)
    )
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert not torch.equal(first.token_embedding.weight, other.token_embedding.weight)  # type: ignore[attr-defined]


def test_building_leaves_the_global_random_stream_to_its_owner() -> None:
    torch.manual_seed(5)
    build_model(FORMS[0], vocab_size=VOCAB, context_length=CONTEXT, seed=1)
    first = build_model(FORMS[0], vocab_size=VOCAB, context_length=CONTEXT, seed=9)
    torch.manual_seed(77)
    second = build_model(FORMS[0], vocab_size=VOCAB, context_length=CONTEXT, seed=9)
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_tied_head_is_one_tensor() -> None:
    tied, untied = build(FORMS[0]), build(FORMS[1])
    assert tied.output_head.weight is tied.token_embedding.weight
    assert untied.output_head.weight is not untied.token_embedding.weight
    assert untied.parameter_count() > VOCAB * 32 * 2


def test_conflicts_name_key_value_and_what_would_fit() -> None:
    problems = list(TransformerConfig(heads=7, kv_heads=2, d_model=128).conflicts())
    assert [problem.key for problem in problems] == ["heads", "kv_heads"]
    assert problems[0].value == "7"
    assert "8" in problems[0].message
    odd = list(TransformerConfig(heads=4, d_model=12, positions="rotary").conflicts())
    assert "even" in odd[0].message
    assert not list(TransformerConfig(heads=4, d_model=12, positions="learned").conflicts())


def test_first_loss_is_near_log_of_the_vocabulary() -> None:
    model = build_model(TransformerConfig(), vocab_size=500, context_length=64, seed=1)
    logits, _ = model(torch.randint(0, 500, (4, 64)))
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.randint(0, 500, (4 * 64,))
    ).item()
    assert abs(loss - torch.log(torch.tensor(500.0)).item()) < 0.2
