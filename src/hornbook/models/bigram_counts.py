"""The bigram in closed form: count what follows what, smooth, divide. No gradient.

    p(next | token) = (count(token, next) + smoothing) / (count(token) + smoothing * vocab_size)

Additive (Lidstone) smoothing gives unseen pairs a little probability; see Jurafsky and
Martin, "Speech and Language Processing", chapter 3. These are the maximum-likelihood
weights that the neural ``bigram`` approaches.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field

from hornbook.models.base import LanguageModel, State
from hornbook.settings import Settings


class BigramCountsConfig(Settings):
    """The counted bigram: fitted in one pass over the training text."""

    kind: Literal["bigram_counts"] = "bigram_counts"
    """Each token predicts the next from counted pairs, in closed form."""

    smoothing: float = Field(default=0.1, gt=0, le=1000)
    """Added to the count of every pair, so that none is impossible [occurrences]."""


class BigramCounts(LanguageModel):
    """Log-probabilities of the next token from counted pairs.

    The only tensor is the buffer ``log_probabilities`` [vocab_size, vocab_size]; row t
    belongs to token t. Before ``fit`` every token is equally likely.
    """

    closed_form = True
    log_probabilities: torch.Tensor

    def __init__(self, config: BigramCountsConfig, *, vocab_size: int) -> None:
        super().__init__(vocab_size, context_length=None)
        self.config = config
        self.register_buffer("log_probabilities", torch.zeros(vocab_size, vocab_size))

    def fit(self, counts: torch.Tensor) -> None:
        """Compute the weights from ``counts`` [vocab_size, vocab_size] (any number type)."""
        self.log_probabilities.copy_(log_probabilities(counts, self.config.smoothing))

    def hidden(
        self,
        tokens: torch.Tensor,
        state: State = None,
        *,
        positions: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """The rows of the table: [batch, time] to [batch, time, vocab_size]."""
        return self.log_probabilities[tokens], state

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Log-probabilities are logits that happen to be normalised."""
        return features

    def init_state(self, batch_size: int, device: torch.device | None = None) -> State:
        """Nothing: the last token says it all."""
        return ()

    def initialise(self, generator: torch.Generator) -> None:
        """Every token equally likely."""
        self.fit(torch.zeros_like(self.log_probabilities))

    def parameter_count(self) -> int:
        """The size of the table: its numbers are fitted, if not by gradients."""
        return self.log_probabilities.numel()


def log_probabilities(counts: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Smoothed log-probabilities of each row: [vocab, vocab] counts to ``float32``.

    >>> counts = torch.tensor([[3, 0], [0, 0]])
    >>> log_probabilities(counts, smoothing=1.0).exp()
    tensor([[0.8000, 0.2000],
            [0.5000, 0.5000]])
    """
    smoothed = counts.to(torch.float64) + smoothing
    return (smoothed.log() - smoothed.sum(dim=1, keepdim=True).log()).to(torch.float32)
