"""A step of one token in which no shape tells how long the text is, as compilers want it.

The cache is handed over whole, and where in it the new token goes is a number in a tensor. What
lies before a row's first token, and what nothing was written to yet, is masked:

    memory    [ .  .  k0 k1 k2 k3 .  .  .  . ]
    first           ^                            what the layer sees at most
    own                         ^                where the new token's key is written
    seen      [ 0  0  1  1  1  1  0  0 ]         how much of the memory is read: a power of two

So that a short text need not read all of a long memory, ``seen`` comes in a few lengths, as the
shape of a tensor; the compiler is told that it varies. Rows come in powers of two as well: those
beyond the ones that there are compute, and nobody looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from hornbook.models.decode_parts import step_parts
from hornbook.models.transformer import Transformer

FEWEST_SEEN = 64
"""The shortest part of a memory that is read [tokens]."""

FixedStep = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor]], torch.Tensor
]
"""Arguments, all tensors on the model's device:

tokens: [rows] ``int64``, the newest ones.
lengths: [rows] ``int64``, how many tokens each row has seen before.
places: [layers, 2] ``int64``, the first place of a layer's memory that may be seen, and the new
    token's own.
seen: [length] ``int64``, the places 0, 1, 2, … that layers without a window read.
memory: keys and values of each layer, [rows, kv_heads, room, head_size]; the new ones are written.

Returns logits [rows, vocab_size].
"""


@dataclass
class _FixedMemory:
    """Keys and values of fixed shapes; see ``decode_parts.Memory``."""

    vectors: list[torch.Tensor]
    places: torch.Tensor
    seen: Sequence[int]

    def extend(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        own = self.places[layer, 1:]
        kept = self.vectors[2 * layer], self.vectors[2 * layer + 1]
        for vectors, new in zip(kept, (keys, values), strict=True):
            vectors.index_copy_(2, own, new.to(vectors.dtype))
        seen = self.seen[layer]
        return kept[0].narrow(2, 0, seen), kept[1].narrow(2, 0, seen)


def fixed_step(model: Transformer) -> FixedStep:
    """The step of a transformer that ``is_plain``."""
    parts, windows = step_parts(model, by_weights=True), model.config.windows

    def step(
        tokens: torch.Tensor,
        lengths: torch.Tensor,
        places: torch.Tensor,
        seen: torch.Tensor,
        memory: list[torch.Tensor],
    ) -> torch.Tensor:
        # Layers with a window have little memory, and read all of it.
        reads = [
            memory[2 * layer].shape[2] if window else len(seen)
            for layer, window in enumerate(windows)
        ]
        kept = _FixedMemory(memory, places, reads)
        x, turn = parts.embed(tokens, lengths), parts.turn(lengths)
        for layer, block in enumerate(parts.blocks):
            first, own = places[layer]
            every = torch.arange(reads[layer], device=seen.device) if windows[layer] else seen
            start = torch.maximum(first, own - lengths)
            mask = (every >= start[:, None]) & (every <= own)
            x = block(x, turn, kept, partial(attend_once, mask=mask))
        return parts.finish(x)

    return step


def attend_once(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Attention of one query a head, written out for a compiler, which makes loops of it.

    A product of matrices would be a call, and would ask whether keys lie without gaps: a shape.

    Args:
        query: [rows, heads, 1, head_size].
        key: [rows, kv_heads, seen, head_size].
        value: the same shape.
        mask: [rows, seen] bool, true where the row may look; somewhere it is.

    Returns:
        [rows, heads, 1, head_size].

    >>> key, mask = torch.zeros(1, 1, 2, 1), torch.tensor([[True, True]])
    >>> attend_once(torch.ones(1, 1, 1, 1), key, torch.tensor([[[[1.0], [2.0]]]]), mask)
    tensor([[[[1.5000]]]])
    """
    rows, heads, _, size = query.shape
    kv_heads = key.shape[1]
    asked = query.view(rows, kv_heads, heads // kv_heads, 1, size) * (1 / math.sqrt(size))
    scores = (asked * key[:, :, None]).sum(-1).float()
    shares = scores.masked_fill(~mask[:, None, None], float("-inf")).softmax(dim=-1)
    taken = (shares.to(value.dtype)[..., None] * value[:, :, None]).sum(-2)
    return taken.view(rows, heads, 1, size)


def read_length(own: int, room: int) -> int:
    """How much of a memory with ``room`` places is read when the newest token stands at ``own``.

    >>> [read_length(own, 1000) for own in (0, 63, 64, 300, 600)]
    [64, 64, 128, 512, 1000]
    """
    return min(room, max(FEWEST_SEEN, power_of_two(own + 1)))


def power_of_two(count: int) -> int:
    """The smallest power of two that is no smaller.

    >>> [power_of_two(count) for count in (1, 2, 3, 17)]
    [1, 2, 4, 32]
    """
    return 1 << (count - 1).bit_length()
