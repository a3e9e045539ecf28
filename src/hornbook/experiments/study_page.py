"""``report.html`` of a study: the answer, the pictures, the table and all settings on one page.

It stands alone: no script, no font and no picture from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hornbook.experiments.comparison import Comparison
from hornbook.experiments.outcomes import SampledTexts
from hornbook.experiments.study import QUIET
from hornbook.experiments.tables import (
    DIFFERENCES,
    difference_rows,
    headers,
    notes,
    table_rows,
)
from hornbook.inspection.page import Markup, element, facts, joined, page, table
from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import differences, resolve


def study_page(comparison: Comparison, pictures: Sequence[bytes]) -> str:
    """The whole page; ``pictures`` are SVG files."""
    record = comparison.record
    return page(record.study.name, _sections(comparison, pictures))


def _sections(comparison: Comparison, pictures: Sequence[bytes]) -> Iterator[Markup]:
    record = comparison.record
    yield element("h1", record.study.question or record.study.name)
    if record.study.varies:
        yield element("p", record.study.varies, kind="muted")
    for verdict in comparison.verdicts:
        yield element("p", str(verdict))
    for picture in pictures:
        yield element("figure", Markup(_inner(picture)))
    head = headers(comparison)
    yield element("h2", "What each cell came to")
    yield table(head, table_rows(comparison), numbers=head[1:], best=_best_row(comparison))
    yield joined(element("p", note, kind="muted") for note in notes(comparison))
    rows = difference_rows(comparison)
    if rows:
        yield element("h2", "Behind the best, seed by seed")
        yield table(DIFFERENCES, rows, numbers=DIFFERENCES[2:])
    yield from _examples(comparison)
    yield element("h2", "What all cells share")
    yield facts(_shared(comparison))
    yield element("h2", "What each cell changes")
    yield table(("cell", "settings"), _changes(comparison))


def _best_row(comparison: Comparison) -> int | None:
    best = comparison.verdicts[0].best if comparison.verdicts else None
    return comparison.record.cells.index(best) if best is not None else None


def _examples(comparison: Comparison) -> Iterator[Markup]:
    first = [
        one
        for one in comparison.outcomes
        if isinstance(one, SampledTexts) and one.seed == comparison.record.settings.seed
    ]
    if first:
        yield element("h2", "How each cell's first text begins")
    for one in first:
        yield element("div", element("h3", one.cell), element("pre", one.example), kind="sample")


def _shared(comparison: Comparison) -> Iterator[tuple[str, object]]:
    record = comparison.record
    yield "study", record.study.name
    yield "asked for", record.budget or f"{record.tokens:,} tokens a cell"
    yield "seeds", ", ".join(map(str, record.seed_numbers))
    if record.origin:
        yield "given run", record.origin
    yield "fingerprint of the text", element("code", record.corpus_fingerprint)
    usual: RunConfig = resolve(overrides=QUIET)
    for key, (_, value) in differences(usual, record.settings).items():
        yield key, element("code", str(value))


def _changes(comparison: Comparison) -> Iterator[tuple[object, object]]:
    record = comparison.record
    for cell in record.cells:
        changed = differences(record.settings, record.study.cell_config(record.settings, cell))
        words = [f"{key}={value}" for key, (_, value) in changed.items()]
        if record.study.cell(cell).begins_from:
            words.append("begins from the given run")
        yield cell, element("code", " ".join(words) or "as all share them")


def _inner(picture: bytes) -> str:
    """An SVG file without what stands before its first element."""
    text = picture.decode("utf-8")
    return text[text.index("<svg") :]
