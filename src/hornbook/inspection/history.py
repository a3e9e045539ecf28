"""What a run wrote down while it was trained, as points and samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hornbook.errors import RunError, TokenizerError
from hornbook.inspection.lines import clean
from hornbook.runs.run import Run


@dataclass(frozen=True, slots=True)
class Point:
    """A loss after a step [nats per token]."""

    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class WrittenSample:
    """What the model wrote after a step, going on from ``prompt``; both are cleaned."""

    step: int
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class History:
    """The story of a run's training.

    Attributes:
        training: mean training loss since the point before.
        validation: loss on the validation side.
        best: the first of the lowest validation points, if there is any.
        best_bits_per_byte: the same measurement in bits per byte, where it has one.
        samples: what the model wrote, oldest first.
        evaluations: the lines of metrics that measured the validation side; where none did,
            the last line alone.
        tokens_seen: real targets trained on.
        seconds: time spent in training steps, over all sessions.
        last: the last line of metrics.
        notes: what a person should look at, oldest first.
    """

    training: tuple[Point, ...]
    validation: tuple[Point, ...]
    best: Point | None
    best_bits_per_byte: float | None
    samples: tuple[WrittenSample, ...]
    evaluations: tuple[Mapping[str, Any], ...]
    tokens_seen: int
    seconds: float
    last: Mapping[str, Any]
    notes: tuple[Mapping[str, Any], ...] = ()

    @property
    def curve(self) -> tuple[Point, ...]:
        """The points that samples are pinned to: training losses, or validation losses."""
        return self.training or self.validation

    def loss_at(self, step: int) -> float:
        """The loss of ``curve`` at ``step``, on the straight line between two measurements.

        >>> story = history([{"step": 2, "training_loss": 4}, {"step": 4, "training_loss": 3}], [])
        >>> story.loss_at(3), story.loss_at(9)
        (3.5, 3)
        """
        before = [point for point in self.curve if point.step <= step]
        after = [point for point in self.curve if point.step >= step]
        if not (before and after):
            return (before[-1] if before else after[0]).loss
        left, right = before[-1], after[0]
        if left.step == right.step:
            return left.loss
        share = (step - left.step) / (right.step - left.step)
        return left.loss + share * (right.loss - left.loss)


def read_history(run: Run) -> History:
    """Read the journals of a run; each may be missing."""
    samples, notes = (list(j.entries()) for j in (run.folder.samples, run.folder.notes))
    return history(run.metrics(), samples, notes)


def history(
    metrics: Sequence[Mapping[str, Any]],
    samples: Sequence[Mapping[str, Any]],
    notes: Sequence[Mapping[str, Any]] = (),
) -> History:
    """Put the lines of the journals together; what is no number or no text is left out."""
    metrics = [entry for entry in metrics if isinstance(entry.get("step"), int)]
    validation = _points(metrics, "validation_loss")
    best = min(validation, key=lambda point: point.loss, default=None)
    evaluations = [entry for entry in metrics if number_of(entry, "validation_loss") is not None]
    measured = next((e for e in evaluations if best is not None and e["step"] == best.step), {})
    last = metrics[-1] if metrics else {}
    return History(
        training=_points(metrics, "training_loss"),
        validation=validation,
        best=best,
        best_bits_per_byte=number_of(measured, "bits_per_byte"),
        samples=tuple(
            WrittenSample(entry["step"], clean(str(entry.get("prompt", ""))), clean(entry["text"]))
            for entry in samples
            if isinstance(entry.get("step"), int) and isinstance(entry.get("text"), str)
        ),
        evaluations=tuple(evaluations or metrics[-1:]),
        tokens_seen=int(number_of(last, "tokens_seen") or 0),
        seconds=number_of(last, "seconds") or 0.0,
        last=last,
        notes=tuple(notes),
    )


def parameter_count(run: Run) -> int | None:
    """How many numbers the newest checkpoint's weights are, from the head of their file alone."""
    for checkpoint in reversed(run.checkpoints()):
        try:
            return checkpoint.parameter_count()
        except RunError:  # an older one may be whole
            continue
    return None


def vocabulary(run: Run) -> str | None:
    """The tokenizer in a few words; ``None`` where there is none that can be read."""
    if not run.folder.tokenizer_file.is_file():
        return None
    try:
        return f"{run.tokenizer.kind} vocabulary of {run.tokenizer.vocab_size:,}"
    except TokenizerError:
        return None


def _points(metrics: Sequence[Mapping[str, Any]], key: str) -> tuple[Point, ...]:
    losses = [(entry["step"], number_of(entry, key)) for entry in metrics]
    return tuple(Point(step, loss) for step, loss in losses if loss is not None)


def number_of(entry: Mapping[str, Any], key: str) -> float | None:
    """What ``entry`` holds under ``key`` if it is a finite number, and else ``None``."""
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
