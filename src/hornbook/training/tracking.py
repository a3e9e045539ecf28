"""What other people's tools show of a run: the lines of its journals, told once more.

    metrics.jsonl   {"step": 20, "training_loss": 5.1, …}  ──> tensorboard/   scalars at step 20
    samples.jsonl   {"step": 20, "text": "…"}              ──> wandb/         text at step 20

The journals stay what the run knows. Whenever training begins or goes on, they are cut back to its
checkpoint and then told to each tracker from their first line on. So there is one curve, with no
point twice, however often a run was stopped, killed or rolled back; and a fork, or a run for which
``training.log_to`` was set only later, shows its past as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from hornbook.errors import ConfigError, Problem
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder

Line = Mapping[str, Any]
"""A line of ``metrics.jsonl`` or ``samples.jsonl``."""

TRACKERS = {
    "tensorboard": "hornbook.training.tensorboard_tracker",
    "wandb": "hornbook.training.wandb_tracker",
}
"""Where the ``open_tracker`` of each name in ``training.log_to`` stands; each needs the package of
that name."""


class Tracker(Protocol):
    """Shows one run in one tool."""

    def measured(self, entry: Line) -> None:
        """Show the numbers of a line of metrics."""

    def sampled(self, entry: Line) -> None:
        """Show a text that the model wrote."""

    def flush(self) -> None:
        """Make safe what was shown so far; a checkpoint is about to be written."""

    def close(self) -> None:
        """End the session; nothing is shown after it."""


def refuse_missing_trackers(config: RunConfig) -> None:
    """Raise ``ConfigError`` if a package for ``training.log_to`` is missing."""
    problems = [
        Problem(
            "training.log_to",
            f"needs the package {name}, which is not installed; install it with: pip install "
            f"'hornbook[tracking]', or leave {name} out",
            name,
        )
        for name in config.training.log_to
        if not _is_installed(name)
    ]
    if problems:
        raise ConfigError(problems)


def _is_installed(package: str) -> bool:
    """Whether it is there, and not only a folder of its name where hornbook was started."""
    found = find_spec(package)
    return found is not None and found.origin is not None


def open_trackers(folder: RunFolder, config: RunConfig, created: str) -> Iterator[Tracker]:
    """Give a tracker for each name in ``training.log_to``, and tell it of the run's past.

    Args:
        folder: the run; its journals end at the step from which it goes on.
        config: its settings.
        created: when the run was begun, as its manifest says.

    Raises:
        RunError: when a tool does not start.
        OSError: when its files cannot be written.
    """
    for name in config.training.log_to:
        tracker: Tracker = import_module(TRACKERS[name]).open_tracker(folder, config, created)
        yield tracker
        for entry, is_sample in _in_order(folder.metrics.entries(), folder.samples.entries()):
            (tracker.sampled if is_sample else tracker.measured)(entry)


def _in_order(metrics: Iterable[Line], samples: Iterable[Line]) -> Iterator[tuple[Line, bool]]:
    """Both journals as one, by step; at the same step a measurement comes first.

    >>> list(_in_order([{"step": 2}, {"step": 4}], [{"step": 2, "text": "a"}]))
    [({'step': 2}, False), ({'step': 2, 'text': 'a'}, True), ({'step': 4}, False)]
    """
    lines = [(entry, False) for entry in metrics] + [(entry, True) for entry in samples]
    whole = [line for line in lines if isinstance(line[0].get("step"), int)]
    return iter(sorted(whole, key=lambda line: (line[0]["step"], line[1])))


def scalars(entry: Line) -> dict[str, float]:
    """The numbers of a line by name; those of a group have its name in front.

    >>> scalars({"step": 20, "training_loss": 5.1, "step_time": {"forward": 0.03, "data": None}})
    {'training_loss': 5.1, 'step_time/forward': 0.03}
    """
    found: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{inner}": number for inner, number in scalars(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != "step":
            found[name] = value
    return found


def sample_text(entry: Line) -> str:
    """A line of ``samples.jsonl`` as one text.

    >>> sample_text({"step": 20, "prompt": "Once", "text": " upon"})
    'Once upon'
    """
    return f"{entry.get('prompt', '')}{entry.get('text', '')}"
