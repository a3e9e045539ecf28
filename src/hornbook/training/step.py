"""One optimizer step: gradients of the whole batch, checked, clipped, applied.

The batch may be cut into micro-batches. Each part's summed loss is divided by the whole
batch's count of real targets, so the gradient is that of the mean over all of them, also
when the parts hold different numbers. Nothing is applied before it was seen to be finite.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hornbook.data import Batch, PackedBatches, TrainingBatches
from hornbook.data.consecutive import ConsecutiveBatches
from hornbook.models import CarriedState, LanguageModel
from hornbook.optimization.sharding import whole
from hornbook.randomness import stream_seed
from hornbook.training.batch_loss import BatchLoss
from hornbook.training.spread import Spread


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step was like.

    Attributes:
        loss: mean over the batch's real targets [nats per token].
        tokens: real targets in the batch.
        gradient_norm: length of the whole gradient before clipping.
        carried: the state behind the batch, cut off from its gradient; ``None`` if none is carried.
    """

    loss: float
    tokens: int
    gradient_norm: float
    carried: CarriedState | None = None


class NotFinite(Exception):  # noqa: N818 - it says what happened
    """A loss or a gradient is infinite or not a number; nothing was applied.

    Attributes:
        what: which one, in words that can stand in a message.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def training_step(
    model: LanguageModel | Spread,
    optimizer: torch.optim.Optimizer,
    parts: list[Batch],
    *,
    learning_rate: float,
    gradient_clip: float,
    dropout_seed: int,
    carried: CarriedState | None = None,
) -> StepResult:
    """Move the weights once, by the gradient of the mean loss over all ``parts``.

    Args:
        model: in training mode, on the device of the parts; or how it is spread over ranks.
        optimizer: its learning rate is set here.
        parts: the micro-batches of one batch; of several ranks, this one's.
        learning_rate: for this step.
        gradient_clip: longest gradient that is applied as it is; 0 never shortens.
        dropout_seed: the step's seed in the ``dropout`` stream.
        carried: the state before each row of the batch; ``None`` starts every row afresh.

    Raises:
        NotFinite: before anything is applied.
    """
    spread = model if isinstance(model, Spread) else Spread(BatchLoss(model), model)
    model, ranks = spread.model, spread.ranks
    tokens = int(ranks.total(sum(part.real_targets for part in parts))[0])
    optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=model.device)
    row, ends = 0, []
    for number, part in enumerate(parts):
        # Dropout draws from PyTorch's global stream, so it is set for every part: a resumed
        # run drops exactly what the uninterrupted one would have dropped.
        place = ranks.rank * len(parts) + number
        torch.manual_seed(stream_seed(dropout_seed, "part", place))
        rows = slice(row, row + len(part.tokens))
        row = rows.stop
        begin = None if carried is None else tuple(tensor[:, rows] for tensor in carried)
        with spread.part(last=number == len(parts) - 1):
            loss, end = spread.module(
                part.tokens, part.targets, begin, part.positions, part.segments
            )
        ends.append(end)
        loss = loss / max(tokens, 1)
        loss.backward()
        total += loss.detach()
    loss_value = ranks.add_up(total).item()
    if not math.isfinite(loss_value):
        raise NotFinite(f"the loss is {loss_value}")
    parameters = [p for p in model.parameters() if p.grad is not None]
    largest = gradient_clip or math.inf
    norm = whole(torch.nn.utils.clip_grad_norm_(parameters, largest)).item()
    if not math.isfinite(norm):
        raise NotFinite(f"the gradient of {_first_not_finite(model)} is not finite")
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    return StepResult(loss_value, tokens, norm, None if carried is None else _joined(ends))


def micro_batches(
    batches: TrainingBatches | ConsecutiveBatches | PackedBatches,
    first_example: int,
    size: int,
    micro_size: int,
) -> Iterator[Batch]:
    """The ``size`` examples from ``first_example`` on, ``micro_size`` at a time (0: all)."""
    step = micro_size or size
    for first in range(first_example, first_example + size, step):
        yield batches.batch(first, min(step, first_example + size - first))


def _joined(ends: list[CarriedState]) -> CarriedState:
    """The states of the parts as one of the batch, without what they were computed from."""
    return tuple(torch.cat(tensors, dim=1).detach() for tensors in zip(*ends, strict=True))


def _first_not_finite(model: LanguageModel) -> str:
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(whole(parameter.grad).isfinite().all()):
            return name
    return "all tensors together"  # each is finite, but their sum of squares overflows
