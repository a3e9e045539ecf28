"""The transformer's parts, each against a slow look at its formula."""

from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F

import hornbook.models
from hornbook.models import (
    Attention,
    Block,
    Embedding,
    Linear,
    RMSNorm,
    Rotary,
    SwiGLU,
    Transformer,
    TransformerConfig,
    build_model,
)
from hornbook.models.embeddings import BigramEmbedding, default_buckets, pair_rows
from hornbook.models.feedforward import GATED, FeedForward, FeedForwardKind, default_d_ff
from hornbook.models.head import Head
from hornbook.models.initialisation import WEIGHT_DEVIATION
from hornbook.models.input_skip import InputSkip
from hornbook.models.ngrams import RunEmbedding, run_rows
from hornbook.models.norms import NormPosition
from hornbook.models.positions import sinusoidal_table
from hornbook.models.previous_token import LastSeen, TokenBefore, TokenShift, document_starts
from hornbook.models.rotary import RotaryScaling, rotary_frequencies

DRAW = torch.Generator().manual_seed(4)


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=DRAW)


def test_the_seven_blocks_stand_on_their_own() -> None:
    x = numbers(2, 5, 16)
    heads = x.view(2, 5, 4, 4).transpose(1, 2)
    assert Linear(16, 24)(x).shape == (2, 5, 24)
    assert Embedding(7, 16)(torch.tensor([[1, 6]])).shape == (1, 2, 16)
    assert RMSNorm(16)(x).shape == x.shape
    assert SwiGLU(16, 40)(x).shape == x.shape
    assert Rotary(4, 10)(heads).shape == heads.shape
    assert Attention(16, 4, 2)(x).shape == x.shape
    assert Block(TransformerConfig(d_model=16, heads=4))(x).shape == x.shape
    names = {"Linear", "Embedding", "RMSNorm", "SwiGLU", "Rotary", "Attention", "Block"}
    assert names <= set(hornbook.models.__all__)


def test_an_attention_or_a_block_on_its_own_sees_no_future() -> None:
    x = numbers(1, 6, 16)
    changed = x.clone()
    changed[0, 4:] += 1
    switches: dict[str, Any] = {"token_shift": True, "input_skip": True}
    for part in (
        Attention(16, 4, 2),
        Block(TransformerConfig(d_model=16, heads=4, norm_position="both", **switches)),
    ):
        assert torch.equal(part(x)[0, :4], part(changed)[0, :4])
        assert not torch.equal(part(x)[0, 4:], part(changed)[0, 4:])


def test_rmsnorm_is_its_formula() -> None:
    x, norm = numbers(3, 8), RMSNorm(8, epsilon=1e-3)
    with torch.no_grad():
        norm.weight.copy_(numbers(8))
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(norm(x), expected * norm.weight)
    torch.testing.assert_close(RMSNorm(8, epsilon=1e-3, gain=False)(x), expected)
    assert not list(RMSNorm(8, gain=False).parameters())


@pytest.mark.parametrize("position", get_args(NormPosition))
def test_norms_stand_where_they_should(position: NormPosition) -> None:
    config = TransformerConfig(d_model=16, heads=2, norm_position=position, positions="none")
    block, x = Block(config), numbers(2, 5, 16)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(generator=DRAW)
    found = block(x)
    named = dict(block.named_children())
    for part in ("attention", "feedforward"):
        f: Any = named[part]
        if position == "before":
            x = x + f(named[f"{part}_norm"](x))
        elif position == "after":
            x = named[f"{part}_sum_norm"](x + f(x))
        else:
            x = x + named[f"{part}_output_norm"](f(named[f"{part}_norm"](x)))
    torch.testing.assert_close(found, x)


def slow_bend(kind: str, x: float) -> float:
    if kind in ("gelu", "geglu"):
        return x * (1 + math.erf(x / math.sqrt(2))) / 2
    if kind == "gelu_tanh":
        return x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if kind == "relu2":
        return max(x, 0) ** 2
    return x / (1 + math.exp(-x))


