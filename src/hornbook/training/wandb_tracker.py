"""A run in Weights & Biases; nothing leaves the machine unless its owner says so.

    runs/NAME/wandb/offline-run-…-ID/    later, if wanted: wandb sync runs/NAME/wandb/latest-run
    WANDB_MODE=online hornbook train …   sends while it trains

Every session has the same ID (``wandb/hornbook-id``), so it is one run there. A session on this
machine tells all of the run, so the newest is enough. One that is sent tells only what the server
does not have: it keeps the first value of each step, which training again gives once more.
"""

from __future__ import annotations

import html
import os
import secrets
from collections.abc import Callable
from importlib import import_module
from typing import Any

from hornbook.durable import write_durably
from hornbook.errors import RunError
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.training.tracking import Line, sample_text, scalars


class WandbTracker:
    """Logs to a run of wandb.

    Args:
        run: what ``wandb.init`` gave.
        page: makes what wandb shows out of HTML.
    """

    def __init__(self, run: Any, page: Callable[[str], Any]) -> None:
        self._run, self._page, self._first = run, page, run.step

    def measured(self, entry: Line) -> None:
        """Show the numbers of a line of metrics."""
        self._log(entry["step"], scalars(entry))

    def sampled(self, entry: Line) -> None:
        """Show a text that the model wrote, as text: it may hold anything."""
        self._log(entry["step"], {"sample": self._page(_verbatim(sample_text(entry)))})

    def flush(self) -> None:
        """Do nothing: wandb's own process has been told, and outlives this one."""

    def close(self) -> None:
        """Wait until everything is written, or sent."""
        self._run.finish()

    def _log(self, step: int, values: dict[str, Any]) -> None:
        if step >= self._first:
            self._run.log(values, step=step)


def open_tracker(folder: RunFolder, config: RunConfig, created: str) -> WandbTracker:
    """A tracker that goes on with this run's own; ``created`` is not needed.

    Raises:
        RunError: when wandb does not start.
    """
    wandb = import_module("wandb")  # of an extra, so not before it is asked for
    try:
        run = wandb.init(
            id=_lasting_id(folder),
            name=folder.path.resolve().name,
            project=os.environ.get("WANDB_PROJECT", "hornbook"),
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=config.model_dump(mode="json"),
            dir=str(folder.path),
            resume="allow",
            allow_val_change=True,  # a run that goes on may have another number of steps
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
    except wandb.Error as error:
        raise RunError(
            f"wandb did not start: {error} To train without it: training.log_to=[]; to keep its "
            "files on this machine: WANDB_MODE=offline."
        ) from error
    return WandbTracker(run, wandb.Html)


def _lasting_id(folder: RunFolder) -> str:
    """The run's name within wandb, the same in every session; a fork gets its own."""
    place = folder.path / "wandb" / "hornbook-id"
    if not place.is_file():
        place.parent.mkdir(exist_ok=True)
        write_durably(place, secrets.token_hex(4).encode("ascii"))
    return place.read_text(encoding="ascii").strip()


def _verbatim(written: str) -> str:
    """A text as a page that shows it as it stands.

    >>> _verbatim("a < b")
    '<pre>a &lt; b</pre>'
    """
    return f"<pre>{html.escape(written, quote=False)}</pre>"
