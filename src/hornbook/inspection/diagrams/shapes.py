"""What every module of a model gives back, as hooks see it when tokens run through.

The model lies on PyTorch's ``meta`` device: its tensors have shapes and no memory, so the largest
model is looked at in a second.
"""

from __future__ import annotations

from typing import Any

import torch

from hornbook.models import LanguageModel

ROWS, TOKENS = 2, 16
"""Of the batch that runs through; a shorter context takes fewer tokens."""


def output_shapes(model: LanguageModel) -> dict[str, tuple[int, ...]]:
    """The shape of what each module gave back, by its name, in the order of the calls.

    Args:
        model: on the ``meta`` device.
    """
    found: dict[str, tuple[int, ...]] = {}
    handles = []

    def watch(name: str, module: torch.nn.Module) -> None:
        def seen(_: torch.nn.Module, inputs: Any, result: Any) -> None:
            first = result[0] if isinstance(result, tuple) else result
            if isinstance(first, torch.Tensor):
                found[name] = tuple(first.shape)

        handles.append(module.register_forward_hook(seen))

    for name, module in model.named_modules():
        watch(name, module)
    time = min(TOKENS, model.context_length or TOKENS)
    try:
        with torch.no_grad():
            model(torch.zeros(ROWS, time, dtype=torch.int64, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    return found


def in_symbols(shape: tuple[int, ...], width: str) -> str:
    """A shape for a reader: batch and time by letters, the width by name and number.

    >>> in_symbols((2, 16, 128), "d_model")
    '[B, T, d_model = 128]'
    """
    return f"[B, T, {width} = {shape[-1]:,}]"
