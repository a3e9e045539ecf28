"""One optimizer step: batches in, moved weights and a few numbers out.

A batch that does not fit into memory comes in parts. Each part's summed loss is divided by the
whole batch's count of real targets, so the gradient is that of the mean over all of them, also
when the parts hold different numbers.

    for each part:  forward ─► loss ─► backward, gradients add up
    the gradient:   its norm ─► shortened to gradient_clip ─► the weights move, if all was finite

On a CUDA device the program only writes down what is to be done, far ahead of the device; asking
for a number would make it wait. So there the loss and the norm stay on the device as tensors until
somebody needs them (``read``), and the device decides for itself whether the weights move:

    step               7          8          9         10      read
    finite            yes        yes        no        yes       ↓
    moves weights     yes        yes        no         no      steps 9 and 10 were not applied

After a step that was not finite none moves the weights any more, so whoever reads finds them as
they were before it. With float16 such a step is expected now and then: it alone is skipped, and
the loss is scaled by less (``loss_scale``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from hornbook.compiled_call import CompiledCall
from hornbook.data import Batch, PackedBatches, TrainingBatches
from hornbook.data.consecutive import ConsecutiveBatches
from hornbook.models import CarriedState, LanguageModel
from hornbook.optimization import set_learning_rate
from hornbook.optimization.sharding import part_of
from hornbook.randomness import stream_seed
from hornbook.runs.memory import is_out_of_memory
from hornbook.training.batch_loss import Count
from hornbook.training.gradients import first_not_finite, scale_gradients
from hornbook.training.loss_scale import LossScale
from hornbook.training.precision import Precision
from hornbook.training.spread import Spread
from hornbook.training.step_time import StepClock
from hornbook.training.updates import snapshot, update_ratios


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step was like; tensors are on the device, perhaps not computed yet.

    Attributes:
        loss: [] mean surprise over the batch's real targets [nats per token].
        tokens: real targets in the batch.
        gradient_norm: [] length of the whole gradient before clipping.
        applied: [] bool, whether the weights were moved.
        tensor_norms: [tensors] length of the gradient of each of ``names``.
        names: the weights that have a gradient.
        update_ratios: [groups] how far each group of weights moved, where that was asked for.
        carried: the state behind the batch, cut off from its gradient; ``None`` if none is
            carried. Of a step that was not applied it is the state before.
    """

    loss: torch.Tensor
    tokens: int
    gradient_norm: torch.Tensor
    applied: torch.Tensor
    tensor_norms: torch.Tensor
    names: tuple[str, ...]
    update_ratios: torch.Tensor | None = None
    carried: CarriedState | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The numbers of a step, read from the device."""

    loss: float
    gradient_norm: float
    applied: bool


class NotFinite(Exception):  # noqa: N818 - it says what happened
    """A loss or a gradient is infinite or not a number; the step was not applied.

    Attributes:
        what: which one, in words that can stand in a message.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def reads_late(device: torch.device) -> bool:
    """Whether asking for a number makes the program wait for the device."""
    return device.type == "cuda"


