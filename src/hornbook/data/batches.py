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
from hornbook.data.positions import WINDOW_POSITIONS, Positions
from hornbook.data.token_store import LineIds, TokenSequence
from hornbook.data.windows import LineWindows, StreamWindows
from hornbook.errors import DataError
from hornbook.targets import IGNORED_TARGET

PADDING_SEGMENT = -1
"""The segment of padding before a line: a document of its own, so that no real token sees it."""


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


@dataclass(frozen=True, slots=True)
class TrainingBatches:
    """The examples of training, by their place in the run.

    Attributes:
        sequence: the tokens.
        windows: which tokens make an example.
        order: in which order the examples come.
        positions: what position numbers mean.
        line_ids: the ids around a line; only read, and then needed, with windows by line.
    """

    sequence: TokenSequence
    windows: StreamWindows | LineWindows
    order: ExampleOrder
    positions: Positions = WINDOW_POSITIONS
    line_ids: LineIds | None = None

    def batch(self, first_example: int, size: int) -> Batch:
        """Examples ``first_example`` up to ``first_example + size`` of the run."""
        indices = self.order.examples(first_example, size)
        places = np.arange(first_example, first_example + size, dtype=np.int64)
        if isinstance(self.windows, LineWindows):
            assert self.line_ids is not None, "windows by line need the ids around a line"
            return line_batch(
                self.sequence, self.windows, indices, self.line_ids, self.positions, places
            )
        starts, length = self.windows.starts(indices), self.windows.context_length
        positions = self.positions.within_stream(
            starts, places, length, self.sequence.document_ends
        )
        return _shifted(self.sequence.gather(starts, length + 1), positions=positions)


def line_batch(
    sequence: TokenSequence,
    windows: LineWindows,
    indices: NDArray[np.int64],
    line_ids: LineIds,
    positions: Positions,
    examples: NDArray[np.int64],
) -> Batch:
    """Gather windows by line, with start tokens and padding around what the store holds.

    A target counts where it and its input are both tokens of the line. Padding before a line is
    a segment of its own. Padding behind a line needs none, since no token sees what comes later.

    Args:
        sequence: the tokens.
        windows: which tokens make a window.
        indices: [batch] the windows to gather.
        line_ids: the ids that the store does not hold.
        positions: what position numbers mean.
        examples: [batch] the place of each example in the run.
    """
    at, length = windows.places(indices), windows.context_length
    places = at.starts[:, None] + np.arange(length + 1, dtype=np.int64)
    real = (places >= 0) & (places < at.lengths[:, None])
    stored = np.where(real & (places > 0), at.origins[:, None] + places, 0)
    tokens = np.where(real, sequence.take(stored), line_ids.pad)
    tokens[places == 0] = line_ids.start
    targets = np.where(real[:, :-1] & real[:, 1:], tokens[:, 1:], IGNORED_TARGET)
    inputs = tokens[:, :-1].copy()
    if not windows.shows_end:
        inputs[places[:, :-1] == at.lengths[:, None] - 1] = line_ids.pad
    numbers = segments = None
    if positions.meaning != "window" or (at.starts < 0).any():
        numbers = torch.from_numpy(positions.within_lines(at.starts, examples, length))
    if (at.starts < 0).any():
        segments = torch.from_numpy(np.where(places[:, :-1] < 0, PADDING_SEGMENT, 0))
    return Batch(
        torch.from_numpy(inputs),
        torch.from_numpy(targets),
        int((targets != IGNORED_TARGET).sum()),
        numbers,
        segments,
    )


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
        tokens = self._sequence.gather(starts, length + 1)
        already = (wanted - starts)[:, None] > np.arange(length)
        positions = self._positions.within_stream(
            starts, indices, length, self._sequence.document_ends
        )
        return _shifted(tokens, ignored=already, positions=positions)


def _shifted(
    tokens: NDArray[np.int64],
    *,
    ignored: NDArray[np.bool_] | None = None,
    positions: NDArray[np.int64] | None = None,
) -> Batch:
    """[batch, time + 1] tokens into inputs and targets of [batch, time]."""
    # Copies: the slices of a single row are contiguous already and would share memory, so
    # that marking a target as ignored would overwrite an input.
    inputs, targets = tokens[:, :-1].copy(), tokens[:, 1:].copy()
    if ignored is not None:
        targets[ignored] = IGNORED_TARGET
    real = targets.size if ignored is None else int((targets != IGNORED_TARGET).sum())
    numbers = None if positions is None else torch.from_numpy(positions)
    return Batch(torch.from_numpy(inputs), torch.from_numpy(targets), real, numbers)
