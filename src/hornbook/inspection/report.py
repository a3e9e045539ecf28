"""``report.html``: everything there is to know of a run, on one page that needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from hornbook.durable import write_durably
from hornbook.errors import HornbookError, RunError
from hornbook.inspection.loss_curve import loss_curve_svg
from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import differences
from hornbook.runs.run import Run

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --quiet: #66707c; --paper: #fffdf8;
  --line: #ddd6c8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e1d6; --quiet: #a39e93;
  --paper: #1c1b19; --line: #3d3a35; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .15rem 1.2rem .15rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--quiet); } td.number { text-align: right; }
pre { white-space: pre-wrap; border-left: 3px solid var(--line); padding-left: .8rem; }
svg { max-width: 100%; height: auto; } .quiet { color: var(--quiet); }
"""


def write_report(run: Run) -> Path:
    """Write ``report.html`` into the run's folder; returns its path.

    A run that has no measurements, samples or checkpoints yet gets a page that says so.

    Raises:
        RunError: when the run is damaged or the file cannot be written.
    """
    parts = [
        f"<h1>{escape(run.name)}</h1>",
        _facts(run),
        _section("Loss", _curve(run)),
        _section("Measurements", _measurements(run)),
        _section("Samples", _samples(run)),
        _section("Settings that differ from the defaults", _settings(run)),
        _section("Checkpoints", _checkpoints(run)),
        _section("Sessions", _sessions(run)),
    ]
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(run.name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )
    try:
        write_durably(run.folder.report_file, page.encode("utf-8"))
    except OSError as error:
        raise RunError(
            f"{run.folder.report_file} cannot be written: {error.strerror or error}."
        ) from error
    return run.folder.report_file


def _facts(run: Run) -> str:
    config, split = run.config, run.manifest.split or {}
    rows = [("model", config.model.kind), ("corpus", ", ".join(config.corpus.files))]
    for side in ("training", "validation"):
        counts = split.get(side)
        if counts:
            words = [f"{counts[unit]:,} {unit}" for unit in ("documents", "characters", "bytes")]
            rows.append((f"{side} text", ", ".join(words)))
    if run.folder.tokenizer_file.is_file():
        rows.append(("vocabulary", f"{run.tokenizer.vocab_size:,} entries ({run.tokenizer.kind})"))
    checkpoints = run.checkpoints()
    if checkpoints:
        state = checkpoints[-1].state()
        rows.append(("steps", f"{state.step:,}"))
        rows.append(("tokens seen", f"{state.tokens_seen:,}"))
        rows.append(("time in training", f"{state.seconds:,.1f} s"))
    origin = run.manifest.forked_from
    if origin is not None:
        rows.append(("forked from", f"{origin.run} at step {origin.step:,}"))
    return _table((), rows)


def _curve(run: Run) -> str:
    try:
        return loss_curve_svg(run)
    except HornbookError:
        return _nothing("nothing was measured yet")


def _measurements(run: Run) -> str:
    measured = [entry for entry in run.metrics() if "validation_loss" in entry]
    if not measured:
        return _nothing("no measurement on the validation side yet")
    names = ("step", "epoch", "training_loss", "validation_loss", "bits_per_byte")
    return _table(
        [n.replace("_", " ") for n in names], [[e.get(n) for n in names] for e in measured]
    )


def _samples(run: Run) -> str:
    entries = list(run.folder.samples.entries())
    if not entries:
        return _nothing("none yet")
    return "\n".join(
        f'<p class="quiet">step {entry["step"]:,}</p>'
        f"<pre>{escape(str(entry.get('prompt', '')))}{escape(str(entry.get('text', '')))}</pre>"
        for entry in entries
    )


def _settings(run: Run) -> str:
    changed = differences(RunConfig(), run.config)
    rows = [
        (key, json.dumps(new, ensure_ascii=False), json.dumps(old, ensure_ascii=False))
        for key, (old, new) in changed.items()
        if new is not None
    ]
    return _table(("setting", "value", "default"), rows) if rows else _nothing("none")


def _checkpoints(run: Run) -> str:
    rows = []
    for checkpoint in run.checkpoints():
        try:
            checksum = checkpoint.weights_checksum()
        except HornbookError as error:
            checksum = str(error)
        rows.append((checkpoint.step, checksum))
    return _table(("step", "SHA-256 of the weights"), rows) if rows else _nothing("none yet")


def _sessions(run: Run) -> str:
    rows = [
        (
            session.started,
            session.from_step,
            ", ".join(f"{name} {value}" for name, value in session.software.items()),
            ", ".join(f"{name}: {value}" for name, value in session.hardware.items()),
        )
        for session in run.manifest.sessions
    ]
    if not rows:
        return _nothing("none yet")
    return _table(("started", "from step", "software", "hardware"), rows)


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _nothing(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>'


def _table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    lines = [f"<tr>{head}</tr>"] if head else []
    lines += [f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _cell(value: Any) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"<td>{escape(str(value))}</td>"
    text = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
    return f'<td class="number">{text}</td>'