class TrainingStep:
    """Moves the weights of a model, a batch at a time.

    Args:
        model: in training mode, on its device.
        optimizer: its learning rate is set at every step.
        forward: the model's losses, wrapped as they should be.
        precision: of the products of the forward pass.
        gradient_clip: longest gradient that is applied as it is; 0 never shortens.
        spread: how the model is spread over ranks, which all take the step together.

    Attributes:
        scale: of the loss, where the precision needs one.
        clock: knows where the time went.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimizer: torch.optim.Optimizer,
        forward: CompiledCall,
        *,
        precision: Precision,
        gradient_clip: float,
        spread: Spread,
    ) -> None:
        self._spread, self._ranks = spread, spread.ranks
        self.model, self.optimizer = model, optimizer
        self._forward, self._precision, self._clip = forward, precision, gradient_clip
        # To walk through all modules of a small model at every step takes a hundredth of it.
        self._device = device = model.device
        self._weights = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self._late = reads_late(device)
        self.scale = LossScale(device) if precision.scaled else None
        self.clock = StepClock(device)
        self._all_finite = torch.tensor(True, device=device)

    def __call__(
        self,
        parts: Sequence[Batch],
        *,
        learning_rate: float,
        dropout_seed: int,
        carried: CarriedState | None = None,
        measuring: bool = False,
    ) -> StepResult:
        """Move the weights once, by the gradient of the mean loss over all ``parts``.

        Args:
            parts: the micro-batches of one batch, on the model's device; this rank's of several.
            learning_rate: for this step.
            dropout_seed: the step's seed in the ``dropout`` stream.
            carried: the state before each row of the batch; ``None`` starts every row afresh.
            measuring: whether to find out how far the weights moved.
        """
        self.clock.begin()
        tokens = int(self._ranks.total(sum(part.real_targets for part in parts))[0])
        loss, ends = self._differentiate(parts, max(tokens, 1), dropout_seed, carried)
        with torch.no_grad():
            names, gradients = self._gradients()
            norms = self._spread.norms(gradients)
            if self.scale is not None:
                norms = norms / self.scale.value
            norm = torch.linalg.vector_norm(norms)
            healthy = loss.isfinite() & norm.isfinite()
            self._shorten(gradients, norm)
            if self.scale is not None:
                self.scale.update(healthy)
            else:
                self._all_finite = healthy = self._all_finite & healthy
            before = snapshot(self.optimizer) if measuring else None
            self._move(healthy, learning_rate)
            ratios = (
                None
                if before is None
                else update_ratios(self.optimizer, before, self._spread.norms)
            )
            after = None if carried is None else _if_applied(healthy, ends, carried)
        self.clock.mark("optimizer")
        return StepResult(loss, tokens, norm, healthy, norms, names, ratios, after)

    def trial(self, part: Batch, dropout_seed: int) -> None:
        """A forward and backward pass alone, whose gradients are thrown away: does it fit?"""
        # Not compiled, which would take a minute for each shape that is tried; what fits so, fits.
        self._forward.stop_compiling()
        try:
            self._add_up([part], max(part.real_targets, 1), dropout_seed, None)
        finally:
            self.optimizer.zero_grad(set_to_none=True)

    def _differentiate(
        self, parts: Sequence[Batch], tokens: int, seed: int, carried: CarriedState | None
    ) -> tuple[torch.Tensor, list[CarriedState]]:
        """As ``_add_up``, and once more where only compiling was at fault."""
        try:
            return self._add_up(parts, tokens, seed, carried)
        except Exception as error:
            if is_out_of_memory(error) or not self._forward.go_on_without(error):
                raise
        return self._add_up(parts, tokens, seed, carried)

    def _add_up(
        self, parts: Sequence[Batch], tokens: int, seed: int, carried: CarriedState | None
    ) -> tuple[torch.Tensor, list[CarriedState]]:
        """The mean loss over ``tokens`` targets, with its gradients; and the state of each part."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._device)
        row, ends = 0, []
        self.clock.mark("optimizer")
        for number, part in enumerate(parts):
            # Dropout draws from PyTorch's global stream, so it is set for every part: a resumed
            # run drops exactly what the uninterrupted one would have dropped.
            place = self._ranks.rank * len(parts) + number
            self._set_global_stream(stream_seed(seed, "part", place))
            rows = slice(row, row + len(part.tokens))
            row = rows.stop
            begin = None if carried is None else tuple(tensor[:, rows] for tensor in carried)
            last = number == len(parts) - 1
            with self._precision.products(), self._spread.part(last=last):
                summed, nats, end = self._forward(
                    part.tokens,
                    part.targets,
                    Count(part.real_targets),
                    begin,
                    part.positions,
                    part.segments,
                )
            loss = summed / tokens
            self.clock.mark("forward")
            (loss if self.scale is None else loss * self.scale.value).backward()
            self.clock.mark("backward")
            ends.append(end)
            total += nats / tokens
        return self._ranks.add_up(total), ends

    def _set_global_stream(self, seed: int) -> None:
        """Begin the stream that dropout draws from."""
        if self._device.type == "cpu":
            # The usual way looks for every kind of accelerator: 0.2 ms, of the 37 of a small step.
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def _gradients(self) -> tuple[tuple[str, ...], list[torch.Tensor]]:
        """The weights that have a gradient: their names, and this rank's part of the gradients."""
        found = [(n, p.grad) for n, p in self._weights if p.grad is not None]
        return tuple(name for name, _ in found), [part_of(gradient) for _, gradient in found]

    def _shorten(self, gradients: list[torch.Tensor], norm: torch.Tensor) -> None:
        """Cut a gradient that is too long, and take the loss's scale off it."""
        factor = torch.ones_like(norm)
        if self._clip:
            factor = (self._clip / (norm + 1e-6)).clamp(max=1.0)
        if self.scale is not None:
            factor = factor / self.scale.value
        elif not self._clip or (not self._late and factor.item() == 1.0):
            return  # nothing changes, which saves a pass over all gradients
        scale_gradients(gradients, factor)

    def _move(self, healthy: torch.Tensor, learning_rate: float) -> None:
        """Let the optimizer take its step, if the gradient is ``healthy``."""
        set_learning_rate(self.optimizer, learning_rate)
        if self._late and getattr(self.optimizer, "_step_supports_amp_scaling", False):
            # PyTorch's own agreement: these optimizers look at the flag on the device.
            self.optimizer.grad_scale = None  # pyright: ignore[reportAttributeAccessIssue]
            self.optimizer.found_inf = (~healthy).float()  # pyright: ignore[reportAttributeAccessIssue]
            try:
                self.optimizer.step()
            finally:
                del self.optimizer.grad_scale  # pyright: ignore[reportAttributeAccessIssue]
                del self.optimizer.found_inf  # pyright: ignore[reportAttributeAccessIssue]
        elif bool(healthy):
            self.optimizer.step()


def read(results: Sequence[StepResult]) -> list[Reading]:
    """The numbers of these steps; waits for the device once.

    >>> one = torch.tensor(1.0)
    >>> read([StepResult(one * 3, 8, one, one > 0, one[None], ("weight",))])
    [Reading(loss=3.0, gradient_norm=1.0, applied=True)]
    """
    if not results:
        return []
    rows = [
        torch.stack((result.loss, result.gradient_norm, result.applied.float()))
        for result in results
    ]
    return [
        Reading(loss, norm, bool(applied)) for loss, norm, applied in torch.stack(rows).tolist()
    ]


def not_finite(result: StepResult, reading: Reading) -> NotFinite:
    """What was wrong with a step that was not applied."""
    if not math.isfinite(reading.loss):
        return NotFinite(f"the loss is {reading.loss}")
    where = first_not_finite(result.names, result.tensor_norms.tolist())
    return NotFinite(f"the gradient of {where} is not finite")


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


def _if_applied(
    applied: torch.Tensor, ends: list[CarriedState], before: CarriedState
) -> CarriedState:
    """The states of the parts as one of the batch, without what they were computed from."""
    joined = (torch.cat(tensors, dim=1).detach() for tensors in zip(*ends, strict=True))
    return tuple(
        torch.where(applied, after, old) for after, old in zip(joined, before, strict=True)
    )
