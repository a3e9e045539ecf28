"""Head and loss together, a chunk of tokens at a time: logits never stand in memory whole.

For 12 x 1,024 tokens and a vocabulary of 50,257 the logits are 2.5 GB in float32; the usual way
holds them, their logarithmic probabilities and their gradient at once. Here each chunk's logits
are made, scored, turned into their own gradient and forgotten:

    features  ──┬─ chunk ── head ── logits ── loss            summed
    [n, width]  │                     └── d loss / d logits ──┬── d features of the chunk
                ├─ chunk …                                    └── d weights of the head, summed
                └─ chunk …

The gradient is computed in the forward pass, because a sum's gradient does not depend on what
comes after it but for one factor, which the backward pass multiplies in. So nothing is computed
twice, as it would be with checkpoints (Wijmans et al., 2024, "Cut Your Losses in Large-Vocabulary
Language Models"; Hsu et al., 2024, "Liger Kernel", do the same).

The head is any function of features: what weights it uses is read off the graph of one token,
so tied heads, soft-caps and padded vocabularies need no words here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from hornbook.optimization.objective import LossSum, ObjectiveConfig

Score = Callable[[torch.Tensor, torch.Tensor, ObjectiveConfig], tuple[LossSum, torch.Tensor]]
"""The sums, and the gradient by the logits, from logits and targets."""

Head = Callable[[torch.Tensor], torch.Tensor]
"""Logits [n, vocab_size] from features [n, width]."""


def chunked_loss_sum(
    head: Head,
    features: torch.Tensor,
    targets: torch.Tensor,
    objective: ObjectiveConfig,
    *,
    rows: int,
    compiled: bool = False,
) -> LossSum:
    """The sums over all targets, ``rows`` of them at a time; gradients flow as ever.

    Args:
        head: from features to logits.
        features: [n, width].
        targets: [n] ``int64``; every one counts.
        objective: what is minimised.
        rows: tokens whose logits stand in memory at once.
        compiled: whether what is done to logits is compiled into one kernel.
    """
    score = _compiled_scores() if compiled else _scored
    weights = head_weights(head, features) if torch.is_grad_enabled() else []
    found, nats = _ChunkedLoss.apply(
        head, score, objective, rows, weights, targets, features, *weights
    )  # pyright: ignore[reportGeneralTypeIssues]
    return LossSum(found, nats)


def head_weights(head: Head, features: torch.Tensor) -> list[torch.Tensor]:
    """The trainable tensors that ``head`` uses, in no order that means anything."""
    with torch.enable_grad():
        logits = head(features[:1].detach())
    waiting, seen, weights = [logits.grad_fn], set(), []
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf: torch.Tensor | None = getattr(node, "variable", None)
        if leaf is not None:
            weights.append(leaf)
        waiting.extend(before for before, _ in node.next_functions)
    return weights


@cache
def _compiled_scores() -> Score:
    # The last chunk is shorter than the others, and as long as the padding leaves it.
    return torch.compile(_scored, dynamic=True)


class _ChunkedLoss(torch.autograd.Function):
    """See the module; ``apply`` returns objective and nats."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        head: Head,
        score: Score,
        objective: ObjectiveConfig,
        rows: int,
        weights: list[torch.Tensor],
        targets: torch.Tensor,
        features: torch.Tensor,
        *_: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        total = torch.zeros((), dtype=torch.float32, device=features.device)
        nats = torch.zeros_like(total)
        of_features = torch.empty_like(features) if ctx.needs_input_grad[6] else None
        of_weights: list[torch.Tensor] = []
        for first in range(0, len(features), rows):
            part = slice(first, first + rows)
            with torch.enable_grad():
                chunk = features[part].detach().requires_grad_(of_features is not None)
                logits = head(chunk)
            sums, gradient = score(logits.detach(), targets[part], objective)
            total += sums.objective
            nats += sums.nats
            inputs = weights if of_features is None else [chunk, *weights]
            if not inputs:
                continue
            found = list(torch.autograd.grad(logits, inputs, gradient))
            del logits, gradient  # or the next chunk's would stand beside them
            if of_features is not None:
                of_features[part] = found.pop(0)
            if of_weights:
                torch._foreach_add_(of_weights, found)
            else:
                of_weights = found
        ctx.gradients = of_features, of_weights
        ctx.mark_non_differentiable(nats)
        return total, nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        of_features, of_weights = ctx.gradients
        # They are as large as the head, so they are scaled in place, and used once.
        ctx.gradients = None
        scaled = [] if of_features is None else [of_features.mul_(factor)]
        return (None,) * 6 + (
            scaled[0] if scaled else None,
            *(gradient.mul_(factor) for gradient in of_weights),
        )


def _scored(
    logits: torch.Tensor, targets: torch.Tensor, objective: ObjectiveConfig
) -> tuple[LossSum, torch.Tensor]:
    """The sums over all targets, and the gradient of the objective by the logits.

    Args:
        logits: [n, vocab_size].
        targets: [n] ``int64``; every one counts.
        objective: what is minimised.

    Returns:
        the sums, and [n, vocab_size] in the type of ``logits``.
    """
    smoothing, z_loss = objective.label_smoothing, objective.z_loss
    columns = targets[:, None]
    log_p = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    nats = -log_p.gather(1, columns).sum()
    total = nats
    if smoothing:
        total = (1 - smoothing) * nats - smoothing / logits.shape[1] * log_p.sum()
    log_z = None
    if z_loss:
        log_z = logits[:, :1].float() - log_p[:, :1]
        total = total + z_loss * log_z.square().sum()
    gradient = log_p.exp_()
    if log_z is not None:
        gradient.mul_(1 + 2 * z_loss * log_z)
    if smoothing:
        gradient.sub_(smoothing / logits.shape[1])
    gradient.scatter_add_(1, columns, torch.full_like(columns, smoothing - 1, dtype=torch.float32))
    return LossSum(total, nats), gradient.to(logits.dtype)
