"""``report.html``: everything that a run knows about itself, on one page.

A run may be young, or damaged in places; the page says what there is and leaves out the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hornbook.durable import write_durably
from hornbook.errors import HornbookError, RunError
from hornbook.inspection.history import History, parameter_count, read_history, vocabulary
from hornbook.inspection.page import Markup, element, facts, joined, page, table
from hornbook.inspection.report_model import model_sections
from hornbook.inspection.report_text import text_sections
from hornbook.inspection.run_settings import chosen_settings
from hornbook.inspection.training_facts import notes_table, training_facts
from hornbook.runs.checkpoints import Checkpoint
from hornbook.runs.manifest import Session
from hornbook.runs.run import Run

_MEASURED = {
    "step": "step",
    "epoch": "epoch",
    "tokens_seen": "tokens seen",
    "training_loss": "training loss",
    "validation_loss": "validation loss",
    "bits_per_byte": "bits per byte",
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm",
    "tokens_per_second": "tokens/s",
}
"""The columns of the measurements, by their name in ``metrics.jsonl``."""
_DIGITS = {
    "epoch": ".2f",
    "learning_rate": ".2e",
    "gradient_norm": ".2f",
    "tokens_per_second": ",.0f",
}
_NOTHING = "–"


def write_report(run: Run, path: Path | None = None) -> Path:
    """Write the report; returns its path.

    Args:
        run: the run.
        path: of the file; ``report.html`` in the run's folder unless given.

    Raises:
        RunError: when ``run.toml`` or ``manifest.json`` is damaged, or the report cannot be
            written.
    """
    path = path or run.folder.report_file
    content = page(run.name, _sections(run)).encode("utf-8")
    try:
        write_durably(path, content)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _sections(run: Run) -> Iterator[Markup]:
    story = read_history(run)
    yield element("h1", run.name)
    yield element("p", _summary(run, story), kind="muted")
    if story.curve:
        # Only here is matplotlib needed, and loaded.
        from hornbook.inspection.loss_curve import loss_curve_svg
        from hornbook.inspection.training_plots import training_plots_svg

        yield element("figure", Markup(loss_curve_svg(run, story)))
        plots = training_plots_svg(run.metrics())
        if plots is not None:
            yield element("figure", Markup(plots))
    yield facts(_facts(run, story))
    yield from _measurements(story)
    yield from _notes(story)
    yield from _samples(story)
    yield from _settings(run)
    yield from text_sections(run)
    yield from model_sections(run, story)
    yield from _checkpoints(run, story)
    yield from _sessions(run)


def _summary(run: Run, story: History) -> str:
    model = f"A {run.config.model.kind.replace('_', ' ')} model"
    if not story.evaluations:
        return f"{model} that is not trained yet."
    text = f"{model} after {story.evaluations[-1]['step']:,} steps of training."
    if story.best is not None:
        text += f" Best validation loss: {story.best.loss:.3f} nats per token"
        if story.best_bits_per_byte is not None:
            text += f", {story.best_bits_per_byte:.3f} bits per byte"
        text += f", after step {story.best.step:,}."
    return text


def _facts(run: Run, story: History) -> Iterator[tuple[str, object]]:
    parameters = parameter_count(run)
    weights = f", {parameters:,} parameters" if parameters is not None else ""
    yield "model", f"{run.config.model.kind}{weights}"
    yield "context length", f"{run.config.context_length:,} tokens"
    words = vocabulary(run)
    if words is not None:
        yield "tokenizer", words
    yield "corpus", joined(run.config.corpus.files, ", ") if run.config.corpus.files else "none yet"
    split = run.manifest.split or {}
    for side in ("training", "validation"):
        counts = split.get(side)
        if isinstance(counts, dict):
            yield f"{side} text", ", ".join(_counted(n, what) for what, n in counts.items())
    if split:
        yield "split", _split_text(split)
    if run.manifest.fingerprints is not None:
        for name, value in run.manifest.fingerprints.model_dump().items():
            yield f"fingerprint of {name}", element("code", value)
    if story.tokens_seen:
        yield "tokens seen", f"{story.tokens_seen:,}"
    if story.seconds:
        yield "time in training steps", duration(story.seconds)
    yield from training_facts(story.last)
    yield "preset", run.manifest.preset or "none"
    yield "begun", run.manifest.created
    imported = run.manifest.imported_from
    if imported is not None:
        yield "imported from", f"{imported.path} ({imported.form})"
    origin = run.manifest.forked_from
    if origin is not None:
        changed = ", ".join(
            f"{k} from {_json(a)} to {_json(b)}" for k, (a, b) in origin.changed.items()
        )
        yield (
            "forked from",
            f"{origin.run} at step {origin.step:,}; changed: {changed or 'nothing'}",
        )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what.removesuffix('s') if count == 1 else what}"


def _split_text(split: Mapping[str, Any]) -> str:
    text = str(split.get("method", _NOTHING))
    if split.get("divided_at") is not None:
        text += f", one document divided at character {split['divided_at']:,}"
    for key, what in (
        ("duplicates_moved", "documents moved to training because the same text stands there"),
        ("empty_dropped", "empty documents left out"),
    ):
        if split.get(key):
            text += f"; {split[key]:,} {what}"
    return text


def _measurements(story: History) -> Iterator[Markup]:
    if not story.evaluations:
        return
    keys = [key for key in _MEASURED if any(key in entry for entry in story.evaluations)]
    steps = [entry["step"] for entry in story.evaluations]
    headers = [_MEASURED[key] for key in keys]
    yield element("h2", "Measurements")
    yield element(
        "p", "Losses in nats per token; the best validation loss stands out.", kind="muted"
    )
    yield table(
        headers,
        ([_measured(entry, key) for key in keys] for entry in story.evaluations),
        numbers=headers,
        best=steps.index(story.best.step) if story.best is not None else None,
    )


def _measured(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NOTHING
    return format(value, _DIGITS.get(key, ",d" if isinstance(value, int) else ".3f"))


def _notes(story: History) -> Iterator[Markup]:
    headers, rows = notes_table(story.notes)
    if rows:
        yield element("h2", "Notes")
        yield element(
            "p",
            "Steps to look at; notes.jsonl says more of each. Documents are numbered from 0, as "
            "they stand on the training side.",
            kind="muted",
        )
        yield table(headers, rows, numbers=["step", "loss", "usual"])


def _samples(story: History) -> Iterator[Markup]:
    if story.samples:
        yield element("h2", "What it wrote")
    for sample in story.samples:
        prompt = [element("strong", sample.prompt)] if sample.prompt else []
        head = element("h3", f"after step {sample.step:,}")
        yield element("div", head, element("pre", *prompt, sample.text), kind="sample")


def _settings(run: Run) -> Iterator[Markup]:
    name, changed = chosen_settings(run)
    yield element("h2", f"Settings that differ from {name}")
    rows = [
        (element("code", key), element("code", _json(there)), element("code", _json(value)))
        for key, (there, value) in changed.items()
    ]
    if rows:
        yield table(["setting", name, "this run"], rows)
    else:
        yield element("p", "None.")


def _checkpoints(run: Run, story: History) -> Iterator[Markup]:
    checkpoints = run.checkpoints()
    yield element("h2", "Checkpoints")
    if not checkpoints:
        yield element("p", "None yet.")
        return
    best = story.best.step if story.best is not None else None
    steps = [checkpoint.step for checkpoint in checkpoints]
    if best in steps:
        yield element("p", "The one with the best validation loss stands out.", kind="muted")
    yield table(
        ["step", "SHA-256 of the weights"],
        ((f"{c.step:,}", element("code", _checksum(c))) for c in checkpoints),
        numbers=["step"],
        best=steps.index(best) if best in steps else None,
    )


def _checksum(checkpoint: Checkpoint) -> str:
    try:
        return checkpoint.weights_checksum()
    except HornbookError as error:
        return str(error)


def _sessions(run: Run) -> Iterator[Markup]:
    yield element("h2", "Sessions")
    if not run.manifest.sessions:
        yield element("p", "None yet.")
        return
    headers = ["from step", "started", "hardware", "software", "changed"]
    rows = [_session(session) for session in run.manifest.sessions]
    yield table(headers, rows, numbers=["from step"])


def _session(session: Session) -> list[object]:
    changed = (
        f"{key}: {_json(old)} to {_json(new)}" for key, (old, new) in session.changed.items()
    )
    line_break = Markup("<br>")
    return [
        f"{session.from_step:,}",
        session.started,
        joined((f"{name}: {value}" for name, value in session.hardware.items()), line_break),
        joined((f"{name} {value}" for name, value in session.software.items()), line_break),
        joined(changed, line_break) or _NOTHING,
    ]


def duration(seconds: float) -> str:
    """A time in its two largest units.

    >>> duration(7.26), duration(187), duration(3725)
    ('7.3 s', '3 min 7 s', '1 h 2 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _json(value: Any) -> str:
    return _NOTHING if value is None else json.dumps(value, ensure_ascii=False)
