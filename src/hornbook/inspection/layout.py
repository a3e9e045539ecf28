"""Where each thing goes on the picture of a run: points of 1/72 inch from its top left corner.

title, what the model is
legend
┌ the chart ───────────────┐
│  ·                       │
└──│──────────│─────────│──┘   steps
   │          │         │      pins
┌──┴────┐ ┌───┴───┐ ┌───┴───┐
│ cards: what it wrote      │
└───────┘ └───────┘ └───────┘
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hornbook.inspection.history import History, WrittenSample
from hornbook.inspection.lines import wrapped

WIDTH = 648.0
"""The whole picture; a README shows it at about this size."""
MARGIN = 24.0
CHART_LEFT, CHART_TOP, CHART_WIDTH, CHART_HEIGHT = 62.0, 86.0, 552.0, 196.0
PINS_HEIGHT = 54.0
"""From the chart's lower edge to the cards: the numbers of the steps, and the pins' way."""
CARD_GAP = 12.0
CARD_PADDING = 10.0
CARD_HEAD = 22.0
"""From a card's upper edge to the base of its first line of text."""
TEXT_SIZE = 8.0
LINE_HEIGHT = 11.2
CELL = 0.61 * TEXT_SIZE
"""The width of a character in the fixed-width fonts that are around, rounded up."""
MOST_CARDS = 3
MOST_LINES = 10


@dataclass(frozen=True, slots=True)
class Card:
    """A sample on the picture.

    Attributes:
        step: after how many steps the model wrote it.
        loss: where on the curve it is pinned [nats per token].
        left, width: of its box [points].
        lines: its text.
    """

    step: int
    loss: float
    left: float
    width: float
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The picture's measures [points], its limits in data, and its cards.

    Attributes:
        height: the whole picture's.
        last_step: where the chart ends on the right.
        lowest, highest: the loss at the chart's lower and upper edge.
        cards_top, cards_height: of the row of cards.
        cards: the samples that are shown, oldest first.
    """

    height: float
    last_step: int
    lowest: float
    highest: float
    cards_top: float
    cards_height: float
    cards: tuple[Card, ...]

    def place(self, step: float, loss: float) -> tuple[float, float]:
        """A point of the curve on the picture."""
        up = (loss - self.lowest) / (self.highest - self.lowest)
        return (
            CHART_LEFT + step / self.last_step * CHART_WIDTH,
            CHART_TOP + (1 - up) * CHART_HEIGHT,
        )


def lay_out(story: History) -> Layout:
    """Find a place for everything in ``story``, which has at least one loss."""
    losses = [point.loss for point in (*story.training, *story.validation)]
    steps = [point.step for point in (*story.training, *story.validation)]
    samples = spread([s for s in story.samples if s.step >= 0], MOST_CARDS)
    spare = 0.07 * (max(losses) - min(losses)) or 0.5
    cards = tuple(_cards(story, samples))
    cards_height = CARD_HEAD + 14.0 + LINE_HEIGHT * max((len(c.lines) for c in cards), default=0)
    chart_end = CHART_TOP + CHART_HEIGHT
    cards_top = chart_end + PINS_HEIGHT
    return Layout(
        height=cards_top + cards_height + MARGIN if cards else chart_end + 36.0,
        last_step=max(*steps, *(s.step for s in samples), 1),
        lowest=min(losses) - spare,
        highest=max(losses) + spare,
        cards_top=cards_top,
        cards_height=cards_height,
        cards=cards,
    )


def spread(samples: Sequence[WrittenSample], count: int) -> list[WrittenSample]:
    """At most ``count`` of the samples, the first and the last among them, evenly apart."""
    if len(samples) <= count:
        return list(samples)
    chosen = [round(i * (len(samples) - 1) / (count - 1)) for i in range(count)]
    return [samples[index] for index in chosen]


def _cards(story: History, samples: list[WrittenSample]) -> list[Card]:
    room = WIDTH - 2 * MARGIN - CARD_GAP * (len(samples) - 1)
    width = room / max(len(samples), 1)
    across = int((width - 2 * CARD_PADDING) / CELL)
    return [
        Card(
            step=sample.step,
            loss=story.loss_at(sample.step),
            left=MARGIN + index * (width + CARD_GAP),
            width=width,
            lines=tuple(wrapped((sample.prompt + sample.text).strip(), across, MOST_LINES)),
        )
        for index, sample in enumerate(samples)
    ]
