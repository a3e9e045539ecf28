"""What a step differentiates: a batch in, the sum of its losses out.

    tokens [batch, time] ─► model.hidden ─► features ─► model.head and loss ─► objective, nats
    targets [batch, time] ────────────────────────────────────────────┘           summed [nats]

It is one module, because whatever takes over a whole pass (a compiler, a dealer to ranks) takes
over a module. The model lies inside it under its own name, and checkpoints are written from the
model itself; so no name of a wrapper ever reaches a file.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from hornbook.models import LanguageModel, State
from hornbook.optimization import (
    SURPRISE,
    LossSum,
    ObjectiveConfig,
    few_logits,
    loss_sum,
    model_loss_sum,
)


@dataclass(frozen=True, slots=True)
class Count:
    """A number that a compiler does not look at: it would make a kernel for every one."""

    number: int


class BatchLoss(nn.Module):
    """A model together with what it is trained for.

    Args:
        model: any language model.
        objective: what is minimised.
    """

    def __init__(self, model: LanguageModel, objective: ObjectiveConfig = SURPRISE) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(
        self,
        tokens: torch.Tensor,
        targets: torch.Tensor,
        real_targets: Count,
        state: State = None,
        positions: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, State]:
        """The objective and the surprise [nats], summed over real targets, and the state after.

        Args:
            tokens: [batch, time] ``int64``.
            targets: [batch, time] ``int64``; ``IGNORED_TARGET`` does not count.
            real_targets: how many count, on the host.
            state: the state before each row; ``None`` starts every row afresh.
            positions: [batch, time] ``int64``, or ``None``; see ``LanguageModel.hidden``.
            segments: [batch, time] ``int64``, or ``None``.
        """
        features, end = self.model.hidden(tokens, state, positions=positions, segments=segments)
        found = self._loss(features, targets, real_targets)
        return found.objective, found.nats, end

    def _loss(self, features: torch.Tensor, targets: torch.Tensor, real_targets: Count) -> LossSum:
        compiled = torch.compiler.is_compiling()
        if compiled and few_logits(self.model, targets):
            # Fixed shapes and one kernel: worth more than a product without padded targets.
            return loss_sum(self.model.head(features), targets, self.objective)
        return _loss_of_real(self.model, self.objective, features, targets, real_targets, compiled)  # pyright: ignore[reportCallIssue]


@torch.compiler.disable
def _loss_of_real(
    model: LanguageModel,
    objective: ObjectiveConfig,
    features: torch.Tensor,
    targets: torch.Tensor,
    real_targets: Count,
    compiled: bool,
) -> LossSum:
    """``model_loss_sum``, whose shapes change with what is padded."""
    return model_loss_sum(
        model,
        features,
        targets,
        objective,
        real_targets=real_targets.number,
        compiled=compiled,
    )
