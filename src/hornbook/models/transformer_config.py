"""The settings of the transformer: each choice is a field, and those that cannot be are told.

A field's default is what runs did before there was the field, so old runs keep their meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from hornbook.errors import Problem
from hornbook.models.feedforward import FeedForwardKind, default_d_ff
from hornbook.models.masks import layer_pattern, layer_windows, listed_layers
from hornbook.models.ngrams import DEFAULT_BUCKETS, LONGEST_RUN, SHORTEST_RUN
from hornbook.models.norms import NormKind, NormPosition
from hornbook.models.positions import PositionKind
from hornbook.models.rotary import RotaryScaling, RotaryScalingKind, rotated_size
from hornbook.settings import Settings


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

    attention: Literal["multihead", "mla"] = "multihead"
    """Whether heads have keys and values of their own, shared as kv_heads says (multihead), or make
    them from one short vector a token, the latent, which is all that the cache holds (mla)."""

    kv_latent: int = Field(default=0, ge=0, le=1 << 16)
    """For attention=mla: size of the latent; 0 means that of four heads, but at most half of
    d_model [numbers]."""

    q_latent: int = Field(default=0, ge=0, le=1 << 16)
    """For attention=mla: size of a latent that queries are made from; 0 means they are made from
    the token's vector [numbers]."""

    window: int = Field(default=0, ge=0, le=1 << 24)
    """How many of the last tokens a token sees, itself counted in, in the layers of window_layers;
    0 means all, and so does the context length or more [tokens]."""

    window_layers: Annotated[str, BeforeValidator(layer_pattern)] = "all"
    """The layers that have the window: all, alternate (the first, the third, and so on), or their
    numbers from 0, as in 0,1,2."""

    qk_norm: bool = False
    """Whether queries and keys get an RMSNorm, each head by itself; with attention=mla the latents
    have one in any case, and the queries and the rotary key then too."""

    attention_scale: float = Field(default=1.0, gt=0)
    """What attention scores are multiplied by, beside 1 / the root of a head's size."""

    attention_softcap: float = Field(default=0.0, ge=0)
    """Keeps attention scores within ± this number by a tanh; 0 sets no bound."""

    d_model: int = Field(default=128, ge=1, le=1 << 16)
    """Width of a token's vector [numbers]."""

    d_ff: int = Field(default=0, ge=0, le=1 << 20)
    """Inner width of the feed-forward part; 0 means 4 × d_model, and for the gated kinds what
    has as many parameters [numbers]."""

    positions: PositionKind = "rotary"
    """How order is known: learned vectors or sinusoidal waves are added to the embedding, queries
    and keys are turned (rotary), attention fades with distance (alibi), or none."""

    position_count: int = Field(default=0, ge=0, le=1 << 24)
    """How many positions the model knows. 0 means the context length, or four times that when
    data.positions is line or random, which number tokens beyond it [positions]."""

    rotary_base: float = Field(default=10_000.0, gt=1)
    """How slowly the slowest rotary pair turns."""

    rotary_fraction: float = Field(default=0.0, ge=0, le=1)
    """The share of each head that is turned; the rest knows nothing of positions. 0 means all, and
    half with attention=mla, where this is the share of the key that all heads have in common."""

    rotary_scaling: RotaryScalingKind = "none"
    """How rotary angles are made smaller for texts longer than those of the training: linear, ntk
    or llama3."""

    rotary_scaling_factor: float = Field(default=1.0, ge=1)
    """How many times longer these texts are."""

    rotary_trained_length: int = Field(default=0, ge=0)
    """For rotary_scaling=llama3: how long the texts of the training were [tokens]."""

    rotary_low_frequency: float = Field(default=1.0, gt=0)
    """For rotary_scaling=llama3: pairs that turn less often than this within the trained length
    slow down by the whole factor [turns]."""

    rotary_high_frequency: float = Field(default=4.0, gt=0)
    """For rotary_scaling=llama3: pairs that turn more often than this within the trained length do
    not slow down [turns]."""

    norm: NormKind = "rmsnorm"
    """What keeps vectors in their size: layernorm, rmsnorm or none."""

    norm_position: NormPosition = "before"
    """Where norms stand: before each part and before the head, after each sum (as in the first
    transformer), or both before a part and on what it gives (the sandwich)."""

    norm_gain: bool = True
    """Whether norms multiply each channel by a learned number; under bias LayerNorm adds one."""

    norm_epsilon: float = Field(default=1e-5, gt=0, lt=1)
    """Added to the square that a norm divides by, against division by zero."""

    feedforward: FeedForwardKind = "swiglu"
    """The feed-forward part: gelu, gelu_tanh (GPT-2's formula for it), silu or relu2 (two
    matrices), geglu or swiglu (three, gated)."""

    tied_head: bool = True
    """Whether the head uses the token embedding's weights, transposed."""

    embedding_scale: bool = False
    """Whether token embeddings are multiplied by the root of d_model."""

    embedding_norm: bool = False
    """Whether embeddings go through a norm before the first layer."""

    embedding_deviation: float = Field(default=0.0, ge=0, le=10)
    """How large the numbers of embeddings are at first. 0 means 0.02, or half of 1 / the root of
    d_model where norms stand after each sum; more is for embedding_norm, under which a step of the
    optimizer would else outweigh what it began with."""

    token_shift: bool = False
    """Whether each channel of the embedding and of the inputs of attention and feed-forward adds a
    learned share of its value one token earlier."""

    bigram_features: bool = False
    """Whether each pair of neighbouring tokens has a learned vector that is added to the
    embedding."""

    bigram_buckets: int = Field(default=0, ge=0, le=1 << 26)
    """Rows in the table of pairs; 0 means one for each pair, or five for each entry of a vocabulary
    whose pairs are too many [rows]."""

    ngram_features: int = Field(default=0, ge=0, le=LONGEST_RUN)
    """Runs of three tokens up to so many have learned vectors, too, which are added to the
    embedding of their last token; 0 for none. Pairs are bigram_features [tokens]."""

    ngram_buckets: int = Field(default=0, ge=0, le=1 << 26)
    """Rows in the table of each length of run; 0 means 8,192 [rows]."""

    value_embeddings: bool = False
    """Whether every second layer, the last one among them, adds a learned vector for each token to
    the values of its attention."""

    input_skip: bool = False
    """Whether every layer mixes the embedding into its input again, in learned shares."""

    output_softcap: float = Field(default=0.0, ge=0)
    """Keeps logits within ± this number by a tanh; 0 sets no bound."""

    vocab_multiple: int = Field(default=1, ge=1, le=1 << 12)
    """In training the head computes a multiple of so many logits and drops those beyond the
    vocabulary; on some devices that is faster. Weights and results are the same."""

    zero_init: bool = False
    """Whether what writes into the residual begins at zero, so that every layer begins by changing
    nothing."""

    zero_init_head: bool = False
    """Whether the head begins at zero, so that all tokens are equally likely at first; needs
    tied_head=false."""

    bias: bool = False
    """Whether matrices and LayerNorm add a learned vector."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of embeddings and of each part's outputs zeroed in training."""

    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of attention weights zeroed in training; any at all is slow, because the fused
    kernel cannot do it."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem for all sizes that do not divide and all choices that exclude others."""
        yield from self._conflicts_of_heads()
        yield from self._conflicts_of_attention()
        yield from self._conflicts_of_rotary()
        yield from self._conflicts_of_norms()
        yield from self._conflicts_of_embeddings()

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

    @property
    def windows(self) -> list[int]:
        """For each layer, how many of the last tokens it sees; 0 means all."""
        return layer_windows(self.window, self.window_layers, self.layers)

    @property
    def kv_latent_size(self) -> int:
        """Size of the latent, with 0 resolved."""
        return self.kv_latent or max(1, min(4 * self.head_size, self.d_model // 2))

    @property
    def rotary_share(self) -> float:
        """The share of a head that is turned, with 0 resolved."""
        return self.rotary_fraction or (0.5 if self.attention == "mla" else 1.0)

    @property
    def rotated(self) -> int:
        """Numbers of a head that are turned; 0 without rotary positions."""
        return rotated_size(self.head_size, self.rotary_share) if self.positions == "rotary" else 0

    @property
    def scaling(self) -> RotaryScaling:
        """How rotary angles are made smaller."""
        return RotaryScaling(
            self.rotary_scaling,
            self.rotary_scaling_factor,
            self.rotary_trained_length,
            self.rotary_low_frequency,
            self.rotary_high_frequency,
        )

    @property
    def counts_positions(self) -> bool:
        """Whether a token's number changes anything, and not only what lies before it."""
        return self.positions in ("learned", "sinusoidal", "rotary")

    @property
    def order_is_relative(self) -> bool:
        """Whether only the distance of two tokens counts, so that the oldest can be forgotten."""
        return self.positions not in ("learned", "sinusoidal")

    @property
    def looks_back(self) -> bool:
        """Whether a token reads its neighbour on the left without attention."""
        return self.token_shift or self.tokens_before > 0

    @property
    def ngram_lengths(self) -> range:
        """The lengths of run that have a table."""
        return range(SHORTEST_RUN, self.ngram_features + 1)

    @property
    def ngram_rows(self) -> int:
        """Rows for runs in each of their tables, with 0 resolved."""
        return self.ngram_buckets or DEFAULT_BUCKETS

    @property
    def tokens_before(self) -> int:
        """How many ids before each token are looked up in tables together with it."""
        return max(self.ngram_features - 1, 1 if self.bigram_features else 0)

    @property
    def value_layers(self) -> tuple[int, ...]:
        """The layers that have an embedding for values: every second one, back from the last."""
        if not self.value_embeddings:
            return ()
        return tuple(n for n in range(self.layers) if (self.layers - 1 - n) % 2 == 0)

    def _conflicts_of_heads(self) -> Iterator[Problem]:
        if self.d_model % self.heads:
            divisors = [n for n in range(1, self.d_model + 1) if self.d_model % n == 0]
            near = sorted(sorted(divisors, key=lambda n: abs(n - self.heads))[:4])
            yield Problem(
                "heads",
                f"does not divide d_model ({self.d_model}); {_listed(near)} would",
                str(self.heads),
            )
        elif self.positions == "rotary" and self.rotary_share == 1 and self.head_size % 2:
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

    def _conflicts_of_attention(self) -> Iterator[Problem]:
        if self.attention == "mla":
            own = "heads that have keys and values of their own; use attention=multihead"
            yield from self._without_effect(("kv_heads", "value_embeddings"), own)
            for key, most in (("kv_latent", 2 * self.d_model), ("q_latent", self.d_model)):
                if (value := getattr(self, key)) > most:
                    yield Problem(
                        key,
                        f"is more than what is made from it ({most}); use less, or 0",
                        str(value),
                    )
        else:
            latent = "latent attention; use attention=mla"
            yield from self._without_effect(("kv_latent", "q_latent"), latent)
        beyond = [n for n in listed_layers(self.window_layers) if n >= self.layers]
        if beyond:
            yield Problem(
                "window_layers",
                f"counts from 0, and with layers={self.layers} the last one is {self.layers - 1}",
                self.window_layers,
            )
        if self.window == 1:
            yield Problem("window", "lets a token see nothing but itself; use 2 or more", "1")
        elif not self.window:
            windows = "layers with a window; add window=64, say"
            yield from self._without_effect(("window_layers",), windows)

    def _conflicts_of_rotary(self) -> Iterator[Problem]:
        if self.positions != "rotary":
            where = f"rotary positions, and positions={self.positions}; use positions=rotary"
            yield from self._without_effect(_ROTARY_KEYS + _LLAMA3_KEYS, where)
            return
        if self.d_model % self.heads == 0 and not self.rotated:
            yield Problem(
                "rotary_fraction",
                f"turns less than two numbers of heads of {self.head_size}; use at least "
                f"{2 / self.head_size:.3g}, or positions=none",
                str(self.rotary_share),
            )
        elif self.attention == "mla" and self.rotated >= self.head_size:
            yield Problem(
                "rotary_fraction",
                "turns the whole head, and attention=mla needs a part of it for what the latent "
                "says; use 0.5, or attention=multihead",
                str(self.rotary_fraction),
            )
        yield from self._conflicts_of_scaling()

    def _conflicts_of_scaling(self) -> Iterator[Problem]:
        kind, factor = self.rotary_scaling, self.rotary_scaling_factor
        if kind == "none" and factor != 1:
            yield Problem(
                "rotary_scaling_factor",
                "needs to know how angles are scaled; add rotary_scaling=linear, ntk or llama3",
                str(factor),
            )
        elif kind != "none" and factor == 1:
            yield Problem(
                "rotary_scaling",
                "changes nothing with a factor of 1; add rotary_scaling_factor=2 or more",
                kind,
            )
        if kind != "llama3":
            where = f"llama3's scaling, and rotary_scaling={kind}; use rotary_scaling=llama3"
            yield from self._without_effect(_LLAMA3_KEYS, where)
            return
        if not self.rotary_trained_length:
            yield Problem(
                "rotary_trained_length",
                "is needed for rotary_scaling=llama3: the context length of the first training",
                "0",
            )
        if self.rotary_high_frequency <= self.rotary_low_frequency:
            yield Problem(
                "rotary_high_frequency",
                f"is not above rotary_low_frequency ({self.rotary_low_frequency:g})",
                f"{self.rotary_high_frequency:g}",
            )

    def _without_effect(self, keys: tuple[str, ...], where: str) -> Iterator[Problem]:
        """A problem for each of ``keys`` that was changed though nothing reads it."""
        for key in keys:
            if (value := getattr(self, key)) != type(self).model_fields[key].default:
                shown = _shown(value) if isinstance(value, bool) else str(value)
                yield Problem(key, f"is only for {where}, or leave it out", shown)

    def _conflicts_of_norms(self) -> Iterator[Problem]:
        if self.norm != "none":
            if self.zero_init and self.norm_position == "both" and not self.norm_gain:
                yield Problem(
                    "zero_init",
                    "needs gains where norms stand on what layers give: without, the first step "
                    "takes every layer from nothing to its full size; use norm_gain=true or "
                    "norm_position=before",
                    "true",
                )
            return
        for key, value, plain in (
            ("norm_position", self.norm_position, "before"),
            ("norm_gain", _shown(self.norm_gain), "true"),
            ("embedding_norm", _shown(self.embedding_norm), "false"),
        ):
            if value != plain:
                yield Problem(
                    key,
                    f"needs norms, and norm=none; use {key}={plain}, or norm=rmsnorm or layernorm",
                    value,
                )

    def _conflicts_of_embeddings(self) -> Iterator[Problem]:
        if self.zero_init_head and self.tied_head:
            yield Problem(
                "zero_init_head",
                "would set the embedding to zero as well, because they share their weights, and "
                "nothing could be learned; add tied_head=false",
                "true",
            )
        if 0 < self.ngram_features < SHORTEST_RUN:
            yield Problem(
                "ngram_features",
                f"counts from runs of {SHORTEST_RUN}; use {SHORTEST_RUN} to {LONGEST_RUN}, or 0 "
                "with bigram_features=true for pairs alone",
                str(self.ngram_features),
            )
        if self.ngram_buckets and not self.ngram_features:
            yield Problem(
                "ngram_buckets",
                "has no table to be the size of; add ngram_features=3 or more",
                str(self.ngram_buckets),
            )
        if self.bigram_buckets and not self.bigram_features:
            yield Problem(
                "bigram_buckets",
                "has no table to be the size of; add bigram_features=true",
                str(self.bigram_buckets),
            )


_ROTARY_KEYS = ("rotary_base", "rotary_fraction", "rotary_scaling", "rotary_scaling_factor")
_LLAMA3_KEYS = ("rotary_trained_length", "rotary_low_frequency", "rotary_high_frequency")


def _shown(value: bool) -> str:
    return str(value).lower()


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