@pytest.mark.parametrize("kind", get_args(FeedForwardKind))
def test_feedforward_is_its_formula(kind: FeedForwardKind) -> None:
    part, x = FeedForward(kind, 6, 10, bias=True), numbers(4, 6)
    wide = F.linear(x, part.up.weight, part.up.bias)
    bent = torch.tensor([[slow_bend(kind, value) for value in row] for row in wide.tolist()])
    inner = bent[:, :10] * wide[:, 10:] if kind in GATED else bent
    expected = F.linear(inner, part.down.weight, part.down.bias)
    torch.testing.assert_close(part(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("d_model", [32, 96, 128, 768])
def test_gated_feedforwards_have_as_many_parameters(d_model: int) -> None:
    def size(kind: FeedForwardKind) -> int:
        part = FeedForward(kind, d_model, default_d_ff(kind, d_model))
        return sum(parameter.numel() for parameter in part.parameters())

    assert {size("relu2"), size("silu"), size("gelu_tanh")} == {size("gelu")}
    assert size("geglu") == size("swiglu")
    assert 0 <= size("swiglu") - size("gelu") <= 3 * 8 * d_model


@pytest.mark.parametrize("width", [6, 7])
def test_waves_are_their_formula(width: int) -> None:
    table = sinusoidal_table(5, width)
    assert table.shape == (5, width)
    for place in range(5):
        for number in range(width):
            angle = place / 10_000 ** (number // 2 * 2 / width)
            expected = math.cos(angle) if number % 2 else math.sin(angle)
            assert table[place, number].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_rotary_knows_distances_only_and_leaves_the_rest_of_the_head_alone(
    fraction: float,
) -> None:
    rotary = Rotary(8, 64, base=50.0, fraction=fraction)
    query, key = numbers(1, 1, 1, 8), numbers(1, 1, 1, 8)

    def score(at: int, looked_at: int) -> float:
        turned = rotary(query, torch.tensor([[at]])), rotary(key, torch.tensor([[looked_at]]))
        return (turned[0] * turned[1]).sum().item()

    assert score(9, 4) == pytest.approx(score(50, 45), abs=1e-5)
    assert score(9, 4) != pytest.approx(score(9, 5), abs=1e-3)
    turned = rotary(query, torch.tensor([[11]]))
    assert torch.equal(turned[..., 4:], query[..., 4:]) == (fraction == 0.5)
    torch.testing.assert_close(turned.norm(), query.norm())


def test_scaled_angles() -> None:
    plain = rotary_frequencies(16, 10_000.0)
    linear = rotary_frequencies(16, 10_000.0, RotaryScaling("linear", 4.0))
    torch.testing.assert_close(linear, plain / 4)
    ntk = rotary_frequencies(16, 10_000.0, RotaryScaling("ntk", 4.0))
    assert ntk[0] == plain[0]
    torch.testing.assert_close(ntk[-1], plain[-1] / 4)
    assert ((ntk <= plain) & (ntk >= plain / 4 - 1e-12)).all()
    llama3 = rotary_frequencies(16, 10_000.0, RotaryScaling("llama3", 4.0, 512))
    turns = 512 * plain / (2 * math.pi)
    assert torch.equal(llama3[turns > 4], plain[turns > 4])
    torch.testing.assert_close(llama3[turns < 1], plain[turns < 1] / 4)
    assert (llama3.diff() < 0).all()


SEGMENTS = torch.tensor([[-1, -1, 3, 3, 3, 8], [0, 1, 1, 1, 1, 1]])


def test_the_token_before_is_that_of_a_slow_look() -> None:
    ids = torch.arange(12).view(2, 6)
    x = numbers(2, 6, 3)
    before = TokenBefore(document_starts(SEGMENTS))
    found_ids, found = before.tokens(ids)[0], before.vector(x, 0)
    for row in range(2):
        for place in range(6):
            first = place == 0 or SEGMENTS[row, place] != SEGMENTS[row, place - 1]
            expected = torch.zeros(3) if first else x[row, place - 1]
            assert torch.equal(found[row, place], expected)
            assert found_ids[row, place] == (-1 if first else ids[row, place - 1])


def test_the_token_shift_adds_its_share_of_it() -> None:
    shift, x = TokenShift(3), numbers(2, 6, 3)
    assert torch.equal(shift(x, TokenBefore()), x)
    with torch.no_grad():
        shift.weight.copy_(torch.tensor([0.0, 1.0, -2.0]))
    found = shift(x, TokenBefore())
    assert torch.equal(found[:, 0], x[:, 0])
    torch.testing.assert_close(found[:, 1:], x[:, 1:] + shift.weight * x[:, :-1])


def test_what_was_last_seen_is_what_comes_before() -> None:
    ids, x = torch.arange(12).view(2, 6), numbers(2, 6, 3)
    last = LastSeen(2, 2, 3, torch.device("cpu"), torch.float32, count=3)
    tokens, vectors = [], []
    for piece in ((0, 2), (2, 3), (3, 6)):
        before = TokenBefore(last=last)
        tokens.append(torch.stack(before.tokens(ids[:, slice(*piece)], 3)))
        vectors.append(before.vector(x[:, slice(*piece)], 1))
    assert torch.equal(torch.cat(tokens, 2), torch.stack(TokenBefore().tokens(ids, 3)))
    assert torch.equal(torch.cat(vectors, 1), TokenBefore().vector(x, 1))
    assert not last.vectors[0].any()


def test_every_pair_has_its_row_while_there_is_room() -> None:
    previous, ids = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
    rows = pair_rows(ids, previous, vocab_size=9, buckets=81)
    assert sorted(rows.flatten().tolist()) == list(range(1, 82))
    assert not pair_rows(ids, torch.full_like(ids, -1), 9, 81).any()


def test_other_pairs_share_rows_evenly_and_for_ever_the_same() -> None:
    size, buckets = 50_257, default_buckets(50_257)
    draw = torch.Generator().manual_seed(3)
    previous, ids = torch.randint(0, size, (2, 200_000), generator=draw)
    rows = pair_rows(ids, previous, size, buckets)
    assert rows.min() >= 1
    assert rows.max() <= buckets
    # Balls thrown into urns: 1 - exp(-balls / urns) of them are hit.
    hit = len(rows.unique()) / buckets
    assert hit == pytest.approx(1 - math.exp(-200_000 / buckets), rel=0.02)
    neighbours = pair_rows(torch.arange(5000), torch.full((5000,), 7), size, buckets)
    assert len(neighbours.unique()) > 4900
    # Weights on disk are in this order.
    known = pair_rows(torch.tensor([0, 1, 50_256]), torch.tensor([0, 50_256, 9]), size, buckets)
    assert known.tolist() == [1, 125_486, 128_622]


def test_a_pair_of_tokens_has_a_vector() -> None:
    table = BigramEmbedding(10, 4)
    ids = torch.tensor([[3, 4, 3, 4]])
    found = table(ids, TokenBefore().tokens(ids)[0])
    assert found.shape == (1, 4, 4)
    assert torch.equal(found[0, 1], found[0, 3])
    assert not torch.equal(found[0, 0], found[0, 2])


def test_a_run_of_tokens_has_a_vector_wherever_it_stands_whole_in_its_document() -> None:
    table = RunEmbedding(3, 4, buckets=1000)
    ids = torch.tensor([[5, 6, 7, 5, 6, 7], [6, 7, 5, 6, 7, 8]])
    starts = torch.tensor([[1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 1, 0]]).bool()
    found = table(ids, TokenBefore(starts).tokens(ids, 3))
    cut_off = table.weight[0]
    whole = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0]]).bool()
    assert (found[~whole] == cut_off).all()
    assert not (found[whole] == cut_off).all(-1).any()
    assert torch.equal(found[0, 2], found[0, 5])
    assert torch.equal(found[0, 3], found[1, 2])
    assert not torch.equal(found[0, 2], found[0, 3])


