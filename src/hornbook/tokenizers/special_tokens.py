"""Special tokens: ids that stand for a place in the text, never for text a user wrote.

In a user's text the name of a special token is plain text like any other, unless the caller
allows that name. So a document that mentions ``<|endoftext|>`` cannot end itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from hornbook.errors import TokenizerError
from hornbook.tokenizers.text import check_text

AllowedSpecial: TypeAlias = Literal["all"] | Collection[str]
"""Which special tokens an ``encode`` recognises in the text: all, or these names."""

END_OF_TEXT = "<|endoftext|>"
"""The special token of byte-level vocabularies since GPT-2 (Radford et al. 2019)."""


def check_special_tokens(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of special tokens as a tuple if they can be told apart in every text.

    >>> check_special_tokens(["<s>", "</s>"])
    ('<s>', '</s>')

    Raises:
        TokenizerError: there is none, one is empty or no Unicode text, two are equal, or one
            contains another.
    """
    if isinstance(names, str):
        raise TokenizerError(f"special_tokens is a list of names, not the one text {names!r}")
    if not names:
        raise TokenizerError("special_tokens is empty; at least one is needed to end a document")
    for number, name in enumerate(names):
        check_text(name, f"special_tokens[{number}]")
        if not name:
            raise TokenizerError(f"special_tokens[{number}] is empty; give it a name")
        for other in names[:number]:
            if name in other or other in name:
                raise TokenizerError(
                    f"special_tokens[{number}]: {name!r} and {other!r} cannot be told apart, one "
                    "contains the other; rename one"
                )
    return tuple(names)


def allowed_names(allowed: AllowedSpecial, special_tokens: Mapping[str, int]) -> frozenset[str]:
    """Return the names of the special tokens that a caller allows in a text.

    >>> allowed_names("all", {"<|endoftext|>": 256})
    frozenset({'<|endoftext|>'})

    Raises:
        TokenizerError: a name is no special token of this vocabulary; lists those that are.
    """
    if allowed == "all":
        return frozenset(special_tokens)
    valid = ", ".join(map(repr, special_tokens))
    if isinstance(allowed, str):
        raise TokenizerError(
            f'allowed_special is "all" or a collection of names such as ({allowed!r},), not the '
            f"one text {allowed!r}; special tokens here: {valid}"
        )
    for name in allowed:
        if name not in special_tokens:
            raise TokenizerError(
                f"allowed_special: {name!r} is no special token of this vocabulary; "
                f"its special tokens: {valid}"
            )
    return frozenset(allowed)


def split_at_special(text: str, names: frozenset[str]) -> list[str]:
    """Split a text into plain, special, plain, special, ..., plain parts.

    Even places hold plain text (perhaps empty), odd places the name of a special token.

    >>> split_at_special("a<s>b", frozenset({"<s>"}))
    ['a', '<s>', 'b']
    """
    return _any_of(names).split(text) if names else [text]


@lru_cache(maxsize=64)
def _any_of(names: frozenset[str]) -> re.Pattern[str]:
    return re.compile("(" + "|".join(map(re.escape, sorted(names))) + ")")
