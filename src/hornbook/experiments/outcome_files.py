"""What a study found, as files: a row for each run, a table to read, and a plot.

results.csv, results.parquet    every run: what it was trained on and what it came to
table.md                        means with intervals, the verdict, how to do it again
plot.svg, plot.png
"""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from hornbook.durable import write_durably
from hornbook.errors import RunError
from hornbook.experiments.comparison import MEASURES, Comparison
from hornbook.experiments.record import Measurement

HEADERS = (
    "cell",
    *(f"{name} [bits per byte]" for name in MEASURES.values()),
    "steps",
    "rows a step",
    "real tokens",
    "epochs",
    "training [seconds]",
)
"""The columns of the table; intervals are 95 %, by Student's t over the seeds."""


def write_outcome(comparison: Comparison) -> None:
    """Write every file of the outcome, each whole.

    Raises:
        RunError: when one cannot be written.
    """
    from hornbook.experiments.plot import drawn  # here, because matplotlib takes its time

    files = {
        "results.csv": _csv(comparison),
        "results.parquet": _parquet(comparison),
        "table.md": markdown(comparison).encode("utf-8"),
        "plot.svg": drawn(comparison, "svg"),
        "plot.png": drawn(comparison, "png"),
    }
    for name, content in files.items():
        try:
            write_durably(comparison.folder / name, content)
        except OSError as error:
            raise RunError(
                f"{comparison.folder / name} cannot be written: {error.strerror or error}."
            ) from error


def table_rows(comparison: Comparison) -> list[list[str]]:
    """A row of words for each cell, under ``HEADERS``."""
    rows = []
    for cell in comparison.record.cells:
        found = comparison.of(cell)
        row = [cell]
        for verdict in comparison.verdicts:
            value = verdict.estimates.get(cell)
            if value is None:
                row.append("stopped early" if cell in comparison.failed else "-")
            elif value.half_width is None:
                row.append(f"{value.mean:.3f}")
            else:
                row.append(f"{value.mean:.3f} ± {value.half_width:.3f}")
        row.append(_span([one.steps for one in found]))
        row.append(f"{comparison.record.plan[cell].batch_size:,}")
        row.append(_span([one.tokens for one in found]))
        row.append(_mean([one.epochs for one in found], "{:.2f}"))
        row.append(_mean([one.training_seconds for one in found], "{:.1f}"))
        rows.append(row)
    return rows


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know beside the table, a sentence each."""
    record = comparison.record
    said = [
        f"Each cell was trained with {record.seeds} seeds on about {record.tokens:,} real "
        "tokens (targets that count).",
        "For a seed, all cells began with the same weights."
        if record.same_initial_weights
        else "The cells began with different weights, since their sizes differ.",
        f"Both measures predict each of up to {record.evaluated_tokens:,} validation tokens once, "
        "with as much before it as the context holds; the tokens are the same for all.",
        "Intervals beside a mean are 95 % over seeds. Seeds move all cells together, so the "
        "verdict compares seed by seed and is corrected for the number of pairs.",
    ]
    said += [f"{name} is left out: {reason}" for name, reason in record.left_out.items()]
    said += [f"{name} stopped early, {reason}" for name, reason in comparison.failed.items()]
    return said


def markdown(comparison: Comparison) -> str:
    """The table, the verdicts and the notes as Markdown."""
    record = comparison.record
    lines = [f"# {record.study.question or record.study.name}", ""]
    lines += ["| " + " | ".join(HEADERS) + " |", "|---|" + "---:|" * (len(HEADERS) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in table_rows(comparison)]
    lines += ["", *(f"- {verdict}" for verdict in comparison.verdicts), ""]
    lines += [f"- {note}" for note in notes(comparison)]
    lines += ["", "Differences from the best, seed by seed:", ""]
    lines += ["| measure | cell | more bits per byte | p, corrected |", "|---|---|---:|---:|"]
    for verdict in comparison.verdicts:
        for name in verdict.estimates:
            pair = verdict.difference(name, verdict.best or "")
            if pair is not None:
                p = next(d.p for k, d in verdict.pairs.items() if set(k) == {name, verdict.best})
                lines.append(
                    f"| {MEASURES[verdict.measure]} | {name} | {pair[0]:+.4f} ± {pair[1]:.4f} "
                    f"| {p:.2g} |"
                )
    return "\n".join(lines) + "\n"


def _csv(comparison: Comparison) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(Measurement.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(comparison))
    return text.getvalue().encode("utf-8")


def _parquet(comparison: Comparison) -> bytes:
    kinds = {"str": pa.string(), "int": pa.int64()}
    schema = pa.schema(
        [
            (name, kinds.get(getattr(field.annotation, "__name__", ""), pa.float64()))
            for name, field in Measurement.model_fields.items()
        ]
    )
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(_rows(comparison), schema=schema), buffer)
    return buffer.getvalue()


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    return [one.model_dump() for one in comparison.measurements]


def _span(numbers: list[int]) -> str:
    if not numbers:
        return "-"
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _mean(numbers: list[float], form: str) -> str:
    return form.format(sum(numbers) / len(numbers)) if numbers else "-"
