"""An explained tokenization as lines of coloured text; in a pipe the colours fall away.

What belongs together stands in one column: a character over its bytes, a token over its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from hornbook.cli.columns import INDENT, set_columns
from hornbook.cli.pieces import shown
from hornbook.tokenizers.explanation import (
    ExplainedCharacter,
    ExplainedPiece,
    Explanation,
    Token,
)

REACH = 12
"""Tokens shown on each side of a merge; a longer pre-token is cut there."""
TURNS = ("black on yellow", "black on cyan")
"""The colours of tokens, in turn, so that their edges are seen."""
HEADING, FAINT, MADE = "bold", "dim", "bold green"


def explanation_lines(told: Explanation, width: int) -> Iterator[Text]:
    """Yield the lines that explain how a text became tokens.

    Args:
        told: the explanation.
        width: the columns of the screen [characters].
    """
    size = sum(len(each.content) for each in told.characters)
    yield _heading(f"{_count(told.characters, 'character')}, {size:,} bytes of UTF-8")
    yield from set_columns([_spelled(each) for each in told.characters], width)
    yield from _names(told.characters)
    if told.piece_name != "character":
        yield _heading(f"{_count(told.pieces, told.piece_name)}, {told.cut}")
        parts = [(_turn(piece.text.encode("utf-8"), n),) for n, piece in enumerate(told.pieces)]
        yield from set_columns(parts, width, between="|")
    merged = [piece for piece in dict.fromkeys(told.pieces) if piece.merges]
    if merged:
        merges = _count([merge for piece in merged for merge in piece.merges], "merge")
        within = _count(merged, f"{'different ' if len(merged) > 1 else ''}{told.piece_name}")
        yield _heading(f"{merges} in {within}, the lowest id first")
        for piece in merged:
            yield from _merge_lines(piece)
    yield _heading(f"{_count(told.tokens, 'token')}{_average(size, len(told.tokens))}")
    ids = [
        (_turn(token.content, number), Text(str(token.token_id), FAINT))
        for number, token in enumerate(told.tokens)
    ]
    yield from set_columns(ids, width)


def _spelled(each: ExplainedCharacter) -> tuple[Text, Text]:
    return Text(shown(each.content)), Text(each.content.hex(" ").upper(), FAINT)


def _names(characters: Sequence[ExplainedCharacter]) -> Iterator[Text]:
    """The characters beyond ASCII, and those that cannot be seen, each once by its name."""
    told = [c for c in dict.fromkeys(characters) if not 0x20 <= c.code_point < 0x7F]
    if told:
        yield Text()
    for each in told:
        mark = shown(each.content)
        yield (
            Text(INDENT)
            .append(mark)
            .append(" " * (4 - cell_len(mark)))
            .append(f"U+{each.code_point:04X}  {each.name}", FAINT)
        )


def _merge_lines(piece: ExplainedPiece) -> Iterator[Text]:
    """A pre-token's bytes, and a line for each merge: its id, the pair, and what stands then."""
    spelled = [bytes([byte]) for byte in piece.text.encode("utf-8")]
    yield Text(INDENT).append(shown(piece.text.encode("utf-8")), "bold")
    rows = [("", "", _state(spelled, None, 0))]
    for merge, state in zip(piece.merges, piece.states(), strict=True):
        pair = f"{shown(merge.left.content)} + {shown(merge.right.content)}"
        contents = [token.content for token in state]
        rows.append((str(merge.made.token_id), pair, _state(contents, merge.made, merge.places[0])))
    first = max(cell_len(row[0]) for row in rows)
    second = max(cell_len(row[1]) for row in rows)
    for token_id, pair, state in rows:
        line = Text(INDENT * 2).append(" " * (first - cell_len(token_id)) + token_id, FAINT)
        line.append(f"  {pair}{' ' * (second - cell_len(pair))}   ").append_text(state)
        yield line


def _state(contents: Sequence[bytes], made: Token | None, place: int) -> Text:
    """The tokens of a pre-token around a place; what was just made stands in brackets."""
    begin = max(place - REACH, 0)
    part = contents[begin : place + REACH + 1]
    line = Text("... " if begin else "")
    for number, content in enumerate(part):
        line.append(" " if number else "")
        if made is not None and content == made.content:
            line.append(f"[{shown(content)}]", MADE)
        else:
            line.append(shown(content))
    return line.append(" ..." if begin + len(part) < len(contents) else "")


def _turn(content: bytes, number: int) -> Text:
    return Text(shown(content), TURNS[number % 2])


def _heading(text: str) -> Text:
    return Text(f"\n{text}", HEADING)


def _count(many: Sequence[object], name: str) -> str:
    return f"{len(many):,} {name}{'' if len(many) == 1 else 's'}"


def _average(size: int, count: int) -> str:
    return f", {size / count:.2f} bytes each" if count else ""
