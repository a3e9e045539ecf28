"""The decoder-only transformer, in GPT-2's form and in today's; each choice is a setting.

    tokens [batch, time]
      │  token embedding (+ positions, + pairs of tokens)          [batch, time, d_model]
      │  ┌─ norm ─ attention ───┐
      ├──┴──────── + ◄──────────┘
      │  ┌─ norm ─ feed-forward ┐   × layers
      ├──┴──────── + ◄──────────┘
      │  norm
      ▼  head                                                      [batch, time, vocab_size]

GPT-2 (Radford et al., 2019) is ``positions=learned norm=layernorm feedforward=gelu
tied_head=true bias=true``; today's small models are ``positions=rotary norm=rmsnorm
feedforward=swiglu bias=false`` (Touvron et al., 2023, "LLaMA"). The settings stand in
``transformer_config``, a layer in ``block``, the first weights in ``initialisation``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from hornbook.models.attention import Attend
from hornbook.models.attention_paths import AttentionPath, attention_path, can_compile
from hornbook.models.base import LanguageModel, State
from hornbook.models.block import Block, build_block_norm, shift_places
from hornbook.models.document_layout import DocumentLayout
from hornbook.models.embeddings import BigramEmbedding, Embedding
from hornbook.models.head import Head
from hornbook.models.initialisation import embedding_deviation, initialise_transformer
from hornbook.models.kv_cache import KVCache, LatentCache, TokenCache
from hornbook.models.ngrams import RunEmbedding
from hornbook.models.positions import sinusoidal_table
from hornbook.models.previous_token import LastSeen, TokenBefore, TokenShift, document_starts
from hornbook.models.rotary import Rotary, rotate
from hornbook.models.sight import Sight
from hornbook.models.transformer_config import TransformerConfig
from hornbook.models.transformer_state import TransformerState


class Transformer(LanguageModel):
    """A decoder-only transformer; its state is a ``TransformerState``.

    Args:
        config: sizes and choices.
        vocab_size: how many ids.
        context_length: the most tokens it can look at; there are as many positions, unless
            ``config.position_count`` is more.
    """

    places: torch.Tensor
    waves: torch.Tensor | None

    def __init__(self, config: TransformerConfig, *, vocab_size: int, context_length: int) -> None:
        super().__init__(vocab_size, context_length)
        c, width = config, config.d_model
        self.config = config
        self.capacity = context_length
        self.embedding_factor = width**0.5 if c.embedding_scale else 1.0
        self.token_embedding = Embedding(vocab_size, width)
        self._build_positions(max(c.position_count, context_length))
        self.bigram_embedding = (
            BigramEmbedding(vocab_size, width, buckets=c.bigram_buckets)
            if c.bigram_features
            else None
        )
        self.run_embeddings = nn.ModuleDict(
            {
                str(length): RunEmbedding(length, width, buckets=c.ngram_rows)
                for length in c.ngram_lengths
            }
        )
        self.embedding_norm = build_block_norm(c) if c.embedding_norm else None
        self.embedding_shift = TokenShift(width) if c.token_shift else None
        self.embedding_dropout = nn.Dropout(c.dropout)
        values_width = c.kv_head_count * c.head_size
        self.value_embeddings = nn.ModuleDict(
            {str(layer): Embedding(vocab_size, values_width) for layer in c.value_layers}
        )
        self.blocks = nn.ModuleList(Block(c, layer) for layer in range(c.layers))
        # Where norms stand after each sum, the last sum has had its own.
        self.final_norm = build_block_norm(c) if c.norm_position != "after" else nn.Identity()
        self.output_head = Head(
            width, vocab_size, multiple=c.vocab_multiple, softcap=c.output_softcap
        )
        if c.tied_head:
            self.output_head.weight = self.token_embedding.weight
        self.sight = Sight(
            context_length,
            windows=c.windows,
            alibi_heads=c.heads if c.positions == "alibi" else 0,
            cap=c.attention_softcap,
        )
        self.register_buffer("places", torch.arange(context_length), persistent=False)
        # Looking for a package takes a sixth of the time that a token takes.
        self._can_compile = can_compile()

    def hidden(
        self,
        tokens: torch.Tensor,
        state: State = None,
        *,
        positions: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """[batch, time] ids to [batch, time, d_model]; see ``LanguageModel.hidden``."""
        memory: TransformerState | None = state
        time = tokens.shape[1]
        seen = memory.length if memory is not None else 0
        assert seen + time <= self.capacity, f"{seen + time} tokens, capacity {self.capacity}"
        assert segments is None or memory is None, "segments are for training, not with a state"
        starts = None
        if segments is not None and self.config.looks_back:
            starts = document_starts(segments)
        on_cpu = tokens.device.type == "cpu"
        layout = DocumentLayout.of(segments) if segments is not None and on_cpu else None
        path = self._path(tokens, segments, layout, cached=memory is not None)
        if path == "blocks" and segments is None:
            segments = torch.zeros_like(tokens)
        missing = None
        if memory is not None and not memory.cache.even:
            missing = memory.cache.missing()
            if positions is None:
                positions = (self.places[:time] + seen)[None, :] - missing[:, None]
        attends = self.sight.attends(
            path, time=time, seen=seen, missing=missing, segments=segments, layout=layout
        )
        if path == "documents":
            assert layout is not None
            if positions is None:
                positions = self.places[:time].expand_as(tokens)
            before = TokenBefore(None if starts is None else layout.lay_out(starts))
            laid_out = layout.lay_out(tokens), layout.lay_out(positions)
            return layout.put_back(self._run(*laid_out, attends, before)), None
        before = TokenBefore(starts, None if memory is None else memory.last)
        if memory is None:
            return self._run(tokens, positions, attends, before), None
        x = self._run(tokens, positions, attends, before, memory.cache)
        memory.cache.advance(time)
        return x, memory

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """[..., d_model] to [..., vocab_size] logits."""
        return self.output_head(features)

    def init_state(self, batch_size: int, device: torch.device | None = None) -> TransformerState:
        """An empty cache with room for the whole context, and no last token."""
        c, device = self.config, device or self.device
        dtype = self.token_embedding.weight.dtype
        cache = self._empty_cache(batch_size, device, dtype)
        places = shift_places(c.layers) if c.token_shift else 0
        last = None
        if c.looks_back:
            count = max(c.tokens_before, 1)
            last = LastSeen(batch_size, places, c.d_model, device, dtype, count=count)
        return TransformerState(cache, last)

    def select_state(self, state: State, rows: torch.Tensor) -> TransformerState:
        """See ``LanguageModel.select_state``."""
        memory: TransformerState = state
        return memory.select(rows)

    def join_states(self, state: State, other: State) -> TransformerState:
        """See ``LanguageModel.join_states``."""
        memory: TransformerState = state
        memory.join(other)
        return memory

    def drop_row(self, state: State, row: int) -> TransformerState:
        """See ``LanguageModel.drop_row``."""
        memory: TransformerState = state
        memory.drop(row)
        return memory

    @property
    def can_forget(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """See ``LanguageModel``; learned and sinusoidal positions are a part of each vector."""
        return self.config.order_is_relative

    def forget(self, state: State, row: int, tokens: int) -> None:
        """See ``LanguageModel.forget``; rotary keys are turned back to where they stand now."""
        memory: TransformerState = state
        memory.cache.forget(row, tokens)
        if self.rotary is not None:
            cosines, sines = self.rotary.cosines[tokens], self.rotary.sines[tokens]
            for keys in memory.cache.keys(row):
                keys.copy_(rotate(keys, cosines, -sines))

    @property
    def token_axes(self) -> Mapping[str, tuple[int, ...]]:
        """See ``LanguageModel.token_axes``; rows for pairs are found by a hash."""
        values = {f"value_embeddings.{layer}.weight": (0,) for layer in self.value_embeddings}
        return {**super().token_axes, **values, "bigram_embedding.weight": ()}

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the first weights; see ``initialisation``."""
        initialise_transformer(self, self.config, generator)

    def _build_positions(self, count: int) -> None:
        """What the choice of positions needs: a learned table, waves, or angles."""
        c = self.config
        learned, turned = c.positions == "learned", c.positions == "rotary"
        self.position_embedding = Embedding(count, c.d_model) if learned else None
        self.rotary = (
            Rotary(
                c.head_size,
                count,
                base=c.rotary_base,
                fraction=c.rotary_share,
                scaling=c.scaling,
            )
            if turned
            else None
        )
        waves = None
        if c.positions == "sinusoidal":
            # In the paper embeddings begin as large as the waves, and here they begin smaller.
            waves = (
                sinusoidal_table(count, c.d_model) * embedding_deviation(c) * self.embedding_factor
            )
        self.register_buffer("waves", waves, persistent=False)

    def _path(
        self,
        tokens: torch.Tensor,
        segments: torch.Tensor | None,
        layout: DocumentLayout | None,
        *,
        cached: bool,
    ) -> AttentionPath:
        """Which way a batch takes; see ``attention_paths``."""
        return attention_path(
            device=tokens.device.type,
            segmented=segments is not None,
            time=tokens.shape[1],
            head_size=self.config.head_size,
            filled=1.0 if layout is None else layout.filled,
            attention_dropout=self.config.attention_dropout if self.training else 0.0,
            can_compile=self._can_compile,
            cached=cached,
            window=max(self.sight.windows),
            biased=self.sight.biased,
            capped=self.sight.cap > 0,
        )

    def _empty_cache(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> TokenCache:
        c = self.config
        if c.attention == "mla":
            return LatentCache(
                batch_size=batch_size,
                capacity=self.capacity,
                width=c.rotated + c.kv_latent_size,
                device=device,
                dtype=dtype,
                windows=c.windows,
            )
        return KVCache(
            batch_size=batch_size,
            kv_heads=c.kv_head_count,
            capacity=self.capacity,
            head_size=c.head_size,
            device=device,
            dtype=dtype,
            windows=c.windows,
        )

    def _run(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor | None,
        attends: list[Attend],
        before: TokenBefore,
        cache: TokenCache | None = None,
    ) -> torch.Tensor:
        """Embedding, all blocks and the last norm: [batch, time] to [batch, time, d_model]."""
        seen, time = cache.length if cache is not None else 0, tokens.shape[1]
        rotation = None if self.rotary is None else self.rotary.rotation(time, seen, positions)
        x = embedded = self._embed(tokens, positions, seen, before)
        values = {name: table(tokens) for name, table in self.value_embeddings.items()}
        for layer, (block, attend) in enumerate(zip(self.blocks, attends, strict=True)):
            x = block(
                x,
                rotation=rotation,
                attend=attend,
                cache=cache,
                before=before,
                embedded=embedded,
                values=values.get(str(layer)),
            )
        return self.final_norm(x)

    def _embed(
        self, tokens: torch.Tensor, positions: torch.Tensor | None, seen: int, before: TokenBefore
    ) -> torch.Tensor:
        """[batch, time] ids to what the first layer reads, [batch, time, d_model]."""
        x = self.token_embedding(tokens)
        if self.embedding_factor != 1:
            x = x * self.embedding_factor
        if count := self.config.tokens_before:
            earlier = before.tokens(tokens, count)
            if self.bigram_embedding is not None:
                x = x + self.bigram_embedding(tokens, earlier[0])
            for runs in self.run_embeddings.values():
                x = x + runs(tokens, earlier)
        table = self.waves
        if self.position_embedding is not None:
            table = self.position_embedding.weight
        if table is not None:
            end = seen + tokens.shape[1]
            x = x + (table[seen:end] if positions is None else table[positions])
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        if self.embedding_shift is not None:
            x = self.embedding_shift(x, before, 0)
        return self.embedding_dropout(x)
