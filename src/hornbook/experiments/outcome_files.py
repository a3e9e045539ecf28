"""What a study found, as files: a row for each run, a table to read, plots, and a page.

results.csv, results.parquet    every run: what it was trained on and what it came to
curves.csv, curves.parquet      the validation loss on the way, where it was measured
table.md                        means with intervals, the verdict
plot.svg, plot.png              and curves.svg, curves.png
report.html                     all of it on one page, without network
"""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from hornbook.durable import write_durably
from hornbook.errors import RunError
from hornbook.experiments.comparison import Comparison
from hornbook.experiments.outcomes import KINDS
from hornbook.experiments.study_page import study_page
from hornbook.experiments.tables import markdown

CURVE_COLUMNS = ("cell", "seed", "steps", "bits_per_byte")
"""The columns of ``curves.csv``."""


def write_outcome(comparison: Comparison) -> None:
    """Write every file of the outcome, each whole.

    Raises:
        RunError: when one cannot be written.
    """
    # here, because matplotlib takes its time
    from hornbook.experiments.curve_plot import drawn_curves
    from hornbook.experiments.plot import drawn

    files = {
        **_tables("results", *_result_rows(comparison)),
        "table.md": markdown(comparison).encode("utf-8"),
        "plot.svg": drawn(comparison, "svg"),
        "plot.png": drawn(comparison, "png"),
    }
    pictures = [files["plot.svg"]]
    curves = curve_rows(comparison) if comparison.record.study.curve_points else []
    if curves:
        files |= _tables("curves", CURVE_COLUMNS, curves)
        files |= {f"curves.{form}": drawn_curves(comparison, form) for form in ("svg", "png")}
        pictures.append(files["curves.svg"])
    files["report.html"] = study_page(comparison, pictures).encode("utf-8")
    for name, content in files.items():
        try:
            write_durably(comparison.folder / name, content)
        except OSError as error:
            raise RunError(
                f"{comparison.folder / name} cannot be written: {error.strerror or error}."
            ) from error


def curve_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row for each measurement on the way."""
    return [
        dict(zip(CURVE_COLUMNS, (one.cell, one.seed, *point), strict=True))
        for one in comparison.measurements
        for point in one.curve
    ]


def _result_rows(comparison: Comparison) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    kind = KINDS[comparison.record.study.kind]
    columns = tuple(name for name in kind.model_fields if name != "curve")
    rows = [one.model_dump(exclude={"curve"}) for one in comparison.outcomes]
    if comparison.record.study.kind == "training":
        columns = (*columns, "tokens_per_second", "diverged")
        for row, one in zip(rows, comparison.measurements, strict=True):
            row |= {"tokens_per_second": one.tokens_per_second, "diverged": one.diverged}
    return columns, rows


def _tables(stem: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> dict[str, bytes]:
    """The same rows as CSV and as Parquet."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    buffer = io.BytesIO()
    schema = pa.schema([(name, _kind(name, rows)) for name in columns])
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    return {f"{stem}.csv": text.getvalue().encode("utf-8"), f"{stem}.parquet": buffer.getvalue()}


def _kind(name: str, rows: list[dict[str, Any]]) -> pa.DataType:
    """The type of a column: that of the values that there are; a number where there is none."""
    kinds = {str: pa.string(), bool: pa.bool_(), int: pa.int64()}
    found = {type(row[name]) for row in rows if row[name] is not None}
    return kinds.get(found.pop(), pa.float64()) if len(found) == 1 else pa.float64()
