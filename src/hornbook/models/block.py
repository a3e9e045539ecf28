"""One layer: attention, then feed-forward, each added to what goes past it.

    x ──┬────────────────────────────── + ──┬──────────────────────────────── + ──► x
        └─ norm ─ shift ─ attention ────┘   └─ norm ─ shift ─ feed-forward ───┘

where the norm may stand elsewhere (``norms``) and the shift be left out (``previous_token``).
"""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import nn

from hornbook.models.attention import Attend, Attention, causal_attention
from hornbook.models.feedforward import FeedForward
from hornbook.models.input_skip import InputSkip
from hornbook.models.kv_cache import TokenCache
from hornbook.models.latent_attention import LatentAttention
from hornbook.models.norms import build_norm
from hornbook.models.previous_token import TokenBefore, TokenShift
from hornbook.models.rotary import Rotation
from hornbook.models.transformer_config import TransformerConfig


class Block(nn.Module):
    """One layer: [batch, time, d_model] to the same shape.

    Args:
        config: sizes and choices.
        layer: which layer it is, from 0.

    >>> block = Block(TransformerConfig(d_model=16, heads=2, positions="none"))
    >>> block(torch.randn(2, 5, 16)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(self, config: TransformerConfig, layer: int = 0) -> None:
        super().__init__()
        c = config
        self.layer = layer

        def norm(wanted: bool) -> nn.Module | None:
            return build_block_norm(c) if wanted else None

        before, after, both = (c.norm_position == name for name in ("before", "after", "both"))
        self.input_skip = InputSkip() if c.input_skip else None
        self.attention_norm = norm(before or both)
        self.attention_shift = TokenShift(c.d_model) if c.token_shift else None
        self.attention = _attention(c)
        self.attention_output_norm = norm(both)
        self.attention_sum_norm = norm(after)
        self.feedforward_norm = norm(before or both)
        self.feedforward_shift = TokenShift(c.d_model) if c.token_shift else None
        self.feedforward = FeedForward(
            c.feedforward, c.d_model, c.inner_width, bias=c.bias, dropout=c.dropout
        )
        self.feedforward_output_norm = norm(both)
        self.feedforward_sum_norm = norm(after)

    def forward(
        self,
        x: torch.Tensor,
        *,
        rotation: Rotation | None = None,
        attend: Attend = causal_attention,
        cache: TokenCache | None = None,
        before: TokenBefore | None = None,
        embedded: torch.Tensor | None = None,
        values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[batch, time, d_model] to the same shape.

        Args:
            x: the residual.
            rotation: turns queries and keys to their positions; ``None`` without rotary.
            attend: lets each query look at the keys that it may see.
            cache: earlier tokens' keys and values.
            before: finds the token before; ``None`` takes the one on the left in its row.
            embedded: [batch, time, d_model] the residual before the first layer; only read under
                ``input_skip``, where ``None`` means that this is the first layer.
            values: [batch, time, kv_heads × head_size] to add to attention's values.
        """
        if self.input_skip is not None:
            x = self.input_skip(x, x if embedded is None else embedded)
        y = _through(self.attention_norm, x)
        if self.attention_shift is not None:
            y = self.attention_shift(y, before or TokenBefore(), 2 * self.layer + 1)
        y = self.attention(
            y, rotation=rotation, attend=attend, cache=cache, layer=self.layer, values=values
        )
        x = _through(self.attention_sum_norm, x + _through(self.attention_output_norm, y))
        y = _through(self.feedforward_norm, x)
        if self.feedforward_shift is not None:
            y = self.feedforward_shift(y, before or TokenBefore(), 2 * self.layer + 2)
        y = self.feedforward(y)
        return _through(self.feedforward_sum_norm, x + _through(self.feedforward_output_norm, y))


def shift_places(layers: int) -> int:
    """How many streams of vectors the token shift reads: the embedding and two a layer."""
    return 2 * layers + 1


def _through(norm: nn.Module | None, x: torch.Tensor) -> torch.Tensor:
    """``x`` after a norm, where there is one."""
    return x if norm is None else norm(x)


def build_block_norm(config: TransformerConfig) -> nn.Module:
    """The norm that stands everywhere in a transformer: before, after or between its parts."""
    return build_norm(
        config.norm,
        config.d_model,
        bias=config.bias,
        gain=config.norm_gain,
        epsilon=config.norm_epsilon,
    )


def _attention(config: TransformerConfig) -> Attention | LatentAttention:
    c = config
    choices: _Choices = {
        "bias": c.bias,
        "dropout": c.dropout,
        "attention_dropout": c.attention_dropout,
        "qk_norm": c.qk_norm,
        "norm_gain": c.norm_gain,
        "norm_epsilon": c.norm_epsilon,
        "scale": c.attention_scale,
    }
    if c.attention == "multihead":
        return Attention(c.d_model, c.heads, c.kv_head_count, **choices)
    return LatentAttention(
        c.d_model,
        c.heads,
        kv_latent=c.kv_latent_size,
        q_latent=c.q_latent,
        rotary=c.rotated,
        **choices,
    )


class _Choices(TypedDict):
    """What both kinds of attention know."""

    bias: bool
    dropout: float
    attention_dropout: float
    qk_norm: bool
    norm_gain: bool
    norm_epsilon: float
    scale: float
