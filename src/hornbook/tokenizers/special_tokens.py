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

SpecialTokens: TypeAlias = Sequence[str] | Mapping[str, int]
"""The special tokens of a vocabulary: names whose ids follow the last token, or name -> id."""

END_OF_TEXT = "<|endoftext|>"
"""The special token of byte-level vocabularies since GPT-2 (Radford et al. 2019)."""

LAST_SPECIAL_ID = (1 << 24) - 1
"""The greatest id a special token may have: a table of a row an id must stay of a sane size."""


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


def place_special_tokens(special_tokens: SpecialTokens, first_id: int) -> dict[str, int]:
    """Return the id of each special token by name, in the order of the ids.

    Args:
        special_tokens: names, which get the ids from ``first_id`` on; or each name's own id,
            at or after ``first_id``. Ids that are left out between them stand for nothing.
        first_id: the number of ids that are taken already.

    >>> place_special_tokens(["<s>", "</s>"], 256)
    {'<s>': 256, '</s>': 257}
    >>> place_special_tokens({"<|end|>": 300, "<|start|>": 256}, 256)
    {'<|start|>': 256, '<|end|>': 300}

    Raises:
        TokenizerError: the names cannot be told apart; an id is no whole number, is taken, is
            given twice or lies beyond ``LAST_SPECIAL_ID``.
    """
    if not isinstance(special_tokens, Mapping):
        names = check_special_tokens(special_tokens)
        return {name: first_id + number for number, name in enumerate(names)}
    check_special_tokens(tuple(special_tokens))
    taken: dict[int, str] = {}
    for name, token_id in special_tokens.items():
        where = f"special_tokens[{name!r}]"
        if type(token_id) is not int:
            raise TokenizerError(f"{where}: an id is a whole number, not {token_id!r}")
        if not first_id <= token_id <= LAST_SPECIAL_ID:
            raise TokenizerError(
                f"{where}: id {token_id} is not from {first_id} to {LAST_SPECIAL_ID}; the ids "
                f"from 0 to {first_id - 1} are those of the bytes and the merges"
            )
        if token_id in taken:
            raise TokenizerError(
                f"{where}: id {token_id} is that of {taken[token_id]!r} already; give each "
                "special token an id of its own"
            )
        taken[token_id] = name
    return {taken[token_id]: token_id for token_id in sorted(taken)}


def allowed_names(allowed: AllowedSpecial, special_tokens: Mapping[str, int]) -> frozenset[str]:
    """Return the names of the special tokens that a caller allows in a text.

    >>> allowed_names("all", {"<|endoftext|>": 256})
    frozenset({'<|endoftext|>'})

    Raises:
        TokenizerError: a name is no special token of this vocabulary; lists those that are.
    """
    if allowed == "all":
        return frozenset(special_tokens)
    if not allowed:
        return frozenset()
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
