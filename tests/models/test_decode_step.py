"""The quick step of one token is the model's own, whatever the form and the lengths of rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hornbook.models import Transformer, TransformerConfig, build_model, quantise
from hornbook.models.decode_parts import is_plain
from hornbook.models.decode_step import any_step, next_step, plain_step
from hornbook.models.few_rows_step import MOST_ROWS
from hornbook.models.kernel_parts import kernel_parts, kernels_are_quicker

SMALL: dict[str, Any] = {"layers": 3, "heads": 4, "d_model": 32}
LEAN: list[dict[str, Any]] = [
    {},
    {"positions": "learned", "norm": "layernorm", "feedforward": "gelu", "bias": True},
    {"positions": "sinusoidal", "embedding_scale": True, "embedding_norm": True},
    {"positions": "none", "norm": "none", "feedforward": "relu2"},
    {"kv_heads": 2, "qk_norm": True, "attention_scale": 1.5, "norm_gain": False},
    {"kv_heads": 1, "rotary_fraction": 0.5, "output_softcap": 4.0, "tied_head": False},
    {"window": 5, "window_layers": "alternate", "feedforward": "geglu"},
]
FURTHER: list[dict[str, Any]] = [
    {"attention": "mla"},
    {"positions": "alibi"},
    {"norm_position": "after"},
    {"norm_position": "both"},
    {"token_shift": True},
    {"bigram_features": True},
    {"value_embeddings": True},
    {"input_skip": True},
    {"attention_softcap": 3.0},
]


def build(form: dict[str, Any]) -> Transformer:
    config = TransformerConfig.model_validate(SMALL | form)
    model = build_model(config, vocab_size=23, context_length=24, seed=1).eval()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.2)
    assert isinstance(model, Transformer)
    return model


def uneven(model: Transformer) -> Any:
    """A state of three rows that hold 9, 1 and 4 tokens."""
    state = None
    for length in (9, 1, 4):
        _, row = model.hidden(torch.arange(length)[None], model.init_state(1))
        state = row if state is None else model.join_states(state, row)
    return state


@pytest.mark.parametrize("form", LEAN, ids=str)
@pytest.mark.parametrize("even", [True, False])
def test_the_quick_step_is_the_models_own(form: dict[str, Any], even: bool) -> None:
    model = build(form)
    assert is_plain(model.config)
    quick, own = plain_step(model), any_step(model)
    with torch.inference_mode():
        states = [model.init_state(3) if even else uneven(model) for _ in range(2)]
        for place in range(12):
            tokens = torch.tensor([[place], [(3 * place) % 23], [5]])
            found, states[0] = quick(tokens, states[0])
            expected, states[1] = own(tokens, states[1])
            torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("form", [LEAN[1], LEAN[4], LEAN[6]], ids=str)
@pytest.mark.parametrize("rows", [18, 25, MOST_ROWS, MOST_ROWS + 1])
def test_many_rows_of_many_lengths_are_the_models_own(form: dict[str, Any], rows: int) -> None:
    model = build(form)
    quick, own = plain_step(model), any_step(model)
    with torch.inference_mode():
        state = uneven(model)
        order = torch.arange(rows) % 3
        states = [model.select_state(state, order) for _ in range(2)]
        for place in range(6):
            tokens = (torch.arange(rows)[:, None] + place) % 23
            found, states[0] = quick(tokens, states[0])
            expected, states[1] = own(tokens, states[1])
            torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("form", LEAN, ids=str)
def test_a_single_row_by_kernels_is_the_models_own(form: dict[str, Any]) -> None:
    model = build(form)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the kernels want it
    try:
        quick, own = plain_step(model), any_step(model)
        with torch.inference_mode():
            states = [model.init_state(1) for _ in range(2)]
            for place in range(12):
                found, states[0] = quick(torch.tensor([[place]]), states[0])
                expected, states[1] = own(torch.tensor([[place]]), states[1])
                torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    finally:
        torch.set_num_threads(before)
    for weight in model.parameters():
        weight.detach().untyped_storage().resize_(0)  # as fully sharded training gives it back


@pytest.mark.parametrize("form", [{}, LEAN[1], LEAN[6]], ids=str)
def test_a_row_is_alone_has_company_and_is_alone_again(form: dict[str, Any]) -> None:
    model = build(form)
    quick, own = plain_step(model), any_step(model)
    assert kernel_parts(model) is not None
    assert kernels_are_quicker(model)
    with torch.inference_mode():
        states = [model.init_state(1) for _ in range(2)]

        def both_take(*tokens: int) -> None:
            ids = torch.tensor(tokens)[:, None]
            for number, step in enumerate((quick, own)):
                logits, states[number] = step(ids, states[number])
                found[number] = logits
            torch.testing.assert_close(found[0], found[1], atol=2e-5, rtol=1e-4)

        found = [torch.empty(0)] * 2
        for token in range(7):
            both_take(token)
        for number in range(2):
            _, other = model.hidden(torch.tensor([[4, 5, 6]]), model.init_state(1))
            states[number] = model.join_states(states[number], other)
        for token in range(3):
            both_take(token, 2 * token)
        states = [model.drop_row(state, 0) for state in states]
        for token in range(5):
            both_take(token)
        states = [model.select_state(state, torch.tensor([0])) for state in states]
        for token in range(5):
            both_take(token)
        if model.can_forget:
            for state in states:
                model.forget(state, 0, 3)
        both_take(1)


@pytest.mark.parametrize("form", FURTHER, ids=str)
def test_forms_with_further_parts_take_their_own_way(form: dict[str, Any]) -> None:
    model = build(form)
    assert not is_plain(model.config)
    with torch.inference_mode():
        logits, state = next_step(model)(torch.tensor([[3]]), model.init_state(1))
        expected, _ = model(torch.tensor([[3]]))
    torch.testing.assert_close(logits, expected[:, -1])
    assert state.length == 1


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_the_quick_step_takes_weights_of_fewer_bits(kind: Any) -> None:
    model = quantise(build({"bias": True}), kind)
    assert is_plain(model.config)
    quick, own = plain_step(model), any_step(model)
    with torch.inference_mode():
        tokens = torch.tensor([[3], [7]])
        found, _ = quick(tokens, model.init_state(2))
        expected, _ = own(tokens, model.init_state(2))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
