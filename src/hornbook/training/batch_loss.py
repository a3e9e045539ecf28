"""What a step differentiates: a batch in, the sum of its losses out.

    tokens [batch, time] ─► model ─► logits ─┐
    targets [batch, time] ───────────────────┴─► the sum of -log p over real targets  [nats]

It is one module, because whatever takes over a whole pass (a compiler, a dealer to ranks) takes
over a module. The model lies inside it under its own name, and checkpoints are written from the
model itself; so no name of a wrapper ever reaches a file.
"""

from __future__ import annotations

import torch
from torch import nn

from hornbook.models import LanguageModel, State
from hornbook.optimization import cross_entropy_sum


class BatchLoss(nn.Module):
    """A model together with what it is trained for.

    Args:
        model: any language model.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        tokens: torch.Tensor,
        targets: torch.Tensor,
        state: State = None,
        positions: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """The sum over real targets ``float32`` [nats], and the state after these tokens.

        Args:
            tokens: [batch, time] ``int64``.
            targets: [batch, time] ``int64``; ``IGNORED_TARGET`` does not count.
            state: the state before each row; ``None`` starts every row afresh.
            positions: [batch, time] ``int64``, or ``None``; see ``LanguageModel.hidden``.
            segments: [batch, time] ``int64``, or ``None``.
        """
        logits, end = self.model(tokens, state, positions=positions, segments=segments)
        return cross_entropy_sum(logits, targets), end
