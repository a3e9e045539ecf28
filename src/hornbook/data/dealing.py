"""Windows dealt at random to training and validation, as ``torch.utils.data.random_split`` does.

    windows       0  1  2  3  4  5  6  7  8  9
    shuffled      7  2  9 | 4  0  6  3  1  8  5        by the seed, computed and not remembered
                  held    | to train on

Windows that overlap share tokens, so what is held back is partly trained on: at stride 1
nearly every target of a held window also stands in a neighbour that is trained on. ``leak``
measures how many. To know how good a model is on new text, split the text (``data.split=text``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornbook.data.order import permute, unpermute
from hornbook.data.windows import LineWindows, StreamWindows
from hornbook.errors import DataError

LEAK_SAMPLE = 256
"""Held windows whose targets are looked for in training windows."""


@dataclass(frozen=True, slots=True)
class WindowDeal:
    """Which of ``count`` windows are held back: the first ``held`` of a shuffled order.

    Attributes:
        count: all windows.
        held: how many are for validation.
        key: picks the shuffled order.

    >>> deal = WindowDeal(count=10, held=3, key=1)
    >>> both = [*deal.held_windows(np.arange(3)), *deal.training_windows(np.arange(7))]
    >>> sorted(both) == list(range(10))
    True
    """

    count: int
    held: int
    key: int

    @classmethod
    def of_fraction(cls, count: int, fraction: float, key: int) -> WindowDeal:
        """Hold back this share of the windows, at least one.

        Raises:
            DataError: when none would be left to train on.
        """
        held = max(1, round(count * fraction))
        if held >= count:
            raise DataError(
                f"data.split=window with corpus.validation_fraction={fraction:g} leaves none of "
                f"{count:,} windows to train on. Use a smaller fraction, a smaller data.stride, or "
                "more text."
            )
        return cls(count, held, key)

    def held_windows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows behind these numbers of held ones (each below ``held``)."""
        return permute(numbers, self.count, self.key)

    def training_windows(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows behind these numbers of training ones (each below ``count - held``)."""
        return permute(numbers + self.held, self.count, self.key)

    def is_held(self, windows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of these windows is held back."""
        return unpermute(windows, self.count, self.key) < self.held


def leak(
    windows: StreamWindows | LineWindows, deal: WindowDeal, sample: int = LEAK_SAMPLE
) -> float:
    """The share of held target tokens that also stand in a training window, from 0 to 1.

    Args:
        windows: all windows.
        deal: which are held.
        sample: how many held windows to look at; a random sample, as they are shuffled.

    >>> windows = StreamWindows(length=1000, context_length=10, stride=10)
    >>> overlapping = StreamWindows(length=1000, context_length=10, stride=1)
    >>> leak(windows, WindowDeal(len(windows), 20, key=1)) < 0.15
    True
    >>> leak(overlapping, WindowDeal(len(overlapping), 20, key=1)) > 0.99
    True
    """
    reach = -(-windows.context_length // windows.stride) + 1
    shared = targets = 0
    for index in deal.held_windows(np.arange(min(sample, deal.held), dtype=np.int64)).tolist():
        near = np.arange(max(index - reach, 0), min(index + reach + 1, len(windows)))
        lines, starts, lengths = _extents(windows, near)
        here = index - int(near[0])
        places = starts[here] + 1 + np.arange(windows.context_length)
        # A target counts where its input is a token of the line as well.
        places = places[(places >= 1) & (places < lengths[here])]
        others = starts[(lines == lines[here]) & ~deal.is_held(near)][:, None]
        seen = (others <= places) & (places <= others + windows.context_length)
        shared += int(seen.any(axis=0).sum())
        targets += len(places)
    return shared / max(targets, 1)


def _extents(
    windows: StreamWindows | LineWindows, indices: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Line, start and length of the line of each window; a stream is one line."""
    if isinstance(windows, LineWindows):
        at = windows.places(indices)
        return at.lines, at.starts, at.lengths
    starts = windows.starts(indices)
    return np.zeros_like(starts), starts, np.full_like(starts, windows.length)
