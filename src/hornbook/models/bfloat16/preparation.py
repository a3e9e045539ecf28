"""Compiling the loops before the first step, which would take half a minute longer otherwise."""

from __future__ import annotations

import torch

from hornbook.kernels import compiling
from hornbook.listener import SILENT, Listener
from hornbook.models.bfloat16.attention import attention_by_heads
from hornbook.models.bfloat16.choice import COLUMNS, ROWS
from hornbook.models.bfloat16.feedforward import feed_forward_of


def prepare_loops(listener: Listener = SILENT) -> None:
    """Take each path once, with as few numbers as it can take.

    Args:
        listener: told what was compiled, if anything was.
    """
    with compiling("training in bfloat16 on one thread", 4, listener), torch.enable_grad():
        joint = torch.zeros(1, 2, 3 * COLUMNS, dtype=torch.bfloat16, requires_grad=True)
        heads = (part.view(1, 2, 1, COLUMNS).transpose(1, 2) for part in joint.chunk(3, dim=-1))
        attention_by_heads(*heads).sum().backward()
        x = torch.zeros(ROWS, COLUMNS, requires_grad=True)
        weights = (torch.zeros(COLUMNS, COLUMNS) for _ in range(2))
        feed_forward_of(x, torch.zeros(COLUMNS), 1e-5, *weights).sum().backward()
