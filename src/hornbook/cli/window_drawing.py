"""Rows of a batch on the screen: tokens in the colour of their document, and what belongs to them.

    row 3: 6 places, 4 targets that count, 2 of padding

      tokens     ░ ░ <s> In   ·the       ·beginning
      positions  ░ ░ 0   1    2          3
      targets    ░ ░ In  ·the ·beginning ·God
      segments   ░ ░ 1   1    1          1

All that the colours say stands in numbers too, for screens and readers without colour.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from hornbook.cli.columns import set_columns
from hornbook.cli.signs import Signs
from hornbook.inspection.segment_colours import hue_of
from hornbook.inspection.window_picture import DrawnRow, DrawnToken

LONGEST = 24
"""Of a token's text, so much is shown [characters]."""
FAINT, HEADING = "dim", "bold"
NAMES = ("tokens", "positions", "targets", "segments")


def row_lines(row: DrawnRow, width: int, signs: Signs) -> Iterator[Text]:
    """Yield the lines that draw one row.

    Args:
        row: the row.
        width: the columns of the screen [characters].
        signs: what the screen can show.
    """
    yield Text(f"\nrow {row.number}", HEADING).append(f": {described(row)}\n", FAINT)
    columns = [_column(token, place, signs) for place, token in enumerate(row.tokens)]
    yield from set_columns(columns, width, names=NAMES)


def described(row: DrawnRow) -> str:
    """What a row holds, in words.

    >>> described(DrawnRow(0, (DrawnToken("a", 0, "b", 1), DrawnToken("", 0, None, None))))
    '2 places, 1 target that counts, 1 of padding'
    """
    targets = "1 target that counts" if row.targets == 1 else f"{row.targets:,} targets that count"
    facts = [f"{len(row.tokens):,} places", targets]
    if row.documents > 1:
        facts.append(f"{row.documents:,} documents")
    if row.padding:
        facts.append(f"{row.padding:,} of padding")
    return ", ".join(facts)


def token_text(text: str, longest: int, signs: Signs) -> str:
    """The text of a token in at most ``longest`` columns."""
    text = signs.text(text)
    return text if cell_len(text) <= longest else set_cell_size(text, longest - 1) + signs.cut


def _column(token: DrawnToken, place: int, signs: Signs) -> tuple[Text, ...]:
    hue = hue_of(token.segment)
    if token.segment is None:
        return tuple(Text(signs.padding, FAINT) for _ in NAMES)
    behind = hue.deep if place % 2 else hue.light
    wanted = signs.padding if token.target is None else token_text(token.target, LONGEST, signs)
    return (
        Text(token_text(token.text, LONGEST, signs), f"black on {behind}"),
        Text(str(token.position), FAINT),
        Text(wanted, FAINT if token.target is None else ""),
        Text(str(token.segment), hue.strong),
    )
