"""The recurrent models against a cell written out, and what their state may and may not know."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hornbook.generation import SamplingConfig, generate_tokens
from hornbook.models import (
    GRUConfig,
    LSTMConfig,
    Recurrent,
    RecurrentConfig,
    RNNConfig,
    build_model,
)
from hornbook.models.recurrent import SegmentOrder

VOCAB, WIDTH = 61, 24
KINDS: list[type[RNNConfig] | type[GRUConfig] | type[LSTMConfig]] = [
    RNNConfig,
    GRUConfig,
    LSTMConfig,
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=["rnn", "gru", "lstm"])


def build(config: RecurrentConfig, seed: int = 3) -> Recurrent:
    model = build_model(config, vocab_size=VOCAB, context_length=16, seed=seed)
    assert isinstance(model, Recurrent)
    # Larger weights and biases than the initial ones, so that a mistake shows clearly.
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
            else:
                parameter.mul_(1.5)
    return model.eval()


def tokens(rows: int, time: int) -> torch.Tensor:
    return torch.randint(0, VOCAB, (rows, time), generator=torch.Generator().manual_seed(1))


def written_out(model: Recurrent, row: list[int], segments: list[int]) -> torch.Tensor:
    """Logits [time, vocab_size] of one row, a token at a time, with the formulas on paper."""
    zero = torch.zeros(WIDTH)
    hidden = [zero] * model.config.layers
    cells = [zero] * model.config.layers
    logits = []
    for place, token in enumerate(row):
        if place and segments[place] != segments[place - 1]:
            hidden, cells = [zero] * len(hidden), [zero] * len(cells)
        x = model.token_embedding.weight[token] * WIDTH**0.5
        for number, layer in enumerate(model.layers):
            weights: dict[str, Any] = dict(layer.named_parameters())
            below = x
            given_x = weights["weight_ih_l0"] @ x + weights["bias_ih_l0"]
            given_h = weights["weight_hh_l0"] @ hidden[number] + weights["bias_hh_l0"]
            if model.config.kind == "rnn":
                x = torch.tanh(given_x + given_h)
            elif model.config.kind == "gru":
                r, z = torch.sigmoid((given_x + given_h)[: 2 * WIDTH]).split(WIDTH)
                n = torch.tanh(given_x[2 * WIDTH :] + r * given_h[2 * WIDTH :])
                x = (1 - z) * n + z * hidden[number]
            else:
                i, f, g, o = (given_x + given_h).split(WIDTH)
                cells[number] = torch.sigmoid(f) * cells[number] + torch.sigmoid(i) * torch.tanh(g)
                x = torch.sigmoid(o) * torch.tanh(cells[number])
            hidden[number] = x
            if model.config.residual and number > 0:
                x = below + x
        logits.append(model.output_head.weight @ x)
    return torch.stack(logits)


@every_kind
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("tied", "residual"), [(True, True), (False, False), (True, False)])
def test_it_equals_the_formulas(kind: Any, layers: int, tied: bool, residual: bool) -> None:
    model = build(kind(layers=layers, d_model=WIDTH, tied_head=tied, residual=residual))
    ids = tokens(2, 9)
    segments = torch.tensor([[0] * 9, [4, 4, 0, 0, 0, 4, 1, 1, 1]])
    found, none = model(ids, segments=segments)
    assert none is None
    for row in range(2):
        expected = written_out(model, ids[row].tolist(), segments[row].tolist())
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model(ids[:1])[0], found[:1], atol=1e-5, rtol=1e-4)


@every_kind
def test_pieces_through_the_state_equal_the_whole(kind: Any) -> None:
    model, ids = build(kind(d_model=WIDTH)), tokens(3, 24)
    whole, _ = model(ids)
    state = model.init_state(3)
    parts = []
    for piece in ids.split([7, 1, 1, 10, 5], dim=1):
        logits, state = model(piece, state)
        parts.append(logits)
    assert [tuple(part.shape) for part in state] == [(2, 3, WIDTH)] * len(state)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-4)


@every_kind
def test_the_first_segment_goes_on_from_the_state_and_the_last_is_kept(kind: Any) -> None:
    model, ids = build(kind(d_model=WIDTH)), tokens(3, 14)
    segments = torch.tensor([[0] * 14, [0] * 9 + [1] * 5, [0] * 7 + [1] * 7])
    whole, _ = model(ids, segments=segments)
    state = model.init_state(3)
    first, state = model(ids[:, :8], state, segments=segments[:, :8])
    second, _ = model(ids[:, 8:], state, segments=segments[:, 8:])
    torch.testing.assert_close(torch.cat((first, second), 1), whole, atol=1e-5, rtol=1e-4)


@every_kind
def test_changing_a_document_leaves_the_next_the_same_to_the_bit(kind: Any) -> None:
    model, ids = build(kind(d_model=WIDTH)), tokens(2, 12)
    segments = torch.tensor([[0] * 5 + [1] * 7, [0] * 3 + [1] * 9])
    before, _ = model(ids, segments=segments)
    changed = ids.clone()
    changed[0, :5] = (changed[0, :5] + 1) % VOCAB
    after, _ = model(changed, segments=segments)
    assert torch.equal(before[0, 5:], after[0, 5:])
    assert torch.equal(before[1], after[1])
    assert not torch.allclose(before[0, :5], after[0, :5])


@every_kind
def test_padding_on_the_left_changes_nothing(kind: Any) -> None:
    model, line = build(kind(d_model=WIDTH)), tokens(1, 6)
    alone, _ = model(line)
    segments = torch.tensor([[-1] * 4 + [0] * 6])
    seen = []
    for pad in (0, 5):
        padded = torch.cat((torch.full((1, 4), pad), line), dim=1)
        logits, _ = model(padded, segments=segments)
        torch.testing.assert_close(logits[:, 4:], alone, atol=1e-5, rtol=1e-4)
        seen.append(logits[:, 4:])
    assert torch.equal(*seen)


@given(st.lists(st.lists(st.integers(0, 2), min_size=7, max_size=7), min_size=1, max_size=4))
def test_the_order_of_segments_is_that_of_sequences_sorted_by_length(rows: list[list[int]]) -> None:
    sequences: list[list[int]] = []
    for number, row in enumerate(rows):
        for place, segment in enumerate(row):
            if place == 0 or segment != row[place - 1]:
                sequences.append([])
            sequences[-1].append(number * 7 + place)
    packed = torch.nn.utils.rnn.pack_sequence(
        [torch.tensor(s) for s in sorted(sequences, key=len, reverse=True)]
    )
    order = SegmentOrder.of(torch.tensor(rows))
    assert torch.equal(order.tokens, packed.data)
    assert torch.equal(order.steps, packed.batch_sizes)
    sorted_ones = sorted(sequences, key=len, reverse=True)
    assert [sorted_ones[i][0] for i in order.first] == [7 * n for n in range(len(rows))]
    assert [sorted_ones[i][-1] for i in order.last] == [7 * n + 6 for n in range(len(rows))]


@every_kind
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_sampling_with_the_state_equals_without(kind: Any, temperature: float) -> None:
    model = build(kind(d_model=WIDTH))
    config = SamplingConfig(max_tokens=40, temperature=temperature, samples=3, seed=5)
    with_state = list(generate_tokens(model, [3, 1, 4], config))
    assert with_state == list(generate_tokens(model, [3, 1, 4], config, use_state=False))
    assert temperature == 0 or len({tuple(ids) for ids in with_state}) > 20


@every_kind
def test_initial_weights_are_as_the_literature_says(kind: Any) -> None:
    model = build_model(
        kind(layers=2, d_model=WIDTH, tied_head=False),
        vocab_size=500, context_length=16, seed=3,
    )  # fmt: skip
    assert isinstance(model, Recurrent)
    for layer in model.layers:
        weights: dict[str, Any] = dict(layer.named_parameters())
        for gate in weights["weight_hh_l0"].split(WIDTH):
            torch.testing.assert_close(gate @ gate.T, torch.eye(WIDTH), atol=1e-5, rtol=0)
        assert weights["weight_ih_l0"].abs().max() <= (6 / (2 * WIDTH)) ** 0.5
        biases = (weights["bias_ih_l0"] + weights["bias_hh_l0"]).split(WIDTH)
        for gate, bias in enumerate(biases):
            forgets = model.config.kind == "lstm" and gate == 1
            assert torch.equal(bias, torch.full((WIDTH,), float(forgets)))
    assert abs(model.token_embedding.weight.std().item() * WIDTH**0.5 - 1) < 0.05
    ids = torch.randint(0, 500, (4, 32), generator=torch.Generator().manual_seed(2))
    loss = torch.nn.functional.cross_entropy(model(ids)[0].flatten(0, 1), ids.roll(1).flatten())
    assert abs(loss.item() - torch.tensor(500.0).log().item()) < 0.6


@every_kind
def test_equal_seeds_give_equal_weights_whatever_the_global_stream(kind: Any) -> None:
    torch.manual_seed(5)
    first = build_model(kind(), vocab_size=VOCAB, context_length=16, seed=1)
    torch.manual_seed(77)
    second = build_model(kind(), vocab_size=VOCAB, context_length=16, seed=1)
    other = build_model(kind(), vocab_size=VOCAB, context_length=16, seed=2)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_parameter_counts_and_a_tied_head() -> None:
    for config, gates in ((RNNConfig(), 1), (GRUConfig(), 3), (LSTMConfig(), 4)):
        layer = gates * (2 * 128 * 128 + 2 * 128)
        model = build_model(config, vocab_size=100, context_length=16, seed=1)
        assert model.parameter_count() == 100 * 128 + 2 * layer
        untied = config.model_copy(update={"tied_head": False})
        model = build_model(untied, vocab_size=100, context_length=16, seed=1)
        assert model.parameter_count() == 2 * 100 * 128 + 2 * layer


@every_kind
def test_dropout_acts_in_training_alone(kind: Any) -> None:
    model, ids = build(kind(d_model=WIDTH, layers=1, dropout=0.5)), tokens(2, 8)
    assert torch.equal(model(ids)[0], model(ids)[0])
    model.train()
    assert not torch.equal(model(ids)[0], model(ids)[0])
