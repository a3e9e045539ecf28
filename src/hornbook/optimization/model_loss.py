"""The loss of any language model from its features: the one way that training and measuring take.

    features, _ = model.hidden(tokens)                      [batch, time, width]
    found = model_loss_sum(model, features, targets)        every real target
    (found.objective / count).backward()

Targets that do not count are left out before the head: on padded batches the largest product
of a small model shrinks with them. Few logits are made at once, many a chunk at a time.
"""

from __future__ import annotations

from typing import Protocol

import torch

from hornbook.optimization.chunked_loss import chunked_loss_sum
from hornbook.optimization.objective import (
    SURPRISE,
    LossSum,
    ObjectiveConfig,
    loss_per_token,
    loss_sum,
)
from hornbook.targets import IGNORED_TARGET

LOGITS_AT_ONCE = {"cpu": 1 << 23, "cuda": 1 << 27}
"""Numbers of logits that may stand in memory at once, by device."""

FEWEST_ROWS = 512
"""Tokens in a chunk however large the vocabulary: products of fewer rows are slower, and the
gradient of the head's weight is added up once a chunk."""

# Milliseconds, forward and backward, one core, by numbers of logits in a chunk: few that stay in
# the cache are faster than many, until the head's gradient is added up too often.
#   8,192 x 384, 2,048 tokens:   2^19 687   2^21 498   2^23 467   2^24 527   not in chunks 552
#   2,048 x 128, 3,072 tokens:   2^18 100   2^20  83   2^22  80              not in chunks  75

WORTH_LEAVING_OUT = 0.1
"""The share of targets that must not count for a copy of the features without them to pay."""


class HasHead(Protocol):
    """What of a language model is needed here."""

    vocab_size: int

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [..., vocab_size] from features [..., width]."""
        ...


def model_loss_sum(
    model: HasHead,
    features: torch.Tensor,
    targets: torch.Tensor,
    objective: ObjectiveConfig = SURPRISE,
    *,
    real_targets: int | None = None,
    compiled: bool = False,
) -> LossSum:
    """The sum of the loss over real targets, with gradients by features and head.

    Args:
        model: whose head makes logits.
        features: [batch, time, width], what ``model.hidden`` returned.
        targets: [batch, time] ``int64``; ``IGNORED_TARGET`` does not count.
        objective: what is minimised.
        real_targets: how many count (``Batch.real_targets``); where it is not given they are
            counted, and an accelerator is waited for.
        compiled: whether what is done to the logits of a chunk is compiled into one kernel.
    """
    rows = logit_rows(model, features.device)
    if real_targets is None:
        real_targets = int((targets != IGNORED_TARGET).sum())
    if few_logits(model, targets) and real_targets > (1 - WORTH_LEAVING_OUT) * targets.numel():
        return loss_sum(model.head(features), targets, objective)
    features, targets = real_rows(features, targets, real_targets)
    if len(targets) <= rows:
        return loss_sum(model.head(features), targets, objective)
    return chunked_loss_sum(model.head, features, targets, objective, rows=rows, compiled=compiled)


def few_logits(model: HasHead, targets: torch.Tensor) -> bool:
    """Whether the logits for all ``targets`` may stand in memory at once."""
    return targets.numel() <= logit_rows(model, targets.device)


def model_token_losses(
    model: HasHead, features: torch.Tensor, targets: torch.Tensor, *, real_targets: int
) -> torch.Tensor:
    """-log p(target) of every target, in nats, without gradients; zero where nothing counts.

    The arguments are those of ``model_loss_sum``.

    Returns:
        [batch, time] ``float32``.
    """
    real = targets != IGNORED_TARGET
    features, wanted = real_rows(features, targets, real_targets)
    rows = logit_rows(model, features.device)
    found = [
        loss_per_token(model.head(features[first : first + rows]), wanted[first : first + rows])
        for first in range(0, len(wanted), rows)
    ]
    losses = torch.zeros(targets.shape, device=targets.device)
    if found:
        losses[real] = torch.cat(found)
    return losses


def real_rows(
    features: torch.Tensor, targets: torch.Tensor, real_targets: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and targets of the places that count: [n, width] and [n].

    >>> targets = torch.tensor([[4, IGNORED_TARGET, 2]])
    >>> found, wanted = real_rows(torch.tensor([[[0.5], [1.5], [2.5]]]), targets, 2)
    >>> found.tolist(), wanted.tolist()
    ([[0.5], [2.5]], [4, 2])
    """
    features, targets = features.flatten(0, -2), targets.flatten()
    if real_targets == len(targets):
        return features, targets
    real = targets != IGNORED_TARGET
    if targets.device.type == "cpu":
        places = real.nonzero()[:, 0]
    else:
        # nonzero() would wait for the device to learn how many there are.
        places = real.int().argsort(descending=True, stable=True)[:real_targets]
    return features[places], targets[places]


def logit_rows(model: HasHead, device: torch.device) -> int:
    """Tokens whose logits may stand in memory at once."""
    numbers = LOGITS_AT_ONCE.get(device.type, LOGITS_AT_ONCE["cpu"])
    return max(FEWEST_ROWS, numbers // model.vocab_size)
