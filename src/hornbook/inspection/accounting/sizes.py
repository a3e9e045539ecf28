"""The sizes that every formula is made of, by the letters that papers use.

T   tokens in a window        L   layers           d   d_model
V   entries of the vocabulary H   heads            h   numbers in one head
F   d_ff                      K   heads for keys and values
B   windows in a micro-batch  c   numbers in the latent, r of the rotary key (attention=mla)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hornbook.inspection.accounting.quantity import Quantity, symbol
from hornbook.models import (
    BigramConfig,
    BigramCountsConfig,
    LanguageModel,
    RecurrentConfig,
    TransformerConfig,
)

AnyModelConfig = TransformerConfig | RecurrentConfig | BigramConfig | BigramCountsConfig

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Matrices from the input, and as many from the hidden vector, of one recurrent layer."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Symbols of one model and one batch; those that a model does not have are zero.

    Attributes:
        config: the model's settings, with ``position_count`` resolved.
        T, V, B: of windows, vocabulary and batch.
        L, d, H, K, h, F, P: of the model; P is how many positions a learned table has.
        c, r, q: numbers in the latents of keys and values, of the rotary key, and of queries.
    """

    config: AnyModelConfig
    T: Quantity
    V: Quantity
    B: Quantity
    L: Quantity
    d: Quantity
    H: Quantity
    K: Quantity
    h: Quantity
    F: Quantity
    P: Quantity
    c: Quantity
    r: Quantity
    q: Quantity

    @classmethod
    def of(
        cls, config: AnyModelConfig, *, vocab_size: int, context_length: int, batch: int = 1
    ) -> Sizes:
        """The sizes of the model that ``config`` describes.

        Args:
            config: its settings.
            vocab_size: entries of the vocabulary.
            context_length: tokens in a window.
            batch: windows that go through the model at once.

        >>> sizes = Sizes.of(TransformerConfig(), vocab_size=512, context_length=16)
        >>> sizes.tokens.formula, sizes.tokens.value
        ('B × T', 16)
        """
        c = config
        numbers = dict.fromkeys("LdHKhFPcrq", 0)
        if isinstance(c, TransformerConfig):
            latent = c.attention == "mla"
            numbers = {
                "L": c.layers,
                "d": c.d_model,
                "H": c.heads,
                "K": 0 if latent else c.kv_head_count,
                "h": c.head_size,
                "F": c.inner_width,
                "P": max(c.position_count, context_length),
                "c": c.kv_latent_size if latent else 0,
                "r": c.rotated if latent else 0,
                "q": c.q_latent,
            }
        elif isinstance(c, RecurrentConfig):
            numbers |= {"L": c.layers, "d": c.d_model}
        named = {"T": context_length, "V": vocab_size, "B": batch} | numbers
        return cls(config, **{name: symbol(name, value) for name, value in named.items()})

    @classmethod
    def of_model(cls, model: LanguageModel, *, context_length: int) -> Sizes:
        """The sizes of a model that is built."""
        config = getattr(model, "config", None)
        assert isinstance(config, AnyModelConfig), f"{type(model).__name__} has no known settings"
        return cls.of(config, vocab_size=model.vocab_size, context_length=context_length)

    @property
    def tokens(self) -> Quantity:
        """Tokens in a micro-batch."""
        return self.B * self.T

    @property
    def missing(self) -> int:
        """Rows of zeros that the head multiplies by in training beside the vocabulary's."""
        return -self.V.value % getattr(self.config, "vocab_multiple", 1)

    def legend(self) -> Iterator[tuple[str, int, str]]:
        """Every symbol that this model has: its letter, its number and what it is."""
        for name, meaning in _MEANINGS.items():
            found: Quantity = getattr(self, name)
            if found.value:
                yield name, found.value, meaning


_MEANINGS = {
    "B": "windows at once",
    "T": "tokens in a window",
    "V": "entries of the vocabulary",
    "L": "layers",
    "d": "d_model, numbers in a token's vector",
    "H": "heads",
    "K": "heads for keys and values",
    "h": "numbers in one head",
    "F": "d_ff, inner width of the feed-forward part",
    "c": "numbers in a latent of keys and values",
    "r": "numbers in a rotary key",
    "q": "numbers in a latent of queries",
}