def test_runs_share_rows_evenly_and_for_ever_the_same() -> None:
    draw = torch.Generator().manual_seed(3)
    size, buckets = 50_257, 100_000
    ids = list(torch.randint(0, size, (4, 200_000), generator=draw))
    for length in (3, 4):
        rows = run_rows(ids[:length], buckets)
        assert rows.min() >= 1
        assert rows.max() <= buckets
        assert len(rows.unique()) / buckets == pytest.approx(1 - math.exp(-2), rel=0.02)
    # The same tokens in another order are another run.
    few = [run_rows(list(run), 1 << 26) for run in itertools.permutations(ids[:3])]
    assert (few[0] != few[1]).float().mean() > 0.999
    # Weights on disk are in this order.
    known = [torch.tensor([0, 1, 50_256]), torch.tensor([0, 50_256, 9]), torch.tensor([0, 3, 8])]
    assert run_rows(known, 8192).tolist() == [1, 5_294, 2_092]
    assert not run_rows([*known, torch.full((3,), -1)], 8192).any()


def test_the_head_computes_more_logits_in_training_and_gives_none_of_them() -> None:
    x, heads = numbers(2, 5, 8), [Head(8, 21), Head(8, 21, multiple=16)]
    heads[1].load_state_dict(heads[0].state_dict())
    assert heads[1].weight.shape == (21, 8)
    for head in heads:
        head(x).square().sum().backward()
    torch.testing.assert_close(heads[0](x), heads[1](x))
    torch.testing.assert_close(heads[0].weight.grad, heads[1].weight.grad)
    assert torch.equal(heads[0].eval()(x), heads[1].eval()(x))


