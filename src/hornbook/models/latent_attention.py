"""Multi-head latent attention (DeepSeek-AI, 2024, "DeepSeek-V2", arXiv 2405.04434, section 2.1).

Keys and values of all heads are made from one short vector a token, the latent, so the cache
holds that instead of them. It knows no order; that is in a few more numbers, a rotary key that
all heads share:

    x [d_model] ─┬─ rotary key, turned      [rotary]     ──── the heads' keys, by place
                 └─ latent, normed          [kv_latent]  ─┬── the heads' keys, by content
                    └──────────┬─────────┘                └── the heads' values
                    all that the cache holds

A head's score is place · place + content · content. There are two ways to the same result:

    expanded   keys and values are made for every token, then attention is as usual: for many
               tokens at once, in training and for a prompt
    absorbed   q · (W c) = (Wᵀ q) · c, so the query is brought down to the latents instead, and
               what it takes of them is brought up once: for new tokens behind a cache, which is
               so never expanded

DeepSeek-V2 adds the rotary numbers to a head; here they are a part of it, so that a head has
d_model / heads numbers as everywhere, and queries, keys and values fit the same fused kernels.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from hornbook.models.attention import Attend, causal_attention
from hornbook.models.kv_cache import LatentCache, TokenCache
from hornbook.models.linear import Linear
from hornbook.models.norms import EPSILON, RMSNorm
from hornbook.models.rotary import Rotation, rotate


class LatentAttention(nn.Module):
    """Self-attention over latents: [batch, time, d_model] to the same shape.

    Args:
        d_model: width of a token's vector.
        heads: heads; ``d_model / heads`` is the size of one.
        kv_latent: numbers that the keys and values of a token are made from.
        q_latent: the same for queries; 0 makes them from the token's vector itself.
        rotary: numbers of a head that are turned, an even number less than its size; 0 where
            order is known otherwise.
        bias: whether the matrices that read and write the token's vector add a learned one; those
            that only stand between the latents and the heads never do, as in the paper's model.
        dropout: share of outputs zeroed in training.
        attention_dropout: share of attention weights zeroed in training.
        qk_norm: whether each head's queries and the rotary key get an RMSNorm too, as the latents
            always do.
        norm_gain: whether these norms have learned gains.
        norm_epsilon: what they add to the mean square.
        scale: what scores are multiplied by, beside the usual 1 / sqrt(head size).

    >>> made = LatentAttention(16, heads=4, kv_latent=8, rotary=2)
    >>> made(torch.randn(2, 5, 16)).shape
    torch.Size([2, 5, 16])
    """

    def __init__(
        self,
        d_model: int,
        heads: int,
        *,
        kv_latent: int,
        q_latent: int = 0,
        rotary: int = 0,
        bias: bool = False,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        qk_norm: bool = False,
        norm_gain: bool = True,
        norm_epsilon: float = EPSILON,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.heads, self.kv_latent, self.rotary, self.scale = heads, kv_latent, rotary, scale
        self.head_size = d_model // heads
        self.content = self.head_size - rotary
        self.attention_dropout = attention_dropout

        def norm(width: int) -> RMSNorm:
            return RMSNorm(width, epsilon=norm_epsilon, gain=norm_gain)

        self.query_down = Linear(d_model, q_latent, bias=bias) if q_latent else None
        self.query_latent_norm = norm(q_latent) if q_latent else None
        self.query_up = Linear(q_latent or d_model, d_model, bias=False)
        self.query_norm = norm(self.head_size) if qk_norm else None
        # One joint matrix for rotary key and latent, and one from the latent to keys and values.
        self.latent_down = Linear(d_model, rotary + kv_latent, bias=bias)
        self.key_norm = norm(rotary) if qk_norm and rotary else None
        self.latent_norm = norm(kv_latent)
        self.up_rows = heads * self.content, d_model
        self.latent_up = Linear(kv_latent, sum(self.up_rows), bias=False)
        self.joint_rows = {"latent_up.weight": self.up_rows}
        if rotary:
            self.joint_rows["latent_down.weight"] = rotary, kv_latent
        self.output = Linear(d_model, d_model, bias=bias)
        self.output_dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: torch.Tensor,
        *,
        rotation: Rotation | None = None,
        attend: Attend = causal_attention,
        cache: TokenCache | None = None,
        layer: int = 0,
        values: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend; the arguments and the result are those of ``attention.Attention``,
        but for ``values``, which a latent cannot hold."""
        assert values is None, "the settings refuse value embeddings with latents"
        batch, time, d_model = x.shape
        dropout = self.attention_dropout if self.training else 0.0
        query = self._queries(x, rotation)
        latents = self._latents(x, rotation)
        if cache is None:
            attended = self._expanded(query, latents, attend, dropout)
        else:
            assert isinstance(cache, LatentCache)
            seen = cache.extend(layer, latents)
            # The first tokens look at each other only, and are many: a prompt.
            if cache.length:
                attended = self._absorbed(query, seen, attend, dropout)
            else:
                attended = self._expanded(query, latents, attend, dropout)
        joined = attended.transpose(1, 2).reshape(batch, time, d_model)
        return self.output_dropout(self.output(joined))

    def _queries(self, x: torch.Tensor, rotation: Rotation | None) -> torch.Tensor:
        """[batch, heads, time, head_size]: of each head first the part that is turned."""
        if self.query_down is not None and self.query_latent_norm is not None:
            x = self.query_latent_norm(self.query_down(x))
        query = self.query_up(x).unflatten(-1, (self.heads, self.head_size)).transpose(1, 2)
        if self.query_norm is not None:
            query = self.query_norm(query)
        if self.scale != 1:
            query = query * self.scale
        return query if rotation is None else rotate(query, *rotation)

    def _latents(self, x: torch.Tensor, rotation: Rotation | None) -> torch.Tensor:
        """[batch, 1, time, rotary + kv_latent]: what the cache holds."""
        key, latent = self.latent_down(x).unsqueeze(1).split([self.rotary, self.kv_latent], dim=-1)
        latent = self.latent_norm(latent)
        if not self.rotary:
            return latent
        if self.key_norm is not None:
            key = self.key_norm(key)
        if rotation is not None:
            key = rotate(key, *rotation)
        return torch.cat((key, latent), dim=-1)

    def _expanded(
        self, query: torch.Tensor, latents: torch.Tensor, attend: Attend, dropout: float
    ) -> torch.Tensor:
        """[batch, heads, time, head_size] taken from keys and values made for each token."""
        key, latent = latents.split([self.rotary, self.kv_latent], dim=-1)
        content, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.latent_up(latent.squeeze(1)).split(self.up_rows, dim=-1)
        )
        if self.rotary:
            content = torch.cat((key.expand(-1, self.heads, -1, -1), content), dim=-1)
        return attend(query, content, value, dropout)

    def _absorbed(
        self, query: torch.Tensor, latents: torch.Tensor, attend: Attend, dropout: float
    ) -> torch.Tensor:
        """The same from the latents themselves, as if they were keys and values of one head."""
        key_up, value_up = (
            part.unflatten(0, (self.heads, -1))
            for part in self.latent_up.weight.split(self.up_rows)
        )
        place, content = query.split([self.rotary, self.content], dim=-1)
        # ``attend`` divides by the root of the width that it sees.
        right = math.sqrt(latents.shape[-1] / self.head_size)
        down = torch.cat((place, _each_head(content, key_up)), dim=-1) * right
        # The rotary key goes along as a value, and is dropped: fused kernels want equal widths.
        taken = attend(down, latents, latents, dropout)[..., self.rotary :]
        return _each_head(taken, value_up.mT)


def _each_head(x: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """[batch, heads, time, inner] times [heads, inner, outer], without a copy for each row."""
    batch, heads, time, inner = x.shape
    product = torch.bmm(x.transpose(0, 1).reshape(heads, batch * time, inner), matrices)
    return product.view(heads, batch, time, -1).transpose(0, 1)
