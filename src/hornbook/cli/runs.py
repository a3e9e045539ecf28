"""``hornbook runs`` and ``hornbook show``: what has been trained so far."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornbook.errors import HornbookError, RunError

if TYPE_CHECKING:
    from hornbook.runs.checkpoints import Checkpoint
    from hornbook.runs.run import Run

_PARTS = ("run.toml", "manifest.json", "checkpoints")
"""A folder that holds one of these is, or was, a run."""


def runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the runs lie.")] = Path(
        "runs"
    ),
) -> None:
    """List the runs in a folder.

    \b
    Examples:
      hornbook runs
      hornbook runs experiments/
    """
    from hornbook.cli.screen import print_table

    found = _run_folders(folder)
    if not found:
        print(f"There are no runs in {folder}. Make one with: hornbook train my-text.txt")
        return
    rows, unusable = [], []
    for place in found:
        try:
            rows.append(_row(place))
        except HornbookError as error:
            rows.append([place.name, *["-"] * 6])
            unusable.append(f"{place.name}: {error}")
    headers = ["name", "model", "parameters", "step", "best loss", "bits per byte", "size"]
    print_table(headers, rows, numbers=headers[2:])
    if unusable:
        print("\nNot usable as they are:")
        for reason in unusable:
            print(f"  {reason}")


def show(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="A run's folder."),
    ],
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the loss curve into this file.")
    ] = None,
) -> None:
    """Show what a run is: model, text, settings, losses and weights.

    \b
    Examples:
      hornbook show runs/poems-tiny
      hornbook show runs/poems-tiny --svg loss.svg
    """
    from hornbook.runs.run import open_run

    opened = open_run(run)
    print(f"{opened.name}  {opened.path}")
    for name, text in _facts(opened):
        print(f"{name:<13}{text}")
    if svg is not None:
        from hornbook.inspection import draw_loss_curve

        draw_loss_curve(opened, svg)


def _run_folders(folder: Path) -> list[Path]:
    """The folders of runs below ``folder``, or itself if it is one; half-made ones included."""
    if not folder.is_dir():
        if folder == Path("runs"):
            return []
        raise RunError(f"There is no folder {folder}; runs are made under runs/ unless --out says.")
    if any((folder / part).exists() for part in _PARTS):
        return [folder]
    return [
        place
        for place in sorted(folder.iterdir())
        if not place.name.startswith(".") and any((place / part).exists() for part in _PARTS)
    ]


def _row(place: Path) -> list[str]:
    from hornbook.cli.screen import quantity
    from hornbook.runs.run import open_run

    run = open_run(place)
    checkpoints = run.checkpoints()
    if not checkpoints:
        raise RunError(f"no checkpoint yet; go on with: hornbook train --resume {place}")
    newest = checkpoints[-1]
    best = newest.state().best or {}
    return [
        run.name,
        run.config.model.kind,
        f"{newest.parameter_count():,}",
        f"{newest.step:,}",
        _number(best.get("validation_loss")),
        _number(best.get("bits_per_byte")),
        quantity(run.size(), "B"),
    ]


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    """What a run is, without anything that depends on when, where or how fast it was trained.

    A run that was interrupted and resumed shows the same as one that never was. Therefore
    only the newest and the best checkpoint are named: which others lie there depends on
    where it stopped.
    """
    checkpoints = run.checkpoints()
    weights = f", {checkpoints[-1].parameter_count():,} parameters" if checkpoints else ""
    yield "model", f"{run.config.model.kind}{weights}"
    yield "corpus", ", ".join(run.config.corpus.files) or "none yet"
    yield from _split_facts(run.manifest.split or {})
    if run.folder.tokenizer_file.exists():
        yield "vocabulary", f"{run.tokenizer.vocab_size:,} entries ({run.tokenizer.kind})"
    if checkpoints:
        yield from _training_facts(run, checkpoints[-1])
    else:
        yield "checkpoints", f"none yet; go on with: hornbook train --resume {run.path}"
    imported = run.manifest.imported_from
    if imported is not None:
        yield "imported", f"from {imported.path} ({imported.form})"
    origin = run.manifest.forked_from
    if origin is not None:
        yield "forked from", f"{origin.run}@{origin.step}"
        for key, (old, new) in origin.changed.items():
            yield "", f"{key} from {_toml(old)} to {_toml(new)}"
    start = run.manifest.warm_start
    if start is not None:
        yield "begun from", f"{start.run}@{start.step}, {len(start.taken)} tensors taken"
        for name, rows in start.by_token.items():
            yield "", f"{name}: the rows of {rows:,} tokens"
        for name, reason in start.left.items():
            yield "", f"{name}: as drawn, {reason}"
    yield from _setting_facts(run)


def _split_facts(split: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if split:
        yield "split", str(split["method"])
        for side in ("training", "validation"):
            counts = split[side]
            words = [f"{counts[unit]:,} {unit}" for unit in ("documents", "characters", "bytes")]
            yield f"  {side}", ", ".join(words)


def _training_facts(run: Run, newest: Checkpoint) -> Iterator[tuple[str, str]]:
    from hornbook.cli.screen import measurement_text

    state = newest.state()
    last = run.config.training.steps if run.config.model.kind != "bigram_counts" else 1
    yield "step", f"{newest.step:,} of {last:,}"
    yield "tokens seen", f"{state.tokens_seen:,}"
    if state.best is not None:
        yield "best", measurement_text(state.best)
    # A killed run may have measured beyond its newest checkpoint; that will be done again.
    entries = [entry for entry in run.metrics() if entry["step"] <= newest.step]
    if entries:
        yield "last", measurement_text(entries[-1])
    best_step = f"best at step {state.best['step']:,}, " if state.best else ""
    yield "checkpoints", f"{best_step}newest at step {newest.step:,}"
    yield "weights", f"SHA-256 {newest.weights_checksum()}"


def _setting_facts(run: Run) -> Iterator[tuple[str, str]]:
    from hornbook.inspection.run_settings import chosen_settings

    name, changed = chosen_settings(run)
    lines = [f"{key} = {_toml(new)}" for key, (_, new) in changed.items() if new is not None]
    yield "settings", f"those of {name}" + (", except:" if lines else "")
    for line in lines:
        yield "", line


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
