"""What a command looks at that needs no weights: a preset or a run, and settings to change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from hornbook.cli.words import sort_words
from hornbook.errors import HornbookError

if TYPE_CHECKING:
    from hornbook.runs.config import RunConfig


class Subject(NamedTuple):
    """A preset or a run.

    Attributes:
        config: its settings, changed as the words say.
        name: as it was called.
        vocab_size: entries of its vocabulary.
        source: how that is known.
    """

    config: RunConfig
    name: str
    vocab_size: int
    source: str


def subject_of(words: Sequence[str], vocab_size: int | None = None) -> Subject:
    """Find what ``words`` name and change.

    Args:
        words: a preset or a run's folder, and ``key=value`` words.
        vocab_size: entries of the vocabulary, where a person says so.

    Raises:
        HornbookError: when they name nothing, or more than one thing.
        ConfigError: when a setting cannot be used.
    """
    from hornbook.inspection.accounting.account import assumed_vocabulary
    from hornbook.runs.folder import open_folder
    from hornbook.runs.resolution import preset_names, resolve

    names, overrides = sort_words(words)
    presets = preset_names()
    if len(names) != 1:
        what = f"{names[1]!r} is no setting" if names else "Nothing is named"
        raise HornbookError(
            f"{what}. Name one preset ({', '.join(presets)}) or one run, then key=value."
        )
    name, folder = names[0], None
    if name in presets:
        config = resolve(preset=name, overrides=overrides)
    elif not os.path.exists(name):  # noqa: PTH110
        raise HornbookError(
            f"{name} is neither a preset ({', '.join(presets)}) nor a run's folder."
        )
    else:
        folder = open_folder(name)
        config = resolve(base=folder.read_config(), overrides=overrides)
    if vocab_size is not None:
        return Subject(config, name, vocab_size, "as --vocab-size says")
    if folder is not None and folder.tokenizer_file.exists():
        size = folder.read_tokenizer().vocab_size
        return Subject(config, name, size, "the run's own tokenizer")
    return Subject(config, name, *assumed_vocabulary(config))
