"""A run in TensorBoard: ``tensorboard --logdir runs/NAME/tensorboard``, or ``runs/`` for all.

    tensorboard/events.out.tfevents.…    one file, written anew whenever the run goes on

A TensorBoard that watches meanwhile is told by its first event to forget what it has seen of
the run; then it reads the same curve again, and its continuation. The file before is left behind
empty, since TensorBoard does not find its way from a file that was deleted to the next.

Its clock shows time in training steps, without what lies between two sessions.
"""

from __future__ import annotations

import datetime
import os

from tensorboard.compat.proto.event_pb2 import (
    Event,  # pyright: ignore[reportAttributeAccessIssue] - made when it is imported
    SessionLog,  # pyright: ignore[reportAttributeAccessIssue]
)
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]
)
from torch.utils.tensorboard import FileWriter
from torch.utils.tensorboard.summary import hparams, text

from hornbook.runs.config import RunConfig
from hornbook.runs.config_text import config_text
from hornbook.runs.folder import RunFolder
from hornbook.runs.resolution import settings_keys
from hornbook.training.tracking import Line, sample_text, scalars

_MEASURES = ("training_loss", "validation_loss", "bits_per_byte")
"""What stands beside the settings where TensorBoard compares runs."""


class TensorBoardTracker:
    """Writes event files.

    Args:
        writer: where to.
        began: the time of step 0 [seconds since 1970].
    """

    def __init__(self, writer: FileWriter, began: float) -> None:
        self._writer, self._began, self._now = writer, began, began

    def settings(self, config: RunConfig) -> None:
        """Show the settings as text, and each by its name."""
        named = {key: _plain(value) for key, value in settings_keys(config)}
        for summary in (
            text("settings", _verbatim(config_text(config))),
            *hparams(named, dict.fromkeys(_MEASURES, 0.0)),
        ):
            self._writer.add_summary(summary, 0, self._now)

    def measured(self, entry: Line) -> None:
        """Show the numbers of a line of metrics."""
        self._now = self._began + entry.get("seconds", 0.0)
        values = [
            Summary.Value(tag=name, simple_value=number) for name, number in scalars(entry).items()
        ]
        self._writer.add_summary(Summary(value=values), entry["step"], self._now)

    def sampled(self, entry: Line) -> None:
        """Show a text that the model wrote."""
        summary = text("sample", _verbatim(sample_text(entry)))
        self._writer.add_summary(summary, entry["step"], self._now)

    def flush(self) -> None:
        """Write what was shown so far."""
        self._writer.flush()

    def close(self) -> None:
        """Write the rest, and end the file."""
        self._writer.close()


def open_tracker(folder: RunFolder, config: RunConfig, created: str) -> TensorBoardTracker:
    """A tracker in the run's folder, in place of those of earlier sessions."""
    place = folder.path / "tensorboard"
    for old in place.glob("events.out.tfevents.*"):
        os.truncate(old, 0)
    writer = FileWriter(str(place))
    began = datetime.datetime.fromisoformat(created).timestamp()
    writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), 0, began)
    tracker = TensorBoardTracker(writer, began)
    tracker.settings(config)
    return tracker


def _verbatim(written: str) -> str:
    """A text as it stands, where TensorBoard would read it as Markdown.

    >>> _verbatim("# a\\nb")
    '    # a\\n    b'
    """
    return "\n".join(f"    {line}" for line in written.split("\n"))


def _plain(value: object) -> str | float:
    """A setting as TensorBoard knows them: a number, or text."""
    return value if isinstance(value, bool | int | float) else str(value)
