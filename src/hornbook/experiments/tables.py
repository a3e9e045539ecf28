"""What a study found, in rows of words: the table, what a reader must know beside it, Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from hornbook.experiments.comparison import Comparison, Verdict
from hornbook.experiments.outcomes import SampledTexts

TRAINED = ("steps", "rows a step", "real tokens", "epochs", "training [seconds]")
"""Columns that say how a cell was trained."""
SAMPLED = ("texts", "tokens", "sampling [seconds]")
"""Columns that say what was sampled."""


def headers(comparison: Comparison) -> tuple[str, ...]:
    """The heads of the columns; intervals are 95 %, by Student's t over the seeds."""
    measures = (measure.header for measure in comparison.record.measures)
    return ("cell", *measures, *(SAMPLED if _is_decoding(comparison) else TRAINED))


def table_rows(comparison: Comparison) -> list[list[str]]:
    """A row of words for each cell, under ``headers``."""
    rows = []
    for cell in comparison.record.cells:
        row = [cell, *(_value(comparison, verdict, cell) for verdict in comparison.verdicts)]
        rows.append(row + _facts(comparison, cell))
    return rows


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know beside the table, a sentence each."""
    said = [*(_sampled if _is_decoding(comparison) else _trained)(comparison)]
    said.append(
        "Intervals beside a mean are 95 % over seeds. Seeds move all cells together, so the "
        "verdict compares seed by seed and is corrected for the number of pairs."
    )
    said += [f"{name} is left out: {why}" for name, why in comparison.record.left_out.items()]
    for cell in comparison.record.cells:
        fate = comparison.fate(cell)
        reason = comparison.failed.get(cell, "it ended no better than guessing")
        if fate:
            said.append(f"{cell} {fate} and is not part of the verdict: {reason}")
    return said


def markdown(comparison: Comparison) -> str:
    """The table, the verdicts, the notes and the differences as Markdown."""
    record, head = comparison.record, headers(comparison)
    lines = [f"# {record.study.question or record.study.name}", ""]
    lines += _markdown_table(head, table_rows(comparison))
    lines += ["", *(f"- {verdict}" for verdict in comparison.verdicts), ""]
    lines += [f"- {note}" for note in notes(comparison)]
    rows = difference_rows(comparison)
    if rows:
        lines += ["", "Behind the best, seed by seed:", ""]
        lines += _markdown_table(DIFFERENCES, rows)
    return "\n".join(lines) + "\n"


DIFFERENCES = ("measure", "cell", "behind the best by", "p, corrected")
"""The columns of ``difference_rows``."""


def difference_rows(comparison: Comparison) -> list[list[str]]:
    """By how much each cell is behind the best, by every measure."""
    rows = []
    for verdict in comparison.verdicts:
        shown = verdict.measure.shown
        for name in verdict.distances:
            pair = verdict.difference(name, verdict.best or "")
            if pair is not None:
                p = next(d.p for k, d in verdict.pairs.items() if set(k) == {name, verdict.best})
                behind = f"{shown(pair[0])} ± {shown(pair[1])}"
                rows.append([verdict.measure.title, name, behind, f"{p:.2g}"])
    return rows


def _value(comparison: Comparison, verdict: Verdict, cell: str) -> str:
    value = verdict.estimates.get(cell)
    if value is None:
        if fate := comparison.fate(cell):
            return fate
        reached = verdict.measure.name == "steps_to_loss" and comparison.of(cell)
        return "not with every seed" if reached else "-"
    shown = verdict.measure.shown
    if value.half_width is None:
        return shown(value.mean)
    return f"{shown(value.mean)} ± {shown(value.half_width)}"


def _facts(comparison: Comparison, cell: str) -> list[str]:
    """The last columns of a row."""
    if _is_decoding(comparison):
        texts = [one for one in comparison.of(cell) if isinstance(one, SampledTexts)]
        return [
            _span([one.texts for one in texts]),
            _span([one.tokens for one in texts]),
            _mean([one.seconds for one in texts], "{:.1f}"),
        ]
    found = comparison.trained(cell)
    return [
        _span([one.steps for one in found]),
        f"{comparison.record.plan[cell].batch_size:,}",
        _span([one.tokens for one in found]),
        _mean([one.epochs for one in found], "{:.2f}"),
        _mean([one.training_seconds for one in found], "{:.1f}"),
    ]


def _trained(comparison: Comparison) -> Iterator[str]:
    record = comparison.record
    seeds = "1 seed" if record.seeds == 1 else f"{record.seeds} seeds"
    yield (
        f"Each cell was trained with {seeds} on about {record.tokens:,} real "
        "tokens (targets that count)."
    )
    if record.same_initial_weights:
        yield "For a seed, all cells began with the same weights."
    elif record.tensors_in_common:
        yield (
            f"For a seed, {record.tensors_alike} of the {record.tensors_in_common} tensors that "
            "all cells have (by name and shape) began with the same numbers."
        )
    else:
        yield "The cells began with different weights, since their sizes differ."
    if record.origin:
        yield f"Cells that begin from a run began from {record.origin}."
    yield (
        f"Bits per byte are those of up to {record.evaluated_tokens:,} validation tokens, each "
        "predicted once with as much before it as the context holds; with equal tokenizers the "
        "tokens are the same for all."
    )


def _sampled(comparison: Comparison) -> Iterator[str]:
    record = comparison.record
    if record.origin:
        yield f"All texts were sampled from {record.origin}."
    else:
        yield f"All texts were sampled from one run, trained on about {record.tokens:,} tokens."
    yield (
        "A seed stands for other draws from this same model. The cell real-text holds pieces of "
        "the validation text, as many and as long; the best cell is the one nearest to it."
    )


def _is_decoding(comparison: Comparison) -> bool:
    return comparison.record.study.kind == "decoding"


def _markdown_table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _span(numbers: list[int]) -> str:
    if not numbers:
        return "-"
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _mean(numbers: list[float], form: str) -> str:
    return form.format(sum(numbers) / len(numbers)) if numbers else "-"
