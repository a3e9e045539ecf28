"""The decoder-only transformer, in GPT-2's form and in today's; each choice is a setting.

    tokens [batch, time]
      │  token embedding (+ learned positions)                     [batch, time, d_model]
      │  ┌─ norm ─ attention ───┐
      ├──┴──────── + ◄──────────┘
      │  ┌─ norm ─ feed-forward ┐   × layers
      ├──┴──────── + ◄──────────┘
      │  norm
      ▼  head                                                      [batch, time, vocab_size]

GPT-2 (Radford et al., 2019) is ``positions=learned norm=layernorm feedforward=gelu
tied_head=true bias=true``; today's small models are ``positions=rotary norm=rmsnorm
feedforward=swiglu bias=false`` (Touvron et al., 2023, "LLaMA").
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from hornbook.errors import Problem
from hornbook.models.attention import Attend, Attention, Rotation
from hornbook.models.attention_paths import (
    AttentionPath,
    attention_path,
    can_compile,
    causal_attention,
    masked_attention,
)
from hornbook.models.base import LanguageModel, State
from hornbook.models.block_attention import block_attention
from hornbook.models.document_layout import DocumentLayout
from hornbook.models.feedforward import FeedForward, FeedForwardKind, default_d_ff
from hornbook.models.kv_cache import KVCache
from hornbook.models.masks import sawtooth
from hornbook.models.norms import NormKind, build_norm
from hornbook.models.positions import rotary_table
from hornbook.settings import Settings

WEIGHT_DEVIATION = 0.02


class TransformerConfig(Settings):
    """The decoder-only transformer."""

    kind: Literal["transformer"] = "transformer"
    """Attention over all earlier tokens: what large language models are. The other kinds are
    rnn, gru, lstm, bigram and bigram_counts."""

    layers: int = Field(default=4, ge=1, le=1000)
    """Blocks, one after the other."""

    heads: int = Field(default=4, ge=1)
    """Query heads of each attention; d_model / heads is the size of one."""

    kv_heads: int = Field(default=0, ge=0)
    """Heads for keys and values, a divisor of heads; 0 means as many as heads."""

    d_model: int = Field(default=128, ge=1, le=1 << 16)
    """Width of a token's vector [numbers]."""

    d_ff: int = Field(default=0, ge=0, le=1 << 20)
    """Inner width of the feed-forward part; 0 means 4 × d_model for gelu, and for swiglu
    what has as many parameters [numbers]."""

    positions: Literal["learned", "rotary"] = "rotary"
    """How order is known: learned vectors are added, or queries and keys are rotated."""

    position_count: int = Field(default=0, ge=0, le=1 << 24)
    """How many positions the model knows. 0 means the context length, or four times that when
    data.positions is line or random, which number tokens beyond it [positions]."""

    rotary_base: float = Field(default=10_000.0, gt=1)
    """How slowly the slowest rotary pair turns; only read when positions is rotary."""

    norm: NormKind = "rmsnorm"
    """The norm before each part and before the head: layernorm or rmsnorm."""

    feedforward: FeedForwardKind = "swiglu"
    """The feed-forward part: gelu (two matrices) or swiglu (three, gated)."""

    tied_head: bool = True
    """Whether the head uses the token embedding's weights, transposed."""

    bias: bool = False
    """Whether matrices and LayerNorm add a learned vector."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of embeddings and of each part's outputs zeroed in training."""

    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of attention weights zeroed in training; any at all is slow, because the fused
    kernel cannot do it."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem for each pair of sizes that do not divide."""
        if self.d_model % self.heads:
            divisors = [n for n in range(1, self.d_model + 1) if self.d_model % n == 0]
            near = sorted(sorted(divisors, key=lambda n: abs(n - self.heads))[:4])
            yield Problem(
                "heads",
                f"does not divide d_model ({self.d_model}); {_listed(near)} would",
                str(self.heads),
            )
        elif self.positions == "rotary" and self.head_size % 2:
            yield Problem(
                "heads",
                f"gives heads of {self.head_size} numbers, and rotary positions need an even "
                "size; change heads or d_model, or use positions=learned",
                str(self.heads),
            )
        if self.kv_heads and self.heads % self.kv_heads:
            fitting = [n for n in range(1, self.heads + 1) if self.heads % n == 0]
            yield Problem(
                "kv_heads",
                f"does not divide heads ({self.heads}); {_listed(fitting)} would",
                str(self.kv_heads),
            )

    @property
    def head_size(self) -> int:
        """Numbers in one head."""
        return self.d_model // self.heads

    @property
    def kv_head_count(self) -> int:
        """Heads for keys and values, with 0 resolved."""
        return self.kv_heads or self.heads

    @property
    def inner_width(self) -> int:
        """Width of the feed-forward part, with 0 resolved."""
        return self.d_ff or default_d_ff(self.feedforward, self.d_model)


class Block(nn.Module):
    """One layer: attention, then feed-forward, each behind a norm and added to its input."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        c = config
        self.attention_norm = build_norm(c.norm, c.d_model, bias=c.bias)
        self.attention = Attention(
            c.d_model,
            c.heads,
            c.kv_head_count,
            bias=c.bias,
            dropout=c.dropout,
            attention_dropout=c.attention_dropout,
        )
        self.feedforward_norm = build_norm(c.norm, c.d_model, bias=c.bias)
        self.feedforward = FeedForward(
            c.feedforward, c.d_model, c.inner_width, bias=c.bias, dropout=c.dropout
        )

    def forward(
        self,
        x: torch.Tensor,
        *,
        rotation: Rotation | None,
        attend: Attend,
        cache: KVCache | None,
        layer: int,
    ) -> torch.Tensor:
        """[batch, time, d_model] to the same shape; the arguments are ``Attention``'s."""
        x = x + self.attention(
            self.attention_norm(x), rotation=rotation, attend=attend, cache=cache, layer=layer
        )
        return x + self.feedforward(self.feedforward_norm(x))


