"""A batch as a person would draw it: every token with its place, its target and its document.

    tokens      ░  ░  <s>  In  ·the
    positions   ░  ░   0    1    2
    targets     ░  ░  In  ·the ·beginning
    segments    ░  ░   1    1    1

What is drawn is read off the batch itself, so it is what the model gets. Screens and files draw
the same ``DrawnRow``; neither looks into a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hornbook.data.batch import Batch
from hornbook.targets import IGNORED_TARGET, PADDING_SEGMENT


@dataclass(frozen=True, slots=True)
class DrawnToken:
    """One place of a row.

    Attributes:
        text: the input token as a person reads it.
        position: its position number.
        target: the token to predict from it; ``None`` where nothing counts.
        segment: the number of its document within the row, from 1; ``None`` for padding.
    """

    text: str
    position: int
    target: str | None
    segment: int | None


@dataclass(frozen=True, slots=True)
class DrawnSegment:
    """Places ``first`` up to ``stop`` of a row, which are one document or padding.

    Attributes:
        number: the document's number within the row, from 1; ``None`` for padding.
        first, stop: its places.
    """

    number: int | None
    first: int
    stop: int

    @property
    def described(self) -> str:
        """What it is called, and where it is.

        >>> DrawnSegment(2, 5, 9).described, DrawnSegment(None, 9, 10).described
        ('segment 2: places 5 to 8', 'padding: place 9')
        """
        name = "padding" if self.number is None else f"segment {self.number}"
        if self.stop - self.first == 1:
            return f"{name}: place {self.first}"
        return f"{name}: places {self.first} to {self.stop - 1}"


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """One row of a batch.

    Attributes:
        number: which row, from 0.
        tokens: its places from left to right.
    """

    number: int
    tokens: tuple[DrawnToken, ...]

    @property
    def targets(self) -> int:
        """How many targets count."""
        return sum(token.target is not None for token in self.tokens)

    @property
    def padding(self) -> int:
        """How many places are padding."""
        return sum(token.segment is None for token in self.tokens)

    @property
    def documents(self) -> int:
        """How many documents, or parts of them, the row holds."""
        return len({token.segment for token in self.tokens} - {None})

    def segments(self) -> Iterator[DrawnSegment]:
        """Yield the stretches of one document, or of padding, from left to right."""
        first = 0
        for place in range(1, len(self.tokens) + 1):
            number = self.tokens[first].segment
            if place == len(self.tokens) or self.tokens[place].segment != number:
                yield DrawnSegment(number, first, place)
                first = place


def drawn_row(
    batch: Batch,
    row: int,
    name: Callable[[int], str],
    *,
    pad_id: int,
    shows_end: bool = False,
) -> DrawnRow:
    """Read one row of a batch.

    Args:
        batch: the batch.
        row: which row, from 0.
        name: what to call the token with an id.
        pad_id: the id that fills rows; it may be the end token's as well.
        shows_end: whether ``</s>`` may stand among the inputs with no target behind it, as it does
            under ``data.windows=full``.

    >>> import torch
    >>> batch = Batch(torch.tensor([[9, 9, 5, 6]]), torch.tensor([[-100, -100, 6, 7]]), 2,
    ...               torch.tensor([[0, 0, 0, 1]]), torch.tensor([[-1, -1, 0, 0]]))
    >>> for token in drawn_row(batch, 0, str, pad_id=9).tokens:
    ...     print(token)
    DrawnToken(text='9', position=0, target=None, segment=None)
    DrawnToken(text='9', position=0, target=None, segment=None)
    DrawnToken(text='5', position=0, target='6', segment=1)
    DrawnToken(text='6', position=1, target='7', segment=1)
    """
    tokens, targets = batch.tokens[row].tolist(), batch.targets[row].tolist()
    length = len(tokens)
    positions = list(range(length)) if batch.positions is None else batch.positions[row].tolist()
    segments = [0] * length if batch.segments is None else batch.segments[row].tolist()
    padded_from = _padding_behind(tokens, targets, pad_id, shows_end)
    order: dict[int, int] = {}
    drawn = []
    for place, token_id in enumerate(tokens):
        padding = segments[place] == PADDING_SEGMENT or place >= padded_from
        number = None if padding else order.setdefault(segments[place], len(order) + 1)
        target = targets[place]
        wanted = None if target == IGNORED_TARGET else name(target)
        drawn.append(DrawnToken(name(token_id), positions[place], wanted, number))
    return DrawnRow(row, tuple(drawn))


def _padding_behind(tokens: list[int], targets: list[int], pad_id: int, shows_end: bool) -> int:
    """The place where padding behind a line begins; needs no segment, so none tells of it."""
    place = len(tokens)
    while place and tokens[place - 1] == pad_id and targets[place - 1] == IGNORED_TARGET:
        place -= 1
    ends_here = 0 < place < len(tokens) and targets[place - 1] == pad_id
    return place + 1 if shows_end and ends_here else place
