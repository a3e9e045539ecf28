"""Windows gathered into tensors: shuffled ones to train on, ordered ones to evaluate.

batches = TrainingBatches(store.training, windows, ExampleOrder(len(windows), seed))
batch = batches.batch(first_example=0, size=16)
batch.tokens.shape, batch.targets.shape        # [16, context_length] each
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.data.order import ExampleOrder
from hornbook.data.token_store import TokenSequence
from hornbook.data.windows import StreamWindows
from hornbook.errors import DataError
from hornbook.targets import IGNORED_TARGET


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs and what is to be predicted from them.

    Attributes:
        tokens: [batch, time] ``int64`` token ids.
        targets: [batch, time] ``int64``, the token after each input, or ``IGNORED_TARGET``.
        positions: [batch, time] ``int64``, or ``None`` for 0, 1, 2, … in every row.
        segments: [batch, time] ``int64`` document numbers within a row, or ``None``.
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


@dataclass(frozen=True, slots=True)
class TrainingBatches:
    """The examples of training, by their place in the run.

    Attributes:
        sequence: the tokens.
        windows: which tokens make an example.
        order: in which order the examples come.
    """

    sequence: TokenSequence
    windows: StreamWindows
    order: ExampleOrder

    def batch(self, first_example: int, size: int) -> Batch:
        """Examples ``first_example`` up to ``first_example + size`` of the run."""
        indices = self.order.examples(first_example, size)
        starts = self.windows.starts(indices)
        return _shifted(self.sequence.gather(starts, self.windows.context_length + 1))


class EvaluationBatches:
    """Validation windows that predict every token after the first exactly once, in order.

    The windows do not overlap, except that the last one is moved back to end with the text;
    the targets it shares with the one before are ignored. A text shorter than the context
    is evaluated in one shorter window.

    Args:
        sequence: the tokens of the validation side.
        context_length: tokens in a window.
        sample: how many windows to use, spread over the text by ``seed``; 0 means all.
        seed: picks the sample; the same for the whole run, so that losses compare.

    Raises:
        DataError: when there are fewer than two tokens, so nothing can be predicted.
    """

    def __init__(
        self, sequence: TokenSequence, context_length: int, *, sample: int = 0, seed: int = 0
    ) -> None:
        if len(sequence) < 2:
            raise DataError(
                f"The validation side has {len(sequence)} tokens; at least 2 are needed. Raise "
                "corpus.validation_fraction, or set it to 0 to train without validation."
            )
        self._sequence = sequence
        self.context_length = min(context_length, len(sequence) - 1)
        count = -(-(len(sequence) - 1) // self.context_length)
        if sample and sample < count:
            order = ExampleOrder(count, seed)
            self._indices = np.sort(order.examples(0, sample))
        else:
            self._indices = np.arange(count, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def batches(self, size: int) -> Iterator[Batch]:
        """The windows in order, ``size`` at a time (the last batch may be smaller)."""
        for first in range(0, len(self), size):
            yield self._gather(self._indices[first : first + size])

    def _gather(self, indices: NDArray[np.int64]) -> Batch:
        length = self.context_length
        wanted = indices * length
        starts = np.minimum(wanted, len(self._sequence) - 1 - length)
        tokens = self._sequence.gather(starts, length + 1)
        already = (wanted - starts)[:, None] > np.arange(length)
        return _shifted(tokens, ignored=already)


def _shifted(tokens: NDArray[np.int64], ignored: NDArray[np.bool_] | None = None) -> Batch:
    """[batch, time + 1] tokens into inputs and targets of [batch, time]."""
    # Copies: the slices of a single row are contiguous already and would share memory, so
    # that marking a target as ignored would overwrite an input.
    inputs, targets = tokens[:, :-1].copy(), tokens[:, 1:].copy()
    if ignored is not None:
        targets[ignored] = IGNORED_TARGET
    real = targets.size if ignored is None else int((targets != IGNORED_TARGET).sum())
    return Batch(torch.from_numpy(inputs), torch.from_numpy(targets), real)
