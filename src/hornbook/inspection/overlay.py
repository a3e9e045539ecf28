"""Several runs on one page: their curves over each other, what they reached, where they differ.

    hornbook report runs/a runs/b

Each run is what it is; a difference between two of them may be chance, which only several seeds
can tell: that is what ``hornbook compare`` is for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hornbook.durable import write_durably
from hornbook.errors import RunError
from hornbook.inspection.history import History, parameter_count, read_history
from hornbook.inspection.overlay_plot import Curve, overlay_svg, swatch
from hornbook.inspection.page import Markup, element, joined, page, table
from hornbook.inspection.report import duration
from hornbook.runs.resolution import settings_keys
from hornbook.runs.run import Run

_NOTHING = "–"
_LABELS = {
    "validation_loss": "validation loss [nats per token]",
    "bits_per_byte": "validation loss [bits per byte]",
}


def write_overlay(runs: Sequence[Run], path: Path) -> None:
    """Write the page.

    Args:
        runs: two or more.
        path: of the file; what is there is replaced.

    Raises:
        RunError: when a run's settings are damaged, or the page cannot be written.
    """
    names = told_apart([run.path for run in runs])
    content = page("Runs side by side", _sections(runs, names)).encode("utf-8")
    try:
        write_durably(path, content)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}.") from error


def told_apart(paths: Sequence[Path]) -> list[str]:
    """A name for each run: the last part of its path, with as much before it as it takes.

    >>> told_apart([Path("a/poems"), Path("b/poems")])
    ['a/poems', 'b/poems']
    >>> told_apart([Path("runs/poems"), Path("runs/plays")])
    ['poems', 'plays']
    """
    parts = [path.absolute().parts for path in paths]
    longest = max(len(part) for part in parts)
    for count in range(1, longest):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return ["/".join(part) for part in parts]


def _sections(runs: Sequence[Run], names: Sequence[str]) -> Iterator[Markup]:
    stories = [read_history(run) for run in runs]
    same = len({_tokenizer(run) for run in runs}) == 1
    yield element("h1", "Runs side by side")
    yield from _curves(runs, names, "validation_loss" if same else "bits_per_byte")
    yield from _results(runs, names, stories, same=same)
    yield from _settings(runs, names)
    yield from _samples(names, stories)


def _tokenizer(run: Run) -> str:
    found = run.manifest.fingerprints
    return found.tokenizer if found is not None else str(run.path)


def _curves(runs: Sequence[Run], names: Sequence[str], measure: str) -> Iterator[Markup]:
    curves = [Curve(name, run.metrics()) for name, run in zip(names, runs, strict=True)]
    picture = overlay_svg(curves, measure, _LABELS[measure])
    what = "Validation loss in nats per token."
    if measure == "bits_per_byte":
        what = (
            "Validation loss in bits per byte, since a token of one run's vocabulary is not the "
            "same amount of text as another's."
        )
    if picture is None:
        yield element("p", "None of them has measured its validation text yet.", kind="muted")
        return
    yield element("p", what, kind="muted")
    marks = (joined((Markup(swatch(n)), name), " ") for n, name in enumerate(names))
    yield element("p", joined(marks, " \u2003 "))
    yield element("figure", Markup(picture))


def _results(
    runs: Sequence[Run], names: Sequence[str], stories: Sequence[History], *, same: bool
) -> Iterator[Markup]:
    headers = [
        "", "run", "parameters", "steps", "tokens seen", "time", "best loss", "at step",
        "bits per byte",
    ]  # fmt: skip
    rows = [
        [Markup(swatch(number)), name, *_reached(run, story)]
        for number, (run, name, story) in enumerate(zip(runs, names, stories, strict=True))
    ]
    reached = [
        story.best.loss if same and story.best else story.best_bits_per_byte for story in stories
    ]
    known = [value for value in reached if value is not None]
    best = reached.index(min(known)) if known else None
    yield element("h2", "What they reached")
    yield table(headers, rows, numbers=headers[2:], best=best)
    yield element(
        "p",
        "The lowest stands out. Whether it is better than chance, one run of each cannot tell: "
        "hornbook compare trains several seeds.",
        kind="muted",
    )
    texts = {run.manifest.fingerprints.corpus for run in runs if run.manifest.fingerprints}
    splits = {run.manifest.fingerprints.split for run in runs if run.manifest.fingerprints}
    if len(texts) > 1 or len(splits) > 1:
        what = "trained on different texts" if len(texts) > 1 else "split their text differently"
        yield element("p", f"These runs {what}, so their losses are of different validation texts.")


def _reached(run: Run, story: History) -> list[str]:
    parameters, best = parameter_count(run), story.best
    bits = story.best_bits_per_byte
    return [
        _NOTHING if parameters is None else f"{parameters:,}",
        f"{story.last['step']:,}" if story.last else _NOTHING,
        f"{story.tokens_seen:,}" if story.tokens_seen else _NOTHING,
        duration(story.seconds) if story.seconds else _NOTHING,
        _NOTHING if best is None else f"{best.loss:.3f}",
        _NOTHING if best is None else f"{best.step:,}",
        _NOTHING if bits is None else f"{bits:.3f}",
    ]


def _settings(runs: Sequence[Run], names: Sequence[str]) -> Iterator[Markup]:
    """A row for each setting in which not all runs are the same."""
    chosen = [dict(settings_keys(run.config)) for run in runs]
    keys = list(dict.fromkeys(key for settings in chosen for key in settings))
    told = {key: [_told(settings, key) for settings in chosen] for key in keys}
    rows = [
        [element("code", key), *(element("code", value) for value in values)]
        for key, values in told.items()
        if len(set(values)) > 1
    ]
    yield element("h2", "Settings in which they differ")
    if rows:
        yield table(["setting", *names], rows)
    else:
        yield element("p", "None.")


def _told(settings: dict[str, Any], key: str) -> str:
    value = settings.get(key)
    if value is None:
        return _NOTHING
    if isinstance(value, tuple):
        value = list(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _samples(names: Sequence[str], stories: Sequence[History]) -> Iterator[Markup]:
    if not any(story.samples for story in stories):
        return
    yield element("h2", "What they wrote last")
    for name, story in zip(names, stories, strict=True):
        for sample in story.samples[-1:]:
            prompt = [element("strong", sample.prompt)] if sample.prompt else []
            head = element("h3", f"{name}, after step {sample.step:,}")
            yield element("div", head, element("pre", *prompt, sample.text), kind="sample")
