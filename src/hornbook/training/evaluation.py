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
from hornbook.optimization import loss_per_token
from hornbook.targets import IGNORED_TARGET
from hornbook.training.ranks import ALONE, Ranks

LOGITS_AT_ONCE = 1 << 25
"""Numbers of logits in one evaluation batch: 128 MiB of float32."""


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
    rows = max(1, LOGITS_AT_ONCE // (batches.context_length * model.vocab_size))
    nats, text_nats, tokens, text_bytes = 0.0, 0.0, 0, 0
    for number, batch in enumerate(batches.batches(min(rows, 64))):
        if number % ranks.count != ranks.rank:
            continue
        moved = batch.to(model.device)
        features, _ = model.hidden(moved.tokens, positions=moved.positions, segments=moved.segments)
        targets = batch.targets
        if 2 * batch.real_targets < targets.numel():
            # Windows that count their last target alone need no logits for the others.
            rows_at, columns_at = (targets != IGNORED_TARGET).nonzero(as_tuple=True)
            features = features[rows_at.to(features.device), columns_at.to(features.device)]
            targets = targets[rows_at, columns_at]
        # Sums are made on the CPU: in float64, which not every accelerator has.
        losses = loss_per_token(model.head(features), targets.to(features.device)).cpu().double()
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
