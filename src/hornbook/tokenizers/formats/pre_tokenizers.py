r"""How Hugging Face's ``tokenizer.json`` says where a text is cut, and how we say it.

    "gpt2"            {"type": "ByteLevel", "use_regex": true, ...}
    "none"            {"type": "ByteLevel", "use_regex": false, ...}
    any other         {"type": "Sequence", "pretokenizers": [SPLIT, the same ByteLevel]}
    SPLIT             {"type": "Split", "pattern": {"Regex": "..."}, "behavior": "Isolated", ...}

``ByteLevel`` with ``use_regex`` cuts with GPT-2's expression in its first form. ``cl100k`` is
written without the plus of ``\p{N}{1,3}+``: nothing follows it in its branch that could take a
digit back, and Oniguruma would read the plus as one more repetition. ``$`` can stay in it: after
``\s++`` it could only match before a line end, which ``\s++`` would have taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hornbook.errors import TokenizerError
from hornbook.tokenizers.formats.shared_syntax import check_shared
from hornbook.tokenizers.patterns import PUBLISHED, WORDS

GPT2_AS_FIRST_PUBLISHED = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)
CL100K_AS_FIRST_PUBLISHED = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Cuts white space that ends a text after its last line end, which tiktoken no longer does. Files
that hold it are read as they are, as an expression of their own."""

EXPRESSIONS: Mapping[str, str] = {
    "gpt2": PUBLISHED["gpt2"],
    "cl100k": PUBLISHED["cl100k"].replace(r"\p{N}{1,3}+", r"\p{N}{1,3}"),
    "o200k": PUBLISHED["o200k"],
    "words": WORDS,
}
"""How Oniguruma has to be told the patterns that go by a name."""

_NAMES = {expression: name for name, expression in EXPRESSIONS.items()} | {
    GPT2_AS_FIRST_PUBLISHED: "gpt2"
}
_WHOLE_TEXT = {*_NAMES, CL100K_AS_FIRST_PUBLISHED}
"""Expressions that leave nothing between their matches."""

BYTE_LEVEL_KEYS = frozenset({"type", "add_prefix_space", "trim_offsets", "use_regex"})
_SPLIT_KEYS = frozenset({"type", "pattern", "behavior", "invert"})


def pre_tokenizer_of_pattern(pattern: str) -> dict[str, Any]:
    """Return the value of ``pre_tokenizer`` that cuts as a pattern does.

    >>> pre_tokenizer_of_pattern("none")["use_regex"]
    False

    Raises:
        TokenizerError: the pattern is an expression that Oniguruma may read otherwise.
    """
    if pattern in ("gpt2", "none"):
        return byte_level(use_regex=pattern == "gpt2")
    expression = EXPRESSIONS.get(pattern)
    if expression is None:
        check_shared(pattern)
        expression = pattern
    split = {
        "type": "Split",
        "pattern": {"Regex": expression},
        "behavior": "Isolated",
        "invert": False,
    }
    return {"type": "Sequence", "pretokenizers": [split, byte_level(use_regex=False)]}


def byte_level(*, use_regex: bool) -> dict[str, Any]:
    """Return the step that writes bytes in GPT-2's alphabet, and may cut before.

    >>> byte_level(use_regex=True)["type"]
    'ByteLevel'
    """
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def pattern_of_pre_tokenizer(value: object) -> str:
    """Return the pattern that cuts as a ``pre_tokenizer`` does.

    >>> pattern_of_pre_tokenizer(pre_tokenizer_of_pattern("cl100k"))
    'cl100k'

    Raises:
        TokenizerError: it does something else, or with an expression that ``regex`` may read
            otherwise; begins with the key at fault.
    """
    key = "pre_tokenizer"
    if _type_of(value, key) == "ByteLevel":
        return "gpt2" if _cuts(value, key) else "none"
    steps = value.get("pretokenizers") if isinstance(value, Mapping) else None
    if _type_of(value, key) != "Sequence" or not isinstance(steps, list) or len(steps) != 2:
        raise TokenizerError(
            f"key '{key}': ByteLevel, or a Sequence of Split and ByteLevel, is expected, "
            f"not {_type_of(value, key)}{_types(steps)}"
        )
    split, last = steps
    if _type_of(split, f"{key}.pretokenizers[0]") != "Split":
        raise TokenizerError(
            f"key '{key}.pretokenizers[0]': Split is expected before ByteLevel, not "
            f"{split['type']!r}"
        )
    if _type_of(last, f"{key}.pretokenizers[1]") != "ByteLevel":
        raise TokenizerError(
            f"key '{key}.pretokenizers[1]': ByteLevel is expected after Split, not {last['type']!r}"
        )
    if _cuts(last, f"{key}.pretokenizers[1]"):
        raise TokenizerError(
            f"key '{key}.pretokenizers[1].use_regex': cuts once more with GPT-2's expression what "
            "Split has cut; only false can be read there"
        )
    return _pattern_of_split(split, f"{key}.pretokenizers[0]")


def _pattern_of_split(split: Mapping[str, Any], key: str) -> str:
    check_keys(split, _SPLIT_KEYS, key)
    pattern = split.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, Mapping) else None
    if not isinstance(expression, str):
        raise TokenizerError(f"key '{key}.pattern': a Regex is expected, not {pattern!r}")
    way = (split.get("behavior"), split.get("invert"))
    dropping = way == ("Removed", True) and expression in _WHOLE_TEXT
    if way != ("Isolated", False) and not dropping:
        raise TokenizerError(
            f"key '{key}.behavior': 'Isolated' with invert=false is expected, which keeps every "
            f"match and all text between, not {way[0]!r} with invert={way[1]!r}"
        )
    if expression in _NAMES:
        return _NAMES[expression]
    try:
        check_shared(expression)
    except TokenizerError as error:
        raise TokenizerError(f"key '{key}.pattern.Regex': {error}") from None
    return expression


def _cuts(byte_level: Any, key: str) -> bool:
    """Check a ByteLevel step and return whether it cuts."""
    check_keys(byte_level, BYTE_LEVEL_KEYS, key)
    if byte_level.get("add_prefix_space") is not False:
        raise TokenizerError(
            f"key '{key}.add_prefix_space': only false can be read; a space put in front of a text "
            "is a change of the text"
        )
    cuts = byte_level.get("use_regex", True)
    if not isinstance(cuts, bool):
        raise TokenizerError(f"key '{key}.use_regex': true or false, not {cuts!r}")
    return cuts


def check_keys(value: Mapping[str, Any], known: frozenset[str], key: str) -> None:
    """Refuse keys whose meaning is not known, for what they say would be lost.

    Raises:
        TokenizerError: names the key.
    """
    for name in value:
        if name not in known:
            raise TokenizerError(
                f"key '{key}.{name}': is not known, and what it asks for would be lost"
            )


def _type_of(value: object, key: str) -> str:
    kind = value.get("type") if isinstance(value, Mapping) else None
    if not isinstance(kind, str):
        raise TokenizerError(f"key '{key}': an object with a 'type' is expected, not {value!r:.60}")
    return kind


def _types(steps: object) -> str:
    if not isinstance(steps, list):
        return ""
    kinds = [step.get("type") if isinstance(step, Mapping) else step for step in steps]
    return f" of {', '.join(map(str, kinds))}"
