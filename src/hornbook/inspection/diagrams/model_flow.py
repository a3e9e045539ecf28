"""A built model as a flow: embedding, layers, head, with what hooks saw on the arrows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from hornbook.inspection.diagrams.block_flow import block_items, norm_box, parameters_of
from hornbook.inspection.diagrams.flow import Box, Flow, Item, Repeat, Residual, Side, folded
from hornbook.inspection.diagrams.shapes import in_symbols, output_shapes
from hornbook.models import Bigram, LanguageModel, Recurrent, Transformer, build_model
from hornbook.models.undrawn import undrawn
from hornbook.runs.config import RunConfig

WIDTH = "d_model"


def flow_of_run(config: RunConfig, vocab_size: int) -> Flow:
    """Build the model of a run on a device without memory, and make a flow of it."""
    settings: Any = config.model
    if settings.kind == "transformer":
        settings = settings.model_copy(update={"position_count": config.position_count})
    with torch.device("meta"), undrawn():
        model = build_model(
            settings, vocab_size=vocab_size, context_length=config.context_length, seed=0
        )
    return model_flow(model)


def model_flow(model: LanguageModel) -> Flow:
    """The flow of a model on the ``meta`` device."""
    shapes = output_shapes(model)
    if isinstance(model, Transformer):
        items = tuple(_of_transformer(model, shapes))
        kind = "transformer"
    elif isinstance(model, Recurrent):
        items = tuple(_of_recurrent(model, shapes))
        kind = model.config.kind
    else:
        items = (_table(model, shapes),)
        kind = "bigram" if isinstance(model, Bigram) else "bigram_counts"
    return Flow(
        "token ids [B, T]",
        items,
        f"{kind}, {model.parameter_count():,} parameters; on the right of each box its own",
    )


def _of_transformer(model: Transformer, shapes: dict[str, tuple[int, ...]]) -> Iterator[Item]:
    embedded = in_symbols(shapes["token_embedding"], WIDTH)
    yield from _embeddings(model, embedded)
    described = [_description(model, number) for number in range(len(model.blocks))]
    for first, length, times in folded(described):
        inside = tuple(
            item
            for number in range(first, first + length)
            for item in block_items(model, number, shapes)
        )
        last = first + length * times - 1
        yield Repeat(times, _layers(first, last, length), inside)
    if not isinstance(model.final_norm, nn.Identity):
        yield norm_box("last norm", model.final_norm, in_symbols(shapes["final_norm"], WIDTH))
    yield _head(model, model.config.tied_head, shapes)


def _layers(first: int, last: int, length: int) -> str:
    """Which layers a frame stands for, when it shows ``length`` of them.

    >>> _layers(4, 4, 1), _layers(0, 3, 2)
    ('layer 4', 'layers 0 to 3, 2 at a time')
    """
    several = f", {length} at a time" if length > 1 else ""
    return f"layer {first}" if last == first else f"layers {first} to {last}{several}"


def _embeddings(model: Transformer, shape: str) -> Iterator[Box]:
    c = model.config
    count, width = model.token_embedding.weight.shape
    scaled = (f"times the root of {WIDTH}",) if c.embedding_scale else ()
    rows = (f"V = {count:,} rows of {WIDTH} = {width:,}", *scaled)
    yield Box("token embedding", rows, parameters_of(model.token_embedding), shape, "table")
    for title, module, what in (
        ("+ position", model.position_embedding, "positions, learned"),
        ("+ pairs of tokens", model.bigram_embedding, "rows, by the token before"),
        *(
            (f"+ runs of {length}", table, "rows, by a hash of the run")
            for length, table in model.run_embeddings.items()
        ),
    ):
        if isinstance(module, nn.Embedding):
            lines = (f"{module.weight.shape[0]:,} {what}",)
            yield Box(title, lines, parameters_of(module), shape, "table")
    if model.waves is not None:
        yield Box("+ position", (f"{len(model.waves):,} sinusoidal waves",), 0, shape)
    if model.embedding_norm is not None:
        yield norm_box("norm", model.embedding_norm, shape)
    if model.embedding_shift is not None:
        what = ("+ share × the token before",)
        yield Box("token shift", what, parameters_of(model.embedding_shift), shape)
    if c.dropout:
        yield Box("dropout", (f"{c.dropout:g} in training",), 0, shape)


def _description(model: Transformer, number: int) -> str:
    """All in which layers may differ, so that equal ones can be folded."""
    own = str(number) in model.value_embeddings
    return f"{model.blocks[number]} window {model.sight.windows[number]} values {own}"


def _head(model: Transformer | Recurrent, tied: bool, shapes: dict[str, tuple[int, ...]]) -> Box:
    head = model.output_head
    lines = [f"{WIDTH} = {head.weight.shape[1]:,} → V = {head.weight.shape[0]:,}"]
    if tied:
        lines.append("its weight is the token embedding's")
    if cap := getattr(head, "softcap", 0.0):
        lines.append(f"soft-cap: within ±{cap:g}")
    if missing := getattr(head, "missing", 0):
        lines.append(f"{missing:,} rows of zeros more in training")
    shape = in_symbols(shapes["output_head"], "V")
    return Box(
        "head", tuple(lines), 0 if tied else parameters_of(head), f"logits {shape}", "product"
    )


def _of_recurrent(model: Recurrent, shapes: dict[str, tuple[int, ...]]) -> Iterator[Item]:
    c = model.config
    count, width = model.token_embedding.weight.shape
    shape = in_symbols(shapes["token_embedding"], WIDTH)
    rows = f"V = {count:,} rows of {WIDTH} = {width:,}", f"times the root of {WIDTH}"
    yield Box("token embedding", rows, parameters_of(model.token_embedding), shape, "table")
    if c.dropout:
        yield Box("dropout", (f"{c.dropout:g} in training",), 0, shape)
    state = model.init_state(1)
    described = [f"{layer} {c.residual and n > 0}" for n, layer in enumerate(model.layers)]
    for first, length, times in folded(described):
        cell = _cell(c.kind, model.layers[first], state, c.dropout, shapes[f"layers.{first}"])
        adds = c.residual and first > 0
        inside: Sequence[Box | Residual] = (Residual((cell,), shape),) if adds else (cell,)
        last = first + length * times - 1
        yield Repeat(times, _layers(first, last, length), tuple(inside))
    yield _head(model, c.tied_head, shapes)


def _cell(kind: str, layer: nn.Module, state: Any, dropout: float, shape: tuple[int, ...]) -> Box:
    gates = {"rnn": "tanh", "gru": "gates: reset, renew", "lstm": "gates: in, forget, out"}[kind]
    names = ("h", "c")[: len(state)]
    lines = tuple(
        f"{name} [B, {WIDTH} = {part.shape[-1]:,}]" for name, part in zip(names, state, strict=True)
    )
    dropped = (f"dropout {dropout:g} after it",) if dropout else ()
    side = Side("state", (*lines, "on to the next token"), loops=True)
    return Box(
        f"{kind.upper()} cell",
        (gates, "one step a token", *dropped),
        parameters_of(layer),
        in_symbols(shape, WIDTH),
        "product",
        side,
    )


def _table(model: LanguageModel, shapes: dict[str, tuple[int, ...]]) -> Box:
    how = "learned by gradients" if isinstance(model, Bigram) else "counted"
    lines = (f"V = {model.vocab_size:,} rows of V = {model.vocab_size:,}", how)
    shape = in_symbols(shapes[""], "V")
    return Box("table of pairs", lines, model.parameter_count(), f"logits {shape}", "table")
