"""Windows gathered into tensors: shuffled ones to train on, ordered ones to evaluate.

batches = TrainingBatches(store.training, windows, ExampleOrder(len(windows), seed))
batch = batches.batch(first_example=0, size=16)
batch.tokens.shape, batch.targets.shape        # [16, context_length] each
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.data.batch import Batch
from hornbook.data.dealing import WindowDeal
from hornbook.data.gathering import Gathering
from hornbook.data.numpy_gathering import stream_rows
from hornbook.data.order import ExampleOrder
from hornbook.data.positions import WINDOW_POSITIONS, Positions
from hornbook.data.token_store import LineIds, TokenSequence
from hornbook.data.windows import LineWindows, StreamWindows
from hornbook.errors import DataError
from hornbook.targets import IGNORED_TARGET


@dataclass(frozen=True, slots=True)
class TrainingBatches:
    """The examples of training, by their place in the run.

    Attributes:
        sequence: the tokens.
        windows: which tokens make an example.
        order: in which order the examples come.
        positions: what position numbers mean.
        line_ids: the ids around a line; only read, and then needed, with windows by line.
        deal: which windows are held back, where they are dealt; see ``dealing``. The order then
            counts those that are left.
        recut: whether every epoch cuts the stream elsewhere; only with ``StreamWindows``.
        gathering: who gathers.
    """

    sequence: TokenSequence
    windows: StreamWindows | LineWindows
    order: ExampleOrder
    positions: Positions = WINDOW_POSITIONS
    line_ids: LineIds | None = None
    deal: WindowDeal | None = None
    recut: bool = False
    gathering: Gathering = field(default_factory=Gathering, compare=False, repr=False)

    def batch(self, first_example: int, size: int) -> Batch:
        """Examples ``first_example`` up to ``first_example + size`` of the run."""
        gather = self.gathering.by(size * self.windows.context_length)
        indices = gather.examples(self.order, first_example, size)
        if self.deal is not None:
            indices = self.deal.training_windows(indices)
        places = np.arange(first_example, first_example + size, dtype=np.int64)
        return self.gather(indices, places)

    def gather(self, indices: NDArray[np.int64], places: NDArray[np.int64]) -> Batch:
        """The windows with these numbers, for these places of the run ([batch] each)."""
        windows, length = self.windows, self.windows.context_length
        gather = self.gathering.by(0)
        if isinstance(windows, LineWindows):
            assert self.line_ids is not None, "windows by line need the ids around a line"
            return gather.line_batch(
                self.sequence, windows, indices, self.line_ids, self.positions, places
            )
        starts = self.stream_starts(windows, indices, places)
        inputs, targets = gather.stream_rows(self.sequence, starts, length)
        ends = self.sequence.document_ends
        numbers = self.positions.within_stream(starts, places, length, ends)
        return _batch(inputs, targets, len(indices) * length, numbers)

    def stream_starts(
        self, windows: StreamWindows, indices: NDArray[np.int64], places: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Where windows stand in the stream.

        Args:
            windows: the way of cutting.
            indices: [batch] ``int64``, the numbers of the windows.
            places: [batch] ``int64``, the places in the run's order at which they are read; with
                ``recut`` the epoch of each decides where it was cut.

        Returns:
            [batch] ``int64``, the first token of each.
        """
        if not self.recut:
            return windows.starts(indices)
        return windows.moved_starts(indices, places // self.order.count)


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
        positions: what position numbers mean to the model. Places in the line are numbered as
            in training; random offsets are left out.

    Raises:
        DataError: when there are fewer than two tokens, so nothing can be predicted.
    """

    def __init__(
        self,
        sequence: TokenSequence,
        context_length: int,
        *,
        sample: int = 0,
        seed: int = 0,
        positions: Positions = WINDOW_POSITIONS,
    ) -> None:
        if len(sequence) < 2:
            raise DataError(
                f"The validation side has {len(sequence)} tokens; at least 2 are needed. Raise "
                "corpus.validation_fraction, or set it to 0 to train without validation."
            )
        self._sequence = sequence
        self._positions = positions if positions.meaning == "line" else WINDOW_POSITIONS
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
        inputs, targets = stream_rows(self._sequence, starts, length)
        targets[(wanted - starts)[:, None] > np.arange(length)] = IGNORED_TARGET
        ends = self._sequence.document_ends
        numbers = self._positions.within_stream(starts, indices, length, ends)
        return _batch(inputs, targets, int((targets != IGNORED_TARGET).sum()), numbers)


class HeldWindows:
    """The held windows, to measure a model on; each counts its targets for itself.

    Args:
        batches: the training batches of the same deal; random positions are left out.
        sample: how many windows to use, the same for the whole run; 0 means all.
    """

    def __init__(self, batches: TrainingBatches, *, sample: int = 0) -> None:
        deal = batches.deal
        assert deal is not None, "nothing is held back without a deal"
        if batches.positions.meaning == "random":
            batches = replace(batches, positions=WINDOW_POSITIONS)
        self._gather = batches.gather
        self._deal = deal
        self.context_length = batches.windows.context_length
        self._count = min(sample or deal.held, deal.held)

    def __len__(self) -> int:
        return self._count

    def batches(self, size: int) -> Iterator[Batch]:
        """The windows, ``size`` at a time (the last batch may be smaller)."""
        for first in range(0, self._count, size):
            numbers = np.arange(first, min(first + size, self._count), dtype=np.int64)
            yield self._gather(self._deal.held_windows(numbers), numbers)


def _batch(
    inputs: NDArray[np.int64],
    targets: NDArray[np.int64],
    real_targets: int,
    positions: NDArray[np.int64] | None,
) -> Batch:
    numbers = None if positions is None else torch.from_numpy(positions)
    return Batch(torch.from_numpy(inputs), torch.from_numpy(targets), real_targets, numbers)
