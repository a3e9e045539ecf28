"""hornbook trains a language model from raw text on your own machine, and shows every step.

    import hornbook

    run = hornbook.train("text.txt", preset="tiny")
    print(run.sample("Once"))

    run = hornbook.open_run("runs/text-tiny")
    tokenizer = hornbook.Tokenizer.load("runs/text-tiny/tokenizer.json")
    tokenizer.encode("Once upon a time")

Nothing heavy is imported before it is used: ``import hornbook`` itself loads no PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hornbook.errors import (
        ConfigError,
        CorpusError,
        DataError,
        GenerationError,
        HornbookError,
        RunError,
        TokenizerError,
        TrainingStopped,
    )
    from hornbook.runs.config import RunConfig
    from hornbook.runs.run import Run, open_run
    from hornbook.tokenizers import Tokenizer
    from hornbook.training import Interrupted, fork, resume, train

_HOMES = {
    "ConfigError": "hornbook.errors",
    "CorpusError": "hornbook.errors",
    "DataError": "hornbook.errors",
    "GenerationError": "hornbook.errors",
    "HornbookError": "hornbook.errors",
    "Interrupted": "hornbook.training",
    "Run": "hornbook.runs.run",
    "RunConfig": "hornbook.runs.config",
    "RunError": "hornbook.errors",
    "Tokenizer": "hornbook.tokenizers",
    "TokenizerError": "hornbook.errors",
    "TrainingStopped": "hornbook.errors",
    "fork": "hornbook.training",
    "open_run": "hornbook.runs.run",
    "resume": "hornbook.training",
    "train": "hornbook.training",
}

__all__ = [
    "ConfigError",
    "CorpusError",
    "DataError",
    "GenerationError",
    "HornbookError",
    "Interrupted",
    "Run",
    "RunConfig",
    "RunError",
    "Tokenizer",
    "TokenizerError",
    "TrainingStopped",
    "fork",
    "open_run",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hornbook' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
