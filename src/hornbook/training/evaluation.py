"""How good the model is on text it has never trained on: loss, and bits per byte.

Loss is the mean of -log p over predicted tokens, in nats. It depends on how large tokens are,
so it compares only runs with the same tokenizer. Bits per byte divides the same surprise by
the bytes of text that the tokens stand for, and compares any two. Special tokens stand for no
text and are left out of it, on both sides of the fraction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from hornbook.data import Batch
from hornbook.models import LanguageModel
from hornbook.optimization import model_token_losses
from hornbook.targets import IGNORED_TARGET
from hornbook.training.ranks import ALONE, Ranks

WINDOWS_AT_ONCE, TOKENS_AT_ONCE = 64, 1 << 14
"""The most windows and tokens in one evaluation batch."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A measurement on the validation side.

    Attributes:
        loss: mean surprise [nats per token].
        bits_per_byte: surprise over the bytes of text; ``None`` where no byte was predicted.
        tokens: how many tokens were predicted.
        bytes: how many bytes of text they stand for.
    """

    loss: float
    bits_per_byte: float | None
    tokens: int
    bytes: int


class ValidationWindows(Protocol):
    """What a model can be measured on: ``EvaluationBatches``, ``LinesAlone`` or ``RunningText``.

    Attributes:
        context_length: tokens in each window's inputs.
    """

    context_length: int

    def batches(self, size: int) -> Iterator[Batch]:
        """The windows in order, ``size`` at a time (the last batch may be smaller)."""
        ...


@torch.inference_mode()
def evaluate(
    model: LanguageModel,
    batches: ValidationWindows,
    byte_lengths: torch.Tensor,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Measure ``model`` on ``batches``; it is left in the mode it was in.

    Args:
        model: any language model.
        batches: the validation windows.
        byte_lengths: [vocab_size] ``int64``, bytes of text that each id stands for, 0 for
            special tokens; on the CPU.
        ranks: who measures it together: each takes a batch in turn, and all get the sums.
    """
    was_training = model.training
    model.eval()
    rows = max(1, min(WINDOWS_AT_ONCE, TOKENS_AT_ONCE // batches.context_length))
    nats, text_nats, tokens, text_bytes = 0.0, 0.0, 0, 0
    for number, batch in enumerate(batches.batches(rows)):
        if number % ranks.count != ranks.rank:
            continue
        moved = batch.to(model.device)
        features, _ = model.hidden(moved.tokens, positions=moved.positions, segments=moved.segments)
        targets = batch.targets
        # Sums are made on the CPU: in float64, which not every accelerator has.
        losses = model_token_losses(model, features, moved.targets, real_targets=batch.real_targets)
        losses = losses.cpu().double()
        real = targets != IGNORED_TARGET
        lengths = torch.where(real, byte_lengths[targets.clamp(min=0)], 0)
        nats += losses.sum().item()
        text_nats += losses[lengths > 0].sum().item()
        tokens += batch.real_targets
        text_bytes += int(lengths.sum().item())
    model.train(was_training)
    nats, text_nats, tokens, text_bytes = ranks.total(nats, text_nats, tokens, text_bytes)
    bits = text_nats / math.log(2) / text_bytes if text_bytes else None
    return Evaluation(nats / tokens, bits, int(tokens), int(text_bytes))
