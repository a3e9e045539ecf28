"""Windows by line as a reader would write them on paper: every window as two lists.

Nothing here counts or computes a place. A line is laid on a tape with padding on both sides, a
frame of ``context_length`` cells moves over it one cell at a time, and what a strategy asks of
a window is asked of what can be seen in the frame. ``windows`` does the same by arithmetic, and
the tests hold the two together.

    for x, y in pairs("left_padded", line_of([1, 2]), context_length=3):
        print(x, y)
"""

from __future__ import annotations

from collections.abc import Sequence

from hornbook.data.windows import LineStrategy

PAD = "_"
START, END = "<s>", "</s>"
Cell = str | int
"""A token id, or one of the three names above."""
Pair = tuple[list[Cell], list[Cell]]
"""Inputs and targets of one example."""


def line_of(tokens: Sequence[int]) -> list[Cell]:
    """A line with its start and end.

    >>> line_of([7, 8])
    ['<s>', 7, 8, '</s>']
    """
    return [START, *tokens, END]


def pairs(
    strategy: LineStrategy, line: list[Cell], context_length: int, stride: int = 1
) -> list[Pair]:
    """All examples (x, y) of one line, in order.

    >>> for x, y in pairs("left_padded", line_of([7, 8]), context_length=3):
    ...     print(x, y)
    ['_', '_', '<s>'] ['_', '<s>', 7]
    ['_', '<s>', 7] ['<s>', 7, 8]
    ['<s>', 7, 8] [7, 8, '</s>']
    """
    around: list[Cell] = [PAD] * (context_length + len(line))
    tape = around + line + around
    frames = [
        (tape[i : i + context_length], tape[i + 1 : i + 1 + context_length])
        for i in range(len(tape) - context_length)
    ]
    if strategy == "left_padded":
        # x ends at <s>, then at t1, ... up to tn.
        found = [(x, y) for x, y in frames if x[-1] not in (PAD, END)]
    elif strategy == "slide_through":
        # On until only the last token that predicts something is left in x.
        found = [(x, y) for x, y in frames if any(cell not in (PAD, END) for cell in x)]
    else:
        found = [(x, y) for x, y in frames if PAD not in x and PAD not in y]
        if not found and strategy == "full":
            # The whole line stays in x and in y, from x's right edge to y's left edge.
            found = [(x, y) for x, y in frames if _holds(x, line) and _holds(y, line)]
            found = found or [(x, y) for x, y in frames if x == line]
        elif not found:
            found = [(x, y) for x, y in frames if x[0] == START]
    kept = found[::stride]
    if kept[-1] != found[-1]:
        kept.append(found[-1])
    if strategy == "full":
        return kept
    # The end predicts nothing, so it is not shown.
    return [([PAD if cell == END else cell for cell in x], y) for x, y in kept]


def counts(x: Cell, y: Cell) -> bool:
    """Whether a target is learned from: it and its input are tokens of the line.

    >>> counts("<s>", 7), counts("_", "<s>"), counts("</s>", "_")
    (True, False, False)
    """
    return PAD not in (x, y)


def _holds(cells: list[Cell], line: list[Cell]) -> bool:
    return [cell for cell in cells if cell != PAD] == line