def test_the_cap_bends_logits_and_keeps_their_order() -> None:
    head, capped = Head(8, 21), Head(8, 21, softcap=2.0)
    with torch.no_grad():
        head.weight.normal_(std=3, generator=DRAW)
    capped.load_state_dict(head.state_dict())
    x = numbers(40, 8)
    assert head(x).abs().max() > 2
    assert capped(x).abs().max() <= 2
    torch.testing.assert_close(capped(x), 2 * torch.tanh(head(x) / 2))
    torch.testing.assert_close(capped(1e-3 * x), head(1e-3 * x), atol=1e-6, rtol=1e-3)


def test_the_input_skip_mixes() -> None:
    skip, x, embedded = InputSkip(), numbers(1, 2, 3), numbers(1, 2, 3)
    assert torch.equal(skip(x, embedded), x)
    with torch.no_grad():
        skip.weight.copy_(torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(skip(x, embedded), 0.5 * x + 2 * embedded)


@pytest.mark.parametrize("zero_init", [False, True])
def test_in_a_sandwich_the_last_gains_begin_small(zero_init: bool) -> None:
    config = TransformerConfig(layers=2, d_model=96, norm_position="both", zero_init=zero_init)
    model = build_model(config, vocab_size=50, context_length=8, seed=1)
    named = dict(model.named_parameters())
    for part in ("attention", "feedforward"):
        gains = named[f"blocks.1.{part}_output_norm.weight"]
        assert (gains == (0 if zero_init else WEIGHT_DEVIATION / 2)).all()
    last = named["blocks.1.feedforward.down.weight"]
    assert last.std().item() == pytest.approx(WEIGHT_DEVIATION, rel=0.05)


def test_with_norms_after_each_sum_layers_begin_as_large_as_what_they_are_added_to() -> None:
    config = TransformerConfig(layers=2, d_model=96, norm_position="after", tied_head=False)
    model = build_model(config, vocab_size=500, context_length=8, seed=1)
    for name, weight in model.named_parameters():
        if "norm" in name:
            continue
        expected = weight.shape[1] ** -0.5
        if name == "token_embedding.weight":
            expected /= 2
        elif name == "output_head.weight":
            expected = WEIGHT_DEVIATION
        assert weight.std().item() == pytest.approx(expected, rel=0.05), name


def test_waves_are_as_large_as_the_embedding_at_first() -> None:
    for scaled in (False, True):
        config = TransformerConfig(layers=1, d_model=96, positions="sinusoidal")
        config = config.model_copy(update={"embedding_scale": scaled})
        model = build_model(config, vocab_size=50, context_length=64, seed=1)
        assert isinstance(model, Transformer)
        assert model.waves is not None
        tokens = model.token_embedding.weight * model.embedding_factor
        proportion = tokens.square().mean() / model.waves.square().mean()
        # Sines and cosines have a mean square of a half.
        assert proportion.item() == pytest.approx(2, rel=0.05)


def test_the_first_weights_have_the_sizes_that_are_stated() -> None:
    config = TransformerConfig(
        layers=3, d_model=96, bias=True, norm="layernorm", token_shift=True, bigram_features=True,
        value_embeddings=True, input_skip=True, tied_head=False, positions="learned",
    )  # fmt: skip
    model = build_model(config, vocab_size=500, context_length=64, seed=1)
    for name, weight in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            assert (weight == 1).all()
        elif name.endswith("input_skip.weight"):
            assert weight.tolist() == [1, 0]
        elif weight.ndim < 2 or name.startswith(("bigram", "value")):
            assert not weight.any(), name
        else:
            writes = name.endswith(("attention.output.weight", "feedforward.down.weight"))
            expected = WEIGHT_DEVIATION / math.sqrt(2 * 3) if writes else WEIGHT_DEVIATION
            assert weight.std().item() == pytest.approx(expected, rel=0.05), name
