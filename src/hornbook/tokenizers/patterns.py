"""How a text falls into pre-tokens: the pieces that no merge may ever cross.

Every split here loses nothing: ``"".join(split(text)) == text``.

The published patterns are facts of the vocabularies they belong to; a vocabulary only gives the
ids its publisher meant when the text is cut exactly so. Sources:

- ``gpt2``: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", in the
  form with possessive quantifiers that tiktoken publishes as ``r50k_pat_str`` (the same
  pre-tokens, found faster).
- ``cl100k`` (GPT-4), ``o200k`` (GPT-4o): tiktoken, ``tiktoken_ext/openai_public.py``. Since
  tiktoken rewrote ``cl100k`` for speed, white space with a line end in it that ends the text is
  one pre-token; copies of the older form elsewhere cut after the line end.

What a letter, a digit or a space is, is fixed too: see ``unicode_classes``. Bytes that are no
UTF-8 reach these functions as the halves of surrogate pairs that Python's ``surrogateescape``
makes of them: signs that are neither letter, digit nor white space.
"""

from __future__ import annotations

import re as names_only
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import accumulate
from types import MappingProxyType
from typing import TypeAlias

import regex

from hornbook.errors import TokenizerError
from hornbook.tokenizers.text import check_text
from hornbook.tokenizers.unicode_classes import in_stated_version

Split: TypeAlias = Callable[[str], list[str]]

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

PUBLISHED: Mapping[str, str] = MappingProxyType(
    {
        "gpt2": (
            r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
        ),
        "cl100k": (
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
            r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
        ),
        "o200k": (
            rf"{_BEFORE}{_UPPER}*{_LOWER}+{_CONTRACTION}|{_BEFORE}{_UPPER}+{_LOWER}*{_CONTRACTION}"
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
    }
)
"""The patterns of published vocabularies, by name."""

WORDS = (
    r"[\p{L}\p{M}]++(?:['’][\p{L}\p{M}]++)*+"  # letters and their marks, don't and l’homme whole
    r"|\s++|\p{N}++|[^\s\p{L}\p{M}\p{N}]++"
)
"""Runs of letters, of white space, of digits, and of everything else."""

NAMES = (*PUBLISHED, "words", "none")
"""Every pattern that goes by a name."""


def split_words(text: str) -> list[str]:
    """Split a text into runs of letters, white space, digits and everything else.

    >>> split_words("Don't stop, 24 h!")
    ["Don't", ' ', 'stop', ',', ' ', '24', ' ', 'h', '!']
    """
    return _WORDS(text)


_CERTAIN = regex.compile(r"(?r)(?<=\p{L})(?=[^\p{L}\p{M}'’])")


def safe_cut(content: bytes) -> int:
    """Return the last place where every published pattern and "words" cut, whatever is around it.

    That is behind a letter, where neither a letter, a mark nor an apostrophe follows. The text
    before and the text behind can then be encoded apart. 0 if there is no such place.

    >>> safe_cut(b"to be or not")
    8
    """
    size = 256
    while True:
        # A tail may begin inside a character; what is left of it is no letter, so no harm is done.
        tail = content[-size:].decode("utf-8", "surrogateescape")
        found = _CERTAIN.search(in_stated_version(tail))
        # The last three bytes may be half a character, which can turn out to be a letter.
        while found:
            place = len(content) - len(tail[found.end() :].encode("utf-8", "surrogateescape"))
            if place <= len(content) - 4:
                return place
            found = _CERTAIN.search(in_stated_version(tail), 0, max(found.end() - 1, 0))
        if size >= len(content):
            return 0
        size *= 16


def splitter(pattern: str) -> Split:
    """Return the function that cuts a text into pre-tokens.

    Args:
        pattern: ``gpt2``, ``cl100k``, ``o200k``, ``words`` (see ``split_words``), ``none`` (each
            text is one pre-token), or a regular expression of the ``regex`` module: its matches
            are pre-tokens, and so is any text between them.

    >>> splitter("gpt2")("I'll be  there")
    ['I', "'ll", ' be', ' ', ' there']
    >>> splitter("(?<=-)|[0-9]")("a1-b")
    ['a', '1', '-b']

    Raises:
        TokenizerError: the expression is invalid or searches backwards, or a name is not one of
            the names.
    """
    if pattern in PUBLISHED:
        return _in_stated_version(regex.compile(PUBLISHED[pattern]))
    if pattern == "words":
        return split_words
    if pattern == "none":
        return lambda text: [text] if text else []
    if names_only.fullmatch(r"[\w-]*", pattern):
        # A mistyped name would be a valid expression that matches nothing but itself.
        raise TokenizerError(
            f"pattern {pattern!r} is none of {', '.join(map(repr, NAMES))}; a regular expression "
            "of nothing but letters and digits stands in brackets: "
            f"'(?:{pattern})'"
        )
    return _own_split(pattern)


@lru_cache(maxsize=16)
def _own_split(pattern: str) -> Split:
    check_text(pattern, "the pattern")
    try:
        compiled = regex.compile(pattern)
    except (regex.error, ValueError, RecursionError) as error:
        raise TokenizerError(
            f"pattern {pattern!r} is no regular expression of the regex module: {error}; names "
            f"that can be used instead: {', '.join(NAMES)}"
        ) from None
    if compiled.flags & regex.REVERSE:
        raise TokenizerError(
            f"pattern {pattern!r} searches backwards; leave out the flag r, as pre-tokens are cut "
            "from the beginning of a text to its end"
        )

    def split(text: str) -> list[str]:
        pre_tokens: list[str] = []
        done = 0
        for match in compiled.finditer(text):
            start, end = match.span()
            if start == end:
                continue
            if done < start:
                pre_tokens.append(text[done:start])
            pre_tokens.append(text[start:end])
            done = end
        if done < len(text):
            pre_tokens.append(text[done:])
        return pre_tokens

    return split


def _in_stated_version(compiled: regex.Pattern[str]) -> Split:
    """Return a split by an expression that matches everything, under ``UNICODE_VERSION``."""

    def split(text: str) -> list[str]:
        pre_tokens: list[str] = compiled.findall(in_stated_version(text))
        if text.isascii():
            return pre_tokens
        ends = list(accumulate(map(len, pre_tokens)))
        return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    return split


_WORDS = _in_stated_version(regex.compile(WORDS))
