"""The loss: how surprised the model is by each true next token, in nats.

Sums and counts are kept apart. A batch cut into micro-batches, or dealt out to ranks, then
has exactly the gradient of the whole: each part's sum is divided by the *whole* batch's
count of real targets, however unevenly they fall.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from hornbook.targets import IGNORED_TARGET


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
