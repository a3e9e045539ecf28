"""One line of the comparison: what was measured, beside what, and whether that is enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["MB/s", "µs", "s", "MB"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a row must reach, and what it should.

    Attributes:
        must, goal: the two bounds, each may be absent.
        of: ``ratio`` bounds how many times better than the peer; ``value`` our own figure.
    """

    must: float | None = None
    goal: float | None = None
    of: Literal["ratio", "value"] = "ratio"


@dataclass(frozen=True, slots=True)
class Row:
    """Our median beside one peer's, of the same text in the same run.

    Attributes:
        section: the heading it stands under.
        subject: what was done with which text.
        unit: of both figures; more is better for ``MB/s``, less for the others.
        ours: our median.
        peer, theirs: the name of the peer, empty without one, and its median.
        target: what the row is held to, if anything.
        note: what a reader must know about this row, such as ids that differ.
    """

    section: str
    subject: str
    unit: Unit
    ours: float
    peer: str = ""
    theirs: float | None = None
    target: Target | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer.

        >>> Row("encode", "books", "MB/s", 400.0, "tokie", 100.0).ratio
        4.0
        >>> Row("train", "books", "s", 2.0, "rustbpe", 10.0).ratio
        5.0
        """
        if self.theirs is None:
            return None
        return self.ours / self.theirs if self.unit == "MB/s" else self.theirs / self.ours

    @property
    def reached(self) -> Literal["goal", "must", "missed", ""]:
        """The highest bound that holds; ``missed`` if none does, empty without a target.

        >>> Row("train", "memory", "MB", 240.0, target=Target(260, 200, of="value")).reached
        'must'
        >>> Row("encode", "books", "MB/s", 2.0, "tokie", 1.0, Target(3, 5)).reached
        'missed'
        """
        if self.target is None:
            return ""
        measured = self.ratio if self.target.of == "ratio" else self.ours
        less_is_better = self.target.of == "value" and self.unit != "MB/s"
        if measured is not None:
            for name in ("goal", "must"):
                bound = getattr(self.target, name)
                holds = bound is not None and (
                    measured <= bound if less_is_better else measured >= bound
                )
                if holds:
                    return name
        return "missed"


def shown(value: float, unit: str) -> str:
    """Return a figure with its unit and about three digits.

    >>> shown(515.4, "MB/s"), shown(6.62, "µs"), shown(0.5612, "s")
    ('515 MB/s', '6.6 µs', '0.56 s')
    """
    digits = 0 if value >= 100 else 1 if value >= 2 else 2
    return f"{value:,.{digits}f} {unit}"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as the texts of its columns: subject, ours, peer, ratio, must, goal, reached.

    >>> cells(Row("encode", "books", "MB/s", 400.0, "tokie", 100.0, Target(3, 5)))
    ('books', '400 MB/s', 'tokie 100 MB/s', '4.0 ×', '3 ×', '5 ×', 'must')
    """
    target = row.target or Target()
    unit = "×" if target.of == "ratio" else row.unit
    bounds = ("" if bound is None else f"{bound:g} {unit}" for bound in (target.must, target.goal))
    peer = "" if row.theirs is None else f"{row.peer} {shown(row.theirs, row.unit)}"
    ratio = "" if row.ratio is None else shown(row.ratio, "×")
    subject = f"{row.subject} ({row.note})" if row.note else row.subject
    return (subject, shown(row.ours, row.unit), peer, ratio, *bounds, row.reached)


def line(row: Row) -> str:
    """Return a row for a terminal.

    >>> line(Row("Decoding", "books", "MB/s", 400.0, note="on 1 MB")).split()
    ['books', '400', 'MB/s', '(on', '1', 'MB)']
    """
    _, ours, peer, ratio, must, goal, reached = cells(row)
    bounds = " / ".join(bound for bound in (must, goal) if bound)
    target = f"{bounds}: {reached}" if reached else ""
    note = f"  ({row.note})" if row.note else ""
    return f"{row.subject:44} {ours:>10}   {peer:32} {ratio:>7}  {target:24}{note}".rstrip()


def markdown(rows: Iterable[Row]) -> str:
    """Return rows as Markdown, one table a section, in the order they come.

    >>> print(markdown([Row("Decoding", "books", "MB/s", 400.0, "tiktoken", 100.0)]))
    ### Decoding
    <BLANKLINE>
    | | hornbook | beside | ratio | must | goal | reached |
    |---|--:|--:|--:|--:|--:|---|
    | books | 400 MB/s | tiktoken 100 MB/s | 4.0 × |  |  |  |
    """
    sections: dict[str, list[str]] = {}
    for row in rows:
        table = sections.setdefault(
            row.section,
            [
                f"### {row.section}",
                "",
                "| | hornbook | beside | ratio | must | goal | reached |",
                "|---|--:|--:|--:|--:|--:|---|",
            ],
        )
        table.append(f"| {' | '.join(cells(row))} |")
    return "\n\n".join("\n".join(table) for table in sections.values())
