"""What a person may watch while hornbook works, without any room knowing about a screen.

Rooms call a ``Listener``; only ``cli/`` and the studio draw one. The base class ignores
everything, so it doubles as the silent default:

    listener = Listener()
    with listener.progress("reading", total=10, unit="documents") as progress:
        progress.advance(3)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any


class Progress:
    """The state of one long task; use it as a context manager."""

    def advance(self, amount: int) -> None:
        """Say that ``amount`` more units are done."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the task, whether it succeeded or not."""


class Listener:
    """Receives what happens. Override what you want to show; the rest stays silent."""

    def notice(self, text: str) -> None:
        """A fact worth a line: a default that was chosen, something that was skipped."""

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        """A long task begins; ``total`` is ``None`` when its length is unknown."""
        return Progress()

    def measured(self, measurement: Mapping[str, Any]) -> None:
        """One line of ``metrics.jsonl`` was written."""

    def sampled(self, step: int, text: str) -> None:
        """The model in training wrote ``text`` after ``step`` steps."""

    def optimizing(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Training is about to begin with these groups of weights: ``role`` (what they are for),
        ``rule`` (who moves them), ``tensors``, ``numbers``, ``learning_rate`` and
        ``weight_decay``."""

    def training_began(self, step: int, last_step: int) -> None:
        """Training begins after ``step`` steps and is to end after ``last_step``."""

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        """One optimizer step ended: its number, its loss (nats per token), its real tokens."""


SILENT = Listener()
"""The listener that shows nothing."""
