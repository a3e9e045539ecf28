"""What the words of ``hornbook data`` name: a run, or a text with settings, as tokens.

A run brings its settings and its tokenizer, and its own text is found again. Otherwise the words
mean what they mean to ``hornbook train``, and a tokenizer is made as a run would make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hornbook.cli.training_wish import DEFAULT_PRESET
from hornbook.cli.words import sort_words
from hornbook.errors import HornbookError, RunError

if TYPE_CHECKING:
    from hornbook.data import TokenStore
    from hornbook.listener import Listener
    from hornbook.runs.config import RunConfig
    from hornbook.runs.run import Run
    from hornbook.tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text as a run would see it.

    Attributes:
        name: what a person calls it.
        config: the settings, resolved.
        tokenizer: made it into tokens.
        store: the tokens of both sides.
        run: the run that was named, if one was.
    """

    name: str
    config: RunConfig
    tokenizer: Tokenizer
    store: TokenStore
    run: Run | None = None


def open_text(
    words: Sequence[str], preset: str | None, file: Path | None, listener: Listener
) -> TokenizedText:
    """Find what the words name, and tokenize it unless its tokens are cached.

    Args:
        words: a run's folder, or names of corpora; and settings to change.
        preset: the settings to start from.
        file: a TOML file laid over them.
        listener: who watches.

    Raises:
        HornbookError: for words that contradict each other, and all that goes wrong in reading.
    """
    names, overrides = sort_words(words)
    run = _named_run(names)
    if run is None:
        return _from_corpus(names, overrides, preset, file, listener)
    if len(names) > 1:
        raise HornbookError(
            f"{names[0]!r} is a run, whose text is its own; leave out {names[1]!r}, or name only "
            "texts."
        )
    if preset is not None or file is not None:
        given = "--preset" if preset is not None else "--config"
        raise HornbookError(
            f"{given} cannot be used with a run: the settings are those of {names[0]}. Change "
            "single ones with key=value."
        )
    return _from_run(run, overrides, listener)


def _named_run(names: Sequence[str]) -> Run | None:
    """The run that the first name is the folder of; ``None`` where it is none."""
    if not names:
        return None
    from hornbook.errors import ConfigError
    from hornbook.runs.folder import RunFolder
    from hornbook.runs.run import open_run, split_address

    try:
        place, _ = split_address(names[0])
    except ConfigError:  # an address on the net may hold @, too
        return None
    return open_run(names[0]) if RunFolder(place).is_run() else None


def _from_run(run: Run, overrides: Sequence[str], listener: Listener) -> TokenizedText:
    from hornbook.runs.assembly import find_store
    from hornbook.runs.resolution import differences, resolve

    config = resolve(base=run.config, overrides=overrides)
    changed = [key for key in differences(run.config, config) if key.startswith("tokenizer.")]
    if changed:
        raise RunError(
            f"{changed[0]} cannot be changed: {run.path} has its tokenizer already. To try "
            f"another, name the text instead of the run: {', '.join(run.config.corpus.files)}"
        )
    config, store = find_store(run.folder, config, run.manifest, listener=listener)
    return TokenizedText(run.name, config, run.tokenizer, store, run)


def _from_corpus(
    names: Sequence[str],
    overrides: Sequence[str],
    preset: str | None,
    file: Path | None,
    listener: Listener,
) -> TokenizedText:
    from hornbook.runs.assembly import make_store, make_tokenizer, read_corpus
    from hornbook.runs.resolution import resolve

    config = resolve(preset=preset or DEFAULT_PRESET, file=file, overrides=overrides)
    if names:
        config = resolve(base=config, overrides={"corpus.files": tuple(names)})
    titles = {"-": "standard input"}
    title = ", ".join(titles.get(name) or Path(name).name or name for name in config.corpus.files)
    config, split = read_corpus(config, listener=listener)
    tokenizer = make_tokenizer(config, split, listener=listener)
    store = make_store(split, tokenizer, listener=listener)
    return TokenizedText(title, config, tokenizer, store)
