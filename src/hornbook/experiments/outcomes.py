"""What one cell with one seed came to, as a file in the study's folder.

    measurements/adamw-0.01-seed-2.json

A cell whose file is there is finished and not run again, unless it crashed.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from hornbook.durable import write_durably
from hornbook.errors import RunError
from hornbook.settings import Settings


class Outcome(Settings):
    """What every cell comes to."""

    cell: str
    """The cell's name."""

    seed: int
    """The run's seed."""

    failed: str = ""
    """Why it stopped early; empty where it did not."""

    crashed: bool = False
    """Whether it was no outcome of training but an accident, so that it is tried again."""


class Measurement(Outcome):
    """What training a cell came to."""

    steps: int
    """Optimizer steps done."""

    batch_size: int
    """Rows in a step."""

    examples: int
    """Rows trained on."""

    tokens: int
    """Targets trained on that count."""

    epochs: float
    """Rows trained on, over the rows that there are."""

    training_seconds: float
    """Time of the steps."""

    parameters: int
    """Numbers that are trained."""

    lines: float | None = None
    """Lines by themselves [bits per byte]; none where it failed."""

    running_text: float | None = None
    """Running text [bits per byte]; none where it failed."""

    lines_tokens: int = 0
    """Targets of lines by themselves that were evaluated."""

    running_text_tokens: int = 0
    """Targets of running text that were evaluated."""

    guessing: float | None = None
    """Running text for a model that takes all tokens for equally likely [bits per byte]."""

    curve: tuple[tuple[int, float], ...] = ()
    """Validation loss on the way: optimizer steps done, and bits per byte."""

    @property
    def tokens_per_second(self) -> float | None:
        """Speed of the steps; none where it failed."""
        if self.failed or not self.training_seconds:
            return None
        return self.tokens / self.training_seconds

    @property
    def diverged(self) -> bool:
        """Whether training ended early, or no better than guessing."""
        if self.failed:
            return not self.crashed
        if self.running_text is None or self.guessing is None:
            return False
        return self.running_text >= self.guessing


class SampledTexts(Outcome):
    """What the texts that a cell sampled came to."""

    texts: int
    """How many texts."""

    tokens: int
    """Tokens in all of them."""

    distinct_1: float | None = None
    """Different words, over all words."""

    distinct_2: float | None = None
    """Different pairs of neighbouring words, over all pairs."""

    repetition: float | None = None
    """Runs of four tokens that stood in the same text before, over all runs."""

    perplexity: float | None = None
    """How many equally likely tokens the model, unchanged, chooses between, on average."""

    seconds: float = 0.0
    """Time of sampling."""

    example: str = ""
    """The beginning of the first text."""


KINDS: dict[str, type[Outcome]] = {"training": Measurement, "decoding": SampledTexts}
"""What cells come to, by the kind of study."""


def write_outcome_of(folder: Path, found: Outcome) -> None:
    """Keep what a cell came to; from then on it is finished."""
    place = folder / "measurements"
    place.mkdir(exist_ok=True)
    text = json.dumps(found.model_dump(mode="json"), indent=2) + "\n"
    write_durably(place / f"{found.cell}-seed-{found.seed}.json", text.encode("utf-8"))


def read_outcome_of(folder: Path, kind: str, cell: str, seed: int) -> Outcome | None:
    """What a cell came to, or ``None`` if it is not finished; raises ``RunError`` if damaged."""
    path = folder / "measurements" / f"{cell}-seed-{seed}.json"
    try:
        return KINDS[kind].model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValidationError as error:
        raise RunError(f"{path} is damaged; delete it to measure this cell again.") from error
