"""The loss: how surprised the model is by each true next token, in nats.

Sums and counts are kept apart. A batch cut into micro-batches, or dealt out to ranks, then
has exactly the gradient of the whole: each part's sum is divided by the *whole* batch's
count of real targets, however unevenly they fall.

What is minimised may be more than surprise. With p the model's probabilities and log Z the
logarithm of the sum that makes them probabilities,

    surprise         -log p(target)
    label smoothing  a share e of the target's weight goes to all V tokens alike:
                     -(1 - e) log p(target) - e/V · sum of log p   (Szegedy et al., 2016,
                     "Rethinking the Inception Architecture for Computer Vision")
    z-loss           + z (log Z)², which keeps logits from drifting (de Brébisson and Vincent,
                     2016; Chowdhery et al., 2022, "PaLM", section 5)

Metrics always show the surprise, so that runs compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field

from hornbook.settings import Settings
from hornbook.targets import IGNORED_TARGET


class ObjectiveConfig(Settings):
    """What training minimises."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """The share of a target's weight that is spread over the whole vocabulary."""

    z_loss: float = Field(default=0.0, ge=0)
    """The weight of the squared logarithm of the normaliser; 1e-4 is usual."""

    @property
    def plain(self) -> bool:
        """Whether it is the surprise alone."""
        return self.label_smoothing == 0 and self.z_loss == 0


SURPRISE = ObjectiveConfig()
"""The surprise alone."""


@dataclass(frozen=True, slots=True)
class LossSum:
    """The loss over some real targets; divide by their count for the mean.

    Attributes:
        objective: scalar ``float32``, what gradients are taken of.
        nats: scalar ``float32`` without gradient, the surprise; what metrics show.
    """

    objective: torch.Tensor
    nats: torch.Tensor


def loss_sum(logits: torch.Tensor, targets: torch.Tensor, objective: ObjectiveConfig) -> LossSum:
    """The sums over real targets, from logits that are there whole.

    Args:
        logits: [..., vocab_size], any floating type.
        targets: [...] ``int64``; ``IGNORED_TARGET`` does not count.
        objective: what is minimised.

    >>> logits = torch.zeros(1, 2, 4)
    >>> targets = torch.tensor([[3, IGNORED_TARGET]])
    >>> found = loss_sum(logits, targets, ObjectiveConfig(z_loss=0.5))
    >>> round(found.nats.item(), 4)                              # log 4
    1.3863
    >>> round((found.objective - found.nats).item(), 4)          # half of (log 4)²
    0.9609
    """
    nats = cross_entropy_sum(logits, targets)
    if objective.plain:
        return LossSum(nats, nats.detach())
    scores, wanted = logits.flatten(0, -2).float(), targets.flatten()
    total = nats
    if objective.label_smoothing:
        total = F.cross_entropy(
            scores,
            wanted,
            ignore_index=IGNORED_TARGET,
            reduction="sum",
            label_smoothing=objective.label_smoothing,
        )
    if objective.z_loss:
        squares = scores.logsumexp(-1).square()
        real = wanted != IGNORED_TARGET
        total = total + objective.z_loss * torch.where(real, squares, 0.0).sum()
    return LossSum(total, nats.detach())


def cross_entropy_sum(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The sum of -log p(target) over real targets, in nats.

    Args:
        logits: [batch, time, vocab_size], any floating type.
        targets: [batch, time] ``int64``; ``IGNORED_TARGET`` does not count.

    Returns:
        a scalar ``float32``; zero when nothing counts.

    >>> logits = torch.zeros(1, 2, 4)                         # four tokens, equally likely
    >>> targets = torch.tensor([[3, IGNORED_TARGET]])
    >>> round(cross_entropy_sum(logits, targets).item(), 4)   # one real target: log 4
    1.3863
    """
    return F.cross_entropy(
        logits.flatten(0, -2).float(),
        targets.flatten(),
        ignore_index=IGNORED_TARGET,
        reduction="sum",
    )


def loss_per_token(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """-log p(target) of every target by itself, in nats; zero where nothing counts.

    Args:
        logits: [batch, time, vocab_size].
        targets: [batch, time] ``int64``.

    Returns:
        [batch, time] ``float32``.
    """
    losses = F.cross_entropy(
        logits.flatten(0, -2).float(),
        targets.flatten(),
        ignore_index=IGNORED_TARGET,
        reduction="none",
    )
    return losses.view_as(targets)
