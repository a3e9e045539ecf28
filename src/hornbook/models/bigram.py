"""The smallest model that learns: a table whose row t scores what follows token t.

One embedding of width ``vocab_size`` is the whole network; gradient descent moves its rows
towards the logarithms of the counts that ``bigram_counts`` computes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn

from hornbook.models.base import LanguageModel, State
from hornbook.settings import Settings


class BigramConfig(Settings):
    """The neural bigram: one table of logits, trained by gradients."""

    kind: Literal["bigram"] = "bigram"
    """Each token predicts the next from a table trained by gradients."""


class Bigram(LanguageModel):
    """Logits of the next token from the current token alone.

    Parameters: ``vocab_size`` squared. The state is empty: a bigram remembers nothing.
    """

    def __init__(self, config: BigramConfig, *, vocab_size: int) -> None:
        super().__init__(vocab_size, context_length=None)
        self.config = config
        self.table = nn.Embedding(vocab_size, vocab_size)

    def hidden(
        self,
        tokens: torch.Tensor,
        state: State = None,
        *,
        positions: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """The rows of the table: [batch, time] to [batch, time, vocab_size]."""
        return self.table(tokens), state

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """The rows are logits already."""
        return features

    def init_state(self, batch_size: int, device: torch.device | None = None) -> State:
        """Nothing: the last token says it all."""
        return ()

    @property
    def token_axes(self) -> Mapping[str, tuple[int, ...]]:
        """See ``LanguageModel.token_axes``."""
        return {"table.weight": (0, 1)}

    def initialise(self, generator: torch.Generator) -> None:
        """Zeros: every token equally likely, so the first loss is exactly log(vocab_size)."""
        nn.init.zeros_(self.table.weight)
