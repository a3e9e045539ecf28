"""Activation checkpointing: forget what is inside a block, and compute it again when needed.

The backward pass needs every number that the forward pass made. With this, each block keeps only
its input; when the backward pass comes to the block, its forward pass is run once more (Chen et
al., 2016, "Training Deep Nets with Sublinear Memory Cost").

    forward     in ─► block 1 ─► block 2 ─► block 3 ─► loss      kept: the three inputs
    backward                      block 3 again, its gradient, block 2 again, …

The second run draws the same dropout, so the gradients are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from hornbook.models import Transformer


def recompute_blocks(model: Transformer) -> None:
    """Let every block of ``model`` compute its inside again in the backward pass, from now on."""
    for block in model.blocks:
        # The block stays the module that it was, so no weight changes its name.
        block.forward = _recomputed(block, block.forward)  # pyright: ignore[reportAttributeAccessIssue]


def _recomputed(block: nn.Module, inside: Callable[..., Any]) -> Callable[..., Any]:
    def forward(*inputs: Any, **more: Any) -> Any:
        if not (block.training and torch.is_grad_enabled()):
            return inside(*inputs, **more)
        # Random states are put back before the second run, which makes its dropout the first's.
        return checkpoint(inside, *inputs, use_reentrant=False, preserve_rng_state=True, **more)

    return forward