class Transformer(LanguageModel):
    """A decoder-only transformer; its state is a ``KVCache``.

    Args:
        config: sizes and choices.
        vocab_size: how many ids.
        context_length: the most tokens it can look at; there are as many positions, unless
            ``config.position_count`` is more.
    """

    allowed: torch.Tensor
    cosines: torch.Tensor
    sines: torch.Tensor

    def __init__(self, config: TransformerConfig, *, vocab_size: int, context_length: int) -> None:
        super().__init__(vocab_size, context_length)
        self.config = config
        self.capacity = context_length
        position_count = max(config.position_count, context_length)
        self.token_embedding = nn.Embedding(vocab_size, config.d_model)
        self.position_embedding: nn.Embedding | None = None
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(position_count, config.d_model)
        else:
            cosines, sines = rotary_table(position_count, config.head_size, config.rotary_base)
            self.register_buffer("cosines", cosines, persistent=False)
            self.register_buffer("sines", sines, persistent=False)
        self.embedding_dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.final_norm = build_norm(config.norm, config.d_model, bias=config.bias)
        self.output_head = nn.Linear(config.d_model, vocab_size, bias=False)
        if config.tied_head:
            self.output_head.weight = self.token_embedding.weight
        causal = torch.ones(context_length, context_length, dtype=torch.bool).tril()
        self.register_buffer("allowed", causal, persistent=False)

    def hidden(
        self,
        tokens: torch.Tensor,
        state: State = None,
        *,
        positions: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """[batch, time] ids to [batch, time, d_model]; see ``LanguageModel.hidden``."""
        cache: KVCache | None = state
        time = tokens.shape[1]
        seen = cache.length if cache is not None else 0
        assert seen + time <= self.capacity, f"{seen + time} tokens, capacity {self.capacity}"
        assert segments is None or cache is None, "segments are for training, not with a state"
        on_cpu = tokens.device.type == "cpu"
        layout = DocumentLayout.of(segments) if segments is not None and on_cpu else None
        path = self._path(tokens, segments, layout)
        if path == "documents":
            assert layout is not None
            if positions is None:
                positions = torch.arange(time).expand_as(tokens)
            laid_out = layout.lay_out(tokens), layout.lay_out(positions)
            return layout.put_back(self._run(*laid_out, layout.attend)), None
        attend = self._attend(path, seen, time, segments)
        x = self._run(tokens, positions, attend, cache)
        if cache is not None:
            cache.advance(time)
        return x, cache

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """[..., d_model] to [..., vocab_size] logits."""
        return self.output_head(features)

    def init_state(self, batch_size: int, device: torch.device | None = None) -> KVCache:
        """An empty cache with room for the whole context."""
        return KVCache(
            layers=self.config.layers,
            batch_size=batch_size,
            kv_heads=self.config.kv_head_count,
            capacity=self.capacity,
            head_size=self.config.head_size,
            device=device or self.device,
            dtype=self.token_embedding.weight.dtype,
        )

    def initialise(self, generator: torch.Generator) -> None:
        """GPT-2's scheme: normal with deviation 0.02, biases zero, gains one.

        The matrices that write into the residual stream are smaller by the root of how many
        there are, so that the sum over all layers starts with the same size at any depth
        (Radford et al., 2019, section 2.3).
        """
        residual = WEIGHT_DEVIATION / math.sqrt(2 * self.config.layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.ones_(parameter)
            else:
                writes = name.endswith(("attention.output.weight", "feedforward.down.weight"))
                deviation = residual if writes else WEIGHT_DEVIATION
                nn.init.normal_(parameter, std=deviation, generator=generator)

    def _path(
        self, tokens: torch.Tensor, segments: torch.Tensor | None, layout: DocumentLayout | None
    ) -> AttentionPath:
        """Which way a batch takes; see ``attention_paths``."""
        return attention_path(
            device=tokens.device.type,
            segmented=segments is not None,
            time=tokens.shape[1],
            head_size=self.config.head_size,
            filled=1.0 if layout is None else layout.filled,
            attention_dropout=self.config.attention_dropout if self.training else 0.0,
            can_compile=can_compile(),
        )

    def _attend(
        self, path: AttentionPath, seen: int, time: int, segments: torch.Tensor | None
    ) -> Attend:
        """What each token may see; made once, for all layers and heads."""
        if segments is not None:
            if path == "blocks":
                return block_attention(segments)
            return masked_attention(sawtooth(segments)[:, None])
        if seen and time > 1:
            return masked_attention(self.allowed[seen : seen + time, : seen + time])
        return causal_attention

    def _run(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor | None,
        attend: Attend,
        cache: KVCache | None = None,
    ) -> torch.Tensor:
        """Embedding, all blocks and the last norm: [batch, time] to [batch, time, d_model]."""
        time = tokens.shape[1]
        seen = cache.length if cache is not None else 0
        x = self.token_embedding(tokens)
        rotation = None
        if self.position_embedding is not None:
            table = self.position_embedding.weight
            x = x + (table[seen : seen + time] if positions is None else table[positions])
        elif positions is None:
            rotation = self.cosines[seen : seen + time], self.sines[seen : seen + time]
        else:
            rotation = self.cosines[positions].unsqueeze(1), self.sines[positions].unsqueeze(1)
        x = self.embedding_dropout(x)
        for layer, block in enumerate(self.blocks):
            x = block(x, rotation=rotation, attend=attend, cache=cache, layer=layer)
        return self.final_norm(x)


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
