"""Columns of several lines, side by side; they go on below where the screen ends.

e  g  g  ·  E
65 67 67 20 45
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.text import Text

INDENT = "  "


def set_columns(
    columns: Iterable[tuple[Text, ...]],
    width: int,
    between: str = " ",
    names: Sequence[str] = (),
) -> Iterator[Text]:
    """Set columns of lines side by side, and go on below where the screen ends.

    Args:
        columns: the lines of each column; each has as many.
        width: the columns of the screen [characters].
        between: stands between two columns, on their first line and on all others.
        names: what each line is called, which stands before it each time; nothing if not given.

    >>> pairs = [(Text("ab"), Text("1")), (Text("c"), Text("234")), (Text("d"), Text("5"))]
    >>> for line in set_columns(pairs, width=9):
    ...     print(repr(line.plain))
    '  ab c'
    '  1  234'
    ''
    '  d'
    '  5'
    """
    widest = max(map(len, names), default=0)
    indent = len(INDENT) + (widest + 2 if names else 0)
    rows: list[Text] = []
    used = 0
    for column in columns:
        wide = max(line.cell_len for line in column)
        if rows and used + len(between) + wide > width:
            yield from map(_stripped, rows)
            if len(rows) > 1:
                yield Text()
            rows = []
        start = not rows
        if start:
            rows = [
                Text(INDENT).append(f"{name:<{indent - len(INDENT)}}", "dim")
                for name in (names or [""] * len(column))
            ]
            used = indent
        for row, line in zip(rows, column, strict=True):
            row.append("" if start else between, "dim").append_text(line)
            row.append(" " * (wide - line.cell_len))
        used += wide + (0 if start else len(between))
    yield from map(_stripped, rows)


def _stripped(line: Text) -> Text:
    line.rstrip()
    return line
