"""What the words of ``hornbook train`` ask for: to begin a run, to go on with one, or to fork one.

``--check`` takes the same words as training, so both carry out one ``TrainingWish``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from hornbook.cli.words import corpus_override
from hornbook.errors import HornbookError, RunError
from hornbook.listener import Listener

DEFAULT_PRESET = "small"

Outcome = TypeVar("Outcome", covariant=True)


class Begin(Protocol[Outcome]):
    """A function that takes what ``hornbook.training.train`` takes."""

    def __call__(
        self,
        *corpora: str | Path,
        preset: str | None,
        config: Path | None,
        out: Path | None,
        overrides: list[str],
        listener: Listener,
    ) -> Outcome: ...


class GoOn(Protocol[Outcome]):
    """A function that takes what ``hornbook.training.resume`` takes."""

    def __call__(self, run: str, /, *, overrides: list[str], listener: Listener) -> Outcome: ...


class Fork(Protocol[Outcome]):
    """A function that takes what ``hornbook.training.fork`` takes."""

    def __call__(
        self, origin: str, /, *, out: Path | None, overrides: list[str], listener: Listener
    ) -> Outcome: ...


@dataclass(frozen=True)
class TrainingWish:
    """The words and options of one ``hornbook train``.

    Attributes:
        corpora: where the text is.
        overrides: ``key=value`` words.
        preset: the settings to start from, if named.
        config: a TOML file to lay over them.
        out: the run's folder.
        resume: the run to go on with.
        origin: the run and step to fork.
    """

    corpora: list[str]
    overrides: list[str]
    preset: str | None
    config: Path | None
    out: Path | None
    resume: str | None
    origin: str | None

    def refuse_contradictions(self) -> None:
        """Refuse wishes that contradict each other, before anything heavy is loaded.

        Raises:
            HornbookError: some do.
        """
        if self.resume is not None and self.origin is not None:
            raise HornbookError(
                "--resume goes on with a run, --from begins a new one from it: give one of them."
            )
        if self.resume is None and self.origin is None:
            return
        chosen = "--from" if self.resume is None else "--resume"
        settings = {"--preset": self.preset, "--config": self.config}
        if given := [name for name, value in settings.items() if value is not None]:
            raise HornbookError(
                f"{' and '.join(given)} cannot be used with {chosen}: the settings are those of "
                "the run. Change single ones with key=value."
            )
        if self.resume is not None and self.out is not None:
            raise HornbookError(
                "--out cannot be used with --resume: a run goes on in its own folder. To train on "
                "in a new one, use --from."
            )
        if self.resume is not None and self.corpora:
            raise RunError(
                f"{self.corpora[0]!r} is no setting, and with --resume the text is the run's own. "
                "If its files have moved, say where they are with corpus.files=PATH. To train on "
                "from it with another text, use --from."
            )

    def carried_out(
        self,
        begin: Begin[Outcome],
        go_on: GoOn[Outcome],
        fork: Fork[Outcome],
        listener: Listener,
    ) -> Outcome:
        """Call the one of three functions that is wished for, and return what it returns."""
        if self.resume is not None:
            return go_on(self.resume, overrides=self.overrides, listener=listener)
        if self.origin is not None:
            overrides = list(self.overrides)
            if self.corpora:
                overrides.append(corpus_override(self.corpora))
            return fork(self.origin, out=self.out, overrides=overrides, listener=listener)
        return begin(
            *self.corpora,
            preset=self.preset or DEFAULT_PRESET,
            config=self.config,
            out=self.out,
            overrides=self.overrides,
            listener=listener,
        )
