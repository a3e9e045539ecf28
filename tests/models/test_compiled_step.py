"""A compiled step is the model's own, and is compiled as often as it says: twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from hornbook import compiled_call
from hornbook.generation import SamplingConfig, generate_tokens
from hornbook.listener import Listener
from hornbook.models import (
    BigramConfig,
    Transformer,
    TransformerConfig,
    build_model,
    quantise,
    with_compiled_step,
)
from hornbook.models.compiled_step import CompiledStep, _Recorded
from hornbook.models.decode_step import any_step

CONTEXT = 40
FORMS: list[dict[str, Any]] = [
    {"positions": "learned", "norm": "layernorm", "feedforward": "gelu", "bias": True},
    {"kv_heads": 2, "qk_norm": True, "window": 9},
]


class Notes(Listener):
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)


def build(form: dict[str, Any]) -> Transformer:
    config = TransformerConfig.model_validate({"layers": 1, "heads": 4, "d_model": 16} | form)
    model = build_model(config, vocab_size=23, context_length=CONTEXT, seed=1).eval()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.2)
    assert isinstance(model, Transformer)
    return model


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every graph that is compiled; they run as they are. A single row has no kernels."""
    found: list[Any] = []

    def take(graph: Any, inputs: Any) -> Callable[..., Any]:
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(compiled_call, "BACKEND", take)
    monkeypatch.setattr("hornbook.models.compiled_step.kernels_are_quicker", lambda model: False)
    monkeypatch.setattr("hornbook.models.fixed_step.FEWEST_SEEN", 16)
    torch._dynamo.reset()  # pyright: ignore[reportPrivateImportUsage]
    yield found
    torch._dynamo.reset()  # pyright: ignore[reportPrivateImportUsage]


def texts(model: Transformer, rows: int, tokens: int = 36) -> list[list[int]]:
    config = SamplingConfig(max_tokens=tokens, temperature=0.9, samples=rows, seed=3)
    return list(generate_tokens(model, [1, 2, 3], config))


def test_neither_the_text_nor_company_compiles_again(graphs: list[Any]) -> None:
    model, notes = build(FORMS[0]), Notes()
    expected = [texts(model, 1), texts(model, 3, 20), texts(model, 5, 20)]
    with_compiled_step(model, notes)
    assert texts(model, 1) == expected[0]  # through every length of memory that is read
    assert len(graphs) == 1
    assert texts(model, 3, 20) == expected[1]
    assert texts(model, 5, 20) == expected[2]
    assert len(graphs) == 2
    assert notes.notices == []


def test_rows_join_and_leave(graphs: list[Any]) -> None:
    model = build(FORMS[1])
    own, step = any_step(model), CompiledStep(model)
    with torch.inference_mode():
        states = [model.init_state(1) for _ in range(2)]

        def all_take(count: int) -> None:
            for token in range(count):
                rows = len(states[0].cache.lengths)
                tokens = torch.arange(token, token + rows)[:, None] % 23
                found, states[0] = step(tokens, states[0])
                expected, states[1] = own(tokens, states[1])
                torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)

        all_take(11)
        for length in (20, 2):
            for number in range(2):
                _, row = model.hidden(torch.arange(length)[None] % 23, model.init_state(1))
                states[number] = model.join_states(states[number], row)
            all_take(3)
        for row in (1, 0):
            states = [model.drop_row(state, row) for state in states]
            all_take(2)
    assert len(graphs) == 2


def test_a_row_that_slides(graphs: list[Any]) -> None:
    model = build({"layers": 2, "window": 9, "window_layers": "alternate"})
    config = SamplingConfig(max_tokens=9, temperature=0, overflow="slide")
    prompt = [n % 23 for n in range(CONTEXT - 5)]
    expected = list(generate_tokens(model, prompt, config))
    with_compiled_step(model)
    assert list(generate_tokens(model, prompt, config)) == expected
    assert len(graphs) == 1


def test_where_compiling_fails_steps_go_on_without(
    graphs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(graph: Any, inputs: Any) -> Any:
        raise OSError("no compiler: g++ was not found")

    monkeypatch.setattr(compiled_call, "BACKEND", fail)
    model, notes = build(FORMS[0]), Notes()
    expected = texts(model, 2, 10)
    with_compiled_step(model, notes, rows=[1_000])
    assert len(notes.notices) == 1
    assert "no compiler: g++ was not found" in notes.notices[0]
    assert "writing goes on without" in notes.notices[0]
    assert texts(model, 2, 10) == expected
    assert len(notes.notices) == 1


def test_what_cannot_be_compiled_says_why_and_is_as_before() -> None:
    form = build({"attention": "mla"})
    bigram = build_model(BigramConfig(), vocab_size=5, context_length=8, seed=1)
    for model, word in ((bigram, "transformer"), (form, "form"), (quantise(form, "int8"), "form")):
        notes = Notes()
        assert with_compiled_step(model, notes).own_step is None
        assert len(notes.notices) == 1
        assert word in notes.notices[0]
    notes = Notes()
    assert with_compiled_step(quantise(build({}), "int8"), notes).own_step is None
    assert "fewer bits" in notes.notices[0]


def test_a_copy_in_fewer_bits_does_not_take_the_steps_of_another() -> None:
    model = with_compiled_step(build({}))
    assert model.own_step is not None
    assert quantise(model, "bfloat16").own_step is None


class PlayedBack:
    """In place of a CUDA graph: computes again, from the tensors that it was recorded with."""

    def __init__(self, again: Callable[[], torch.Tensor], logits: torch.Tensor) -> None:
        self._again, self._logits = again, logits

    def replay(self) -> None:
        self._logits.copy_(self._again())


def test_records_are_kept_by_memory_rows_and_length(graphs: list[Any]) -> None:
    model = build(FORMS[0])
    expected = [texts(model, 1), texts(model, 3, 20)]
    with_compiled_step(model)
    step, made = model.own_step, []
    assert isinstance(step, CompiledStep)

    def record(inputs: Any, read: int, memory: Any) -> _Recorded:
        inputs = tuple(tensor.clone() for tensor in inputs)
        made.append((len(inputs[0]), read))
        logits = step._compute(inputs, read, memory).clone()
        graph = PlayedBack(lambda: step._compute(inputs, read, memory), logits)
        return _Recorded(graph, inputs, memory, logits)

    step._records, step._record = True, record  # pyright: ignore[reportAttributeAccessIssue]
    assert texts(model, 1) == expected[0]
    assert made == [(1, 16), (1, 32), (1, CONTEXT)]
    assert texts(model, 3, 20) == expected[1]
    assert made[3:] == [(4, 16), (4, 32)]
    assert len(step._graphs) == 0  # the caches are gone, and their records with them


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it can be recorded")
def test_where_recording_fails_steps_go_on_without(graphs: list[Any]) -> None:
    model, notes = build(FORMS[0]), Notes()
    expected = texts(model, 2, 10)
    with_compiled_step(model, notes)
    model.own_step._records = True
    assert texts(model, 2, 10) == expected
    assert len(notes.notices) == 1
    assert "could not be recorded" in notes.notices[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("rows", [1, 3])
def test_on_cuda_replayed_steps_are_the_eager_ones(rows: int) -> None:
    model, notes = build(FORMS[1]).to("cuda"), Notes()
    config = SamplingConfig(max_tokens=150, temperature=0, samples=rows)
    expected = list(generate_tokens(model, [1, 2, 3], config))
    with_compiled_step(model, notes)
    assert list(generate_tokens(model, [1, 2, 3], config)) == expected
    assert notes.notices == []
