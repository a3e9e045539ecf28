"""Everything that can go wrong through no fault of the code, as one small tree.

    HornbookError
    ├── ConfigError      a setting: unknown, of the wrong type, out of range, in conflict
    ├── CorpusError      text that cannot be found, fetched or read
    ├── TokenizerError   a vocabulary that cannot be made, loaded or used
    │   └── VocabularyUnfinished   training was interrupted; carries the vocabulary so far
    ├── DataError        a token store that is damaged, too short or out of date
    ├── GenerationError  a sampling request that makes no sense
    │   └── ModelBroken      a model that says NaN where it should say numbers
    ├── ToldElsewhere    another of the processes that train together says what went wrong
    ├── InteropError     a model of another tool that cannot be read, or a run it has no form for
    └── RunError         a run folder that is missing, damaged, in use or does not match
        └── TrainingStopped   training ended early on purpose: not finite, disk full

A message says what was wrong, where (file, line, byte or key) and what to do next. The
command line prints it without a traceback and exits with 2. A bug raises anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class HornbookError(Exception):
    """The root of the tree: catch this to catch every mistake that a user can mend.

    Attributes:
        on_every_rank: whether all ranks that train together raise it, each for itself.
        has_the_word: whether this rank, though not the first, is the one that tells it.
    """

    on_every_rank = False
    has_the_word = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration.

    Attributes:
        key: the full key, such as ``model.heads``.
        message: what is wrong and what is allowed.
        value: what the user gave, as text; ``None`` where no value is at fault.
        nearest: the valid key closest to an unknown one, if one is close.
    """

    key: str
    message: str
    value: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        shown = f"{self.key}={self.value}" if self.value is not None else self.key
        hint = f" Did you mean {self.nearest}?" if self.nearest else ""
        return f"{shown}: {self.message}{hint}"


class ConfigError(HornbookError):
    """Settings that cannot be used; carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        count = len(self.problems)
        title = "This setting cannot be used" if count == 1 else f"{count} settings cannot be used"
        super().__init__("\n".join([f"{title}:", *(f"  {problem}" for problem in self.problems)]))


class CorpusError(HornbookError):
    """Text that cannot be found, fetched, decoded or split."""


class TokenizerError(HornbookError):
    """A vocabulary that cannot be trained, loaded or applied."""


class VocabularyUnfinished(TokenizerError):  # noqa: N818 - it says what happened
    """Training a vocabulary was interrupted while it merged.

    Attributes:
        tokenizer: the vocabulary so far, whole and usable; it has fewer entries than asked for.
    """

    def __init__(self, tokenizer: Any, wanted: int) -> None:
        self.tokenizer = tokenizer
        super().__init__(
            f"training was interrupted with {tokenizer.vocab_size:,} of {wanted:,} entries learned"
        )


class DataError(HornbookError):
    """Token data on disk that is missing, damaged, too short or out of date."""


class GenerationError(HornbookError):
    """A request for text that cannot be fulfilled."""


class ModelBroken(GenerationError):  # noqa: N818 - it says what happened
    """A model says NaN or infinity of the next token, so that none can be drawn."""

    def __init__(self) -> None:
        super().__init__(
            "the model has gone wrong: what it says of the next token is NaN or infinite, so none "
            "can be drawn. Its training diverged, or its weights are damaged; take an earlier "
            "checkpoint (RUN@STEP)."
        )


class ToldElsewhere(HornbookError):  # noqa: N818 - it says what happened
    """Training on several ranks failed, and another one raises the error that says why.

    Who prints errors has nothing to print here.
    """

    def __init__(self) -> None:
        super().__init__("another rank says what went wrong")


class InteropError(HornbookError):
    """A model of another tool that cannot be read, or a run that has no form there.

    Attributes:
        problems: everything that was found, not only the first.
    """

    def __init__(self, title: str, problems: Sequence[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__("\n".join([f"{title}:", *(f"  {problem}" for problem in self.problems)]))


class RunError(HornbookError):
    """A run folder that is missing, damaged, in use, or does not match what was asked."""


class TrainingStopped(RunError):  # noqa: N818 - it says what happened
    """Training ended before its last step for a reason that a person must look at.

    The run folder still holds its last whole checkpoint.
    """
