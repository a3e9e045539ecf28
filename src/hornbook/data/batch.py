"""What a model is given at once: inputs, what is to be predicted from them, and what they mean.

tokens      pad  <s>    f    g          positions     0  0  1  2
targets     -100   f    g  </s>         segments     -1  0  0  0
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs and what is to be predicted from them.

    Attributes:
        tokens: [batch, time] ``int64`` token ids.
        targets: [batch, time] ``int64``, the token after each input, or ``IGNORED_TARGET``.
        positions: [batch, time] ``int64``, or ``None`` for 0, 1, 2, … in every row.
        segments: [batch, time] ``int64`` document numbers within a row, with padding as
            ``PADDING_SEGMENT``; ``None`` where every token may see all before it.
        real_targets: how many targets count.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    real_targets: int
    positions: torch.Tensor | None = None
    segments: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same batch on ``device``; copies to an accelerator do not block."""
        if device.type == "cpu":
            return self

        def move(tensor: torch.Tensor) -> torch.Tensor:
            source = tensor.pin_memory() if device.type == "cuda" else tensor
            return source.to(device, non_blocking=True)

        return Batch(
            move(self.tokens),
            move(self.targets),
            self.real_targets,
            None if self.positions is None else move(self.positions),
            None if self.segments is None else move(self.segments),
        )
