"""A layer of a transformer as a flow: what its module holds, in the order in which it is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from torch import nn

from hornbook.inspection.diagrams.flow import Box, Residual, Side
from hornbook.inspection.diagrams.shapes import in_symbols
from hornbook.models import Attention, Block, Transformer
from hornbook.models.latent_attention import LatentAttention

Shapes = dict[str, tuple[int, ...]]


def parameters_of(module: nn.Module) -> int:
    """How many numbers it learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def norm_box(title: str, norm: nn.Module, shape: str) -> Box:
    """A norm, which may also be none at all."""
    name = type(norm).__name__
    return Box(title, (name,), parameters_of(norm), shape, "norm")


def block_items(model: Transformer, number: int, shapes: Shapes) -> Iterator[Box | Residual]:
    """One layer: attention and feed-forward, each with its norms and the path past it."""
    block = model.blocks[number]
    assert isinstance(block, Block)
    shape = in_symbols(shapes[f"blocks.{number}"], "d_model")
    if block.input_skip is not None:
        what = ("a × residual + b × embedding",)
        yield Box("input skip", what, parameters_of(block.input_skip), shape)
    attention = _attention_box(model, number, shape)
    feedforward = _feedforward_box(block, f"blocks.{number}", shapes, shape)
    for box, before, shift, after, at_sum in (
        (attention, block.attention_norm, block.attention_shift, block.attention_output_norm,
         block.attention_sum_norm),
        (feedforward, block.feedforward_norm, block.feedforward_shift,
         block.feedforward_output_norm, block.feedforward_sum_norm),
    ):  # fmt: skip
        inside = [norm_box("norm", before, shape)] if _is_norm(before) else []
        if shift is not None:
            what = ("+ share × the token before",)
            inside.append(Box("token shift", what, parameters_of(shift), shape))
        inside.append(box)
        inside += [norm_box("norm", after, shape)] if _is_norm(after) else []
        yield Residual(tuple(inside), shape)
        if _is_norm(at_sum):
            yield norm_box("norm", at_sum, shape)


def _is_norm(module: nn.Module | None) -> TypeGuard[nn.Module]:
    return module is not None and not isinstance(module, nn.Identity)


def _attention_box(model: Transformer, number: int, shape: str) -> Box:
    block = model.blocks[number]
    assert isinstance(block, Block)
    attention = block.attention
    latent = isinstance(attention, LatentAttention)
    made = _made_by_latents(attention) if latent else _made(attention)
    lines = [*made, *_places(model)]
    if window := model.sight.windows[number]:
        lines.append(f"sees the last {window:,} tokens")
    if model.sight.cap:
        lines.append(f"scores within ±{model.sight.cap:g}")
    if str(number) in model.value_embeddings:
        lines.append("+ a learned vector a token to its values")
    parameters = parameters_of(attention)
    if str(number) in model.value_embeddings:
        parameters += parameters_of(model.value_embeddings[str(number)])
    title = "latent attention" if latent else "attention"
    return Box(title, tuple(lines), parameters, shape, "product", _cache(model, number))


def _made(attention: Attention) -> Iterator[str]:
    outputs, inputs = attention.qkv.weight.shape
    yield f"q, k, v: {inputs:,} → {outputs:,}"
    shared = f", {attention.kv_heads} of keys and values"
    own = attention.kv_heads == attention.heads
    yield f"{attention.heads} heads of {attention.head_size}{'' if own else shared}"
    if attention.query_norm is not None:
        yield "norms of queries and keys"
    yield "output: " + " → ".join(f"{n:,}" for n in reversed(attention.output.weight.shape))


def _made_by_latents(attention: LatentAttention) -> Iterator[str]:
    width = attention.query_up.weight.shape[0]
    if attention.query_down is not None:
        down = attention.query_down.weight.shape
        yield f"q: {down[1]:,} → latent {down[0]:,} → {width:,}"
    else:
        yield f"q: {attention.query_up.weight.shape[1]:,} → {width:,}"
    yield f"x → latent {attention.kv_latent}, rotary key {attention.rotary}"
    outputs, inputs = attention.latent_up.weight.shape
    yield f"k, v: latent {inputs:,} → {outputs:,}"
    yield f"{attention.heads} heads of {attention.head_size}"
    if attention.query_norm is not None:
        yield "norms of queries and keys"
    yield "output: " + " → ".join(f"{n:,}" for n in reversed(attention.output.weight.shape))


def _places(model: Transformer) -> Iterator[str]:
    """What attention knows of the order."""
    if model.rotary is not None:
        turned = 2 * model.rotary.cosines.shape[1]
        yield f"rotary: {turned} numbers of a head turned"
    if model.sight.biased:
        yield "ALiBi: fades with distance"


def _cache(model: Transformer, number: int) -> Side:
    """What sampling keeps of the tokens that this layer has seen."""
    attention = model.blocks[number].attention
    window = model.sight.windows[number]
    room = f"of the last {window:,} tokens" if window else "of all tokens seen"
    if isinstance(attention, LatentAttention):
        numbers = attention.rotary + attention.kv_latent
        return Side("cache of latents", (f"[B, T, r + c = {numbers:,}]", room))
    assert isinstance(attention, Attention)
    heads, size = attention.kv_heads, attention.head_size
    return Side("KV cache", (f"2 × [B, K = {heads}, T, h = {size}]", room))


def _feedforward_box(block: Block, name: str, shapes: Shapes, shape: str) -> Box:
    part = block.feedforward
    inner = part.down.weight.shape[1]
    up = shapes[f"{name}.feedforward.up"][-1]
    bend = getattr(part.bend, "__name__", "bend").strip("_")
    first = f"gate and up: {part.up.weight.shape[1]:,} → {up:,}"
    if not part.gated:
        first = f"up: {part.up.weight.shape[1]:,} → {up:,}"
    middle = f"{bend}(gate) × up" if part.gated else bend
    lines = (first, middle, f"down: {inner:,} → {part.down.weight.shape[0]:,}")
    return Box("feed-forward", lines, parameters_of(part), shape, "product")
