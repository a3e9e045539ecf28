"""The decoding rules: pure functions from logits to the tokens that remain possible.

They apply in this order: temperature, then top-k, then top-p, then one draw. Temperature 0
is greedy: the likeliest token, and no draw.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, field_validator

from hornbook.settings import Settings

Overflow = Literal["restart", "slide", "stop"]

IMPOSSIBLE = float("-inf")


class SamplingConfig(Settings):
    """How text is drawn from a model."""

    max_tokens: int = Field(default=200, ge=0)
    """The most tokens to add to the prompt [tokens]."""

    temperature: float = Field(default=0.8, ge=0, le=100)
    """Divides the logits: below 1 is safer, above 1 is wilder, 0 always takes the likeliest."""

    top_k: int = Field(default=0, ge=0)
    """Keep only this many of the likeliest tokens; 0 keeps all [tokens]."""

    top_p: float = Field(default=1.0, gt=0, le=1)
    """Keep the likeliest tokens that together have this probability; 1 keeps all."""

    stop: tuple[str, ...] = ()
    """End a sample where one of these texts would appear; the text itself is left out."""

    add_start: bool = False
    """Whether the start token is put before a prompt, as models like Llama 3 expect; an empty
    prompt begins with it in any case."""

    stop_at_end: bool = True
    """Whether the end token ends a sample."""

    seed: int = Field(default=0, ge=0)
    """Seed of the draws; sample i of any batch depends only on this seed and i."""

    samples: int = Field(default=1, ge=1, le=4096)
    """How many texts to draw for the prompt."""

    alternatives: int = Field(default=0, ge=0, le=1000)
    """How many of the likeliest tokens to tell beside each one that was chosen."""

    overflow: Overflow = "restart"
    """What happens when a text is longer than the context. restart: the model reads the newest half
    afresh. slide: what it remembers of the newest half is kept and the rest forgotten, which needs
    positions=rotary, alibi or none. stop: the text ends there."""

    @field_validator("stop")
    @classmethod
    def _no_empty_stop(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if "" in texts:
            raise ValueError("a stop text must not be empty")
        return texts


def with_temperature(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Divide the logits: [..., vocab_size] to the same shape (Ackley et al., 1985).

    >>> with_temperature(torch.tensor([2.0, 1.0]), 0.5)
    tensor([4., 2.])
    """
    return logits / temperature


def keep_top_k(logits: torch.Tensor, k: int) -> torch.Tensor:
    """Make all but the k largest logits impossible (Fan et al., 2018). Ties stay in.

    >>> keep_top_k(torch.tensor([3.0, 1.0, 2.0]), 2)
    tensor([3., -inf, 2.])
    """
    if k == 0 or k >= logits.shape[-1]:
        return logits
    smallest = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < smallest, IMPOSSIBLE)


def keep_top_p(logits: torch.Tensor, p: float) -> torch.Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches p.

    Nucleus sampling (Holtzman et al., 2020). The likeliest token always stays.

    >>> keep_top_p(torch.tensor([0.5, 0.3, 0.2]).log(), 0.6).exp()
    tensor([0.5000, 0.3000, 0.0000])
    """
    if p >= 1.0:
        return logits
    ordered, places = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    removed = torch.zeros_like(before, dtype=torch.bool).scatter(-1, places, before >= p)
    return logits.masked_fill(removed, IMPOSSIBLE)


def next_token_probabilities(logits: torch.Tensor, config: SamplingConfig) -> torch.Tensor:
    """Apply every rule of ``config`` in order: [..., vocab_size] logits to probabilities.

    Not for temperature 0, where nothing is drawn.
    """
    logits = with_temperature(logits.float(), config.temperature)
    logits = keep_top_p(keep_top_k(logits, config.top_k), config.top_p)
    return logits.softmax(dim=-1)


def draw(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Turn one uniform number a row into one token a row.

    The token is the first whose cumulated probability exceeds the number: a search in a sorted
    list, many times faster than ``torch.multinomial`` for a large vocabulary, and the same
    on every device for the same number.

    Args:
        probabilities: [batch, vocab_size], each row summing to 1.
        uniforms: [batch] numbers in [0, 1).

    Returns:
        [batch] ``int64`` ids, never one of probability zero.

    >>> draw(torch.tensor([[0.25, 0.0, 0.75]]).repeat(3, 1), torch.tensor([0.0, 0.25, 0.99]))
    tensor([0, 2, 2])
    """
    # Apple's MPS has no float64; elsewhere it keeps the sums of large vocabularies exact.
    number = torch.float32 if probabilities.device.type == "mps" else torch.float64
    cumulated = probabilities.to(number).cumsum(dim=-1)
    # Scaling by the last sum makes up for rounding, so the search always lands inside.
    wanted = uniforms.to(number).unsqueeze(-1) * cumulated[..., -1:]
    found = torch.searchsorted(cumulated, wanted, right=True).squeeze(-1)
    last_possible = probabilities.shape[-1] - 1 - (probabilities.flip(-1) > 0).int().argmax(dim=-1)
    return torch.minimum(found, last_possible)
