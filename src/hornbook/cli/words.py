"""The words after a command: which of them change a setting, and which name something."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence

_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=", re.ASCII)


def sort_words(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Part words into names and ``key=value`` overrides, each in the order given.

    A word that is the path of something that exists is a name, whatever it looks like.

    >>> sort_words(["poems.txt", "model.layers=6", "./a=b.txt"])
    (['poems.txt', './a=b.txt'], ['model.layers=6'])
    """
    names: list[str] = []
    overrides: list[str] = []
    for word in words:
        is_override = _OVERRIDE.match(word) and not os.path.exists(word)  # noqa: PTH110
        (overrides if is_override else names).append(word)
    return names, overrides


def corpus_override(names: Sequence[str]) -> str:
    """The override that says the same as these names of a corpus.

    >>> corpus_override(["poems.txt", "tales/"])
    'corpus.files=["poems.txt", "tales/"]'
    """
    # TOML's basic strings are JSON's, but for DEL, which TOML wants escaped.
    return "corpus.files=" + json.dumps(list(names), ensure_ascii=False).replace("\x7f", "\\u007f")
