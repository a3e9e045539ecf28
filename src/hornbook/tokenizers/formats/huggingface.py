"""Hugging Face's ``tokenizer.json`` with byte-level BPE, for ``tokenizers`` and ``transformers``.

    {"version": "1.0", "added_tokens": [special tokens], "normalizer": null,
     "pre_tokenizer": see pre_tokenizers, "post_processor": null, "decoder": ByteLevel,
     "model": {"type": "BPE", "vocab": {"!": 0, ...}, "merges": ["Ġ t", ...], ...}}

The file can ask for far more than we do: to change the text, to drop merges by chance, to wrap
every text in tokens. A key that asks for anything that is not done here is refused by its name.
What is read and written gives the same ids; special tokens there are always recognised, which is
``allowed_special="all"`` here.

Source: the files that ``tokenizers`` writes, and its documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hornbook.durable import write_durably
from hornbook.errors import TokenizerError
from hornbook.tokenizers.bpe import BPETokenizer, spelling
from hornbook.tokenizers.formats.files import json_object, read_file
from hornbook.tokenizers.formats.listed_merges import (
    ListedVocabulary,
    ids_by_name,
    merge_names,
    unreachable_token,
    vocabulary_of_lists,
)
from hornbook.tokenizers.formats.pre_tokenizers import (
    BYTE_LEVEL_KEYS,
    byte_level,
    check_keys,
    pattern_of_pre_tokenizer,
    pre_tokenizer_of_pattern,
)
from hornbook.tokenizers.special_tokens import END_OF_TEXT

_NULL = (None,)
_DOCUMENT: Mapping[str, tuple[object, ...]] = {
    "version": ("1.0",),
    "truncation": _NULL,
    "padding": _NULL,
    "normalizer": _NULL,
}
_MODEL: Mapping[str, tuple[object, ...]] = {
    "type": ("BPE", None),  # the oldest files do not name it
    "dropout": _NULL,
    "unk_token": _NULL,
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "fuse_unk": (False, None),
    "byte_fallback": (False, None),
    "ignore_merges": (False, None, True),
}
_ADDED_TOKEN: Mapping[str, tuple[object, ...]] = {
    "single_word": (False,),
    "lstrip": (False,),
    "rstrip": (False,),
    "normalized": (False, True),  # there is no normalizer
    "special": (True,),
}
"""What a key may be, for every key that can ask for something we do not do."""

_REASONS: Mapping[str, str] = {
    "normalizer": "it changes the text before it is cut, so the text could not come back",
    "truncation": "every text would be shortened",
    "padding": "every text would be filled up",
    "model.type": "only byte-level BPE can be read",
    "model.dropout": "merges would be left out by chance",
    "model.unk_token": "in a byte-level vocabulary there is no unknown text",
    "model.continuing_subword_prefix": "this is no byte-level vocabulary",
    "model.end_of_word_suffix": "this is no byte-level vocabulary",
    "model.byte_fallback": "this is no byte-level vocabulary",
    "single_word": "it is recognised only between words",
    "lstrip": "white space before it would be lost",
    "rstrip": "white space after it would be lost",
    "special": "it is a text that goes before the pattern and the merges",
}


def read_huggingface(path: Path) -> BPETokenizer:
    """Read a tokenizer from a Hugging Face ``tokenizer.json``; see ``tokenizer_of_huggingface``.

    Raises:
        TokenizerError: the file cannot be read, or as ``tokenizer_of_huggingface``.
    """
    return tokenizer_of_huggingface(read_file(path), str(path))


def write_huggingface(tokenizer: BPETokenizer, path: Path) -> None:
    """Write a Hugging Face ``tokenizer.json``, whole or not at all.

    Raises:
        TokenizerError: as ``huggingface_of_tokenizer``.
        OSError: the place cannot be written; what stood there stays.
    """
    write_durably(path, huggingface_of_tokenizer(tokenizer))


def huggingface_of_tokenizer(tokenizer: BPETokenizer) -> bytes:
    """Return a tokenizer as the content of a Hugging Face ``tokenizer.json``.

    >>> content = huggingface_of_tokenizer(BPETokenizer([(117, 103), (104, 256)]))
    >>> json.loads(content)["model"]["merges"]
    ['u g', 'h ug']

    Raises:
        TokenizerError: Oniguruma may read the pattern otherwise, or a special token's name is
            how the alphabet writes another token.
    """
    try:
        pre_tokenizer = pre_tokenizer_of_pattern(tokenizer.pattern)
    except TokenizerError as error:
        raise TokenizerError(
            f"the pattern {tokenizer.pattern!r} cannot be written for Hugging Face's tokenizers, "
            f"whose expressions are Oniguruma's: {error}"
        ) from None
    added = [
        {
            "id": token_id,
            "content": name,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for name, token_id in tokenizer.special_tokens.items()
    ]
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": byte_level(use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            # With the special tokens: those that are not in here are numbered anew on loading.
            "vocab": ids_by_name(tokenizer),
            "merges": [f"{left} {right}" for left, right in merge_names(tokenizer)],
        },
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


def tokenizer_of_huggingface(content: bytes, source: str = "tokenizer.json") -> BPETokenizer:
    """Build the tokenizer that a Hugging Face ``tokenizer.json`` holds.

    A file without special tokens gets ``<|endoftext|>`` behind its last id.

    >>> content = huggingface_of_tokenizer(BPETokenizer([(117, 103), (104, 256)]))
    >>> tokenizer_of_huggingface(content).encode("hugs")
    [257, 115]

    Raises:
        TokenizerError: the file is damaged, or asks for anything that cannot be done exactly;
            names the key and why.
    """
    document = json_object(content, source)
    try:
        return _read(document)
    except TokenizerError as error:
        raise TokenizerError(f"{source}: {error}") from None


def _read(document: Mapping[str, Any]) -> BPETokenizer:
    rest = {"added_tokens", "pre_tokenizer", "post_processor", "decoder", "model"}
    _check_values(document, _DOCUMENT, "", rest)
    model = document.get("model")
    if not isinstance(model, Mapping):
        raise TokenizerError("key 'model': an object is expected; is this a tokenizer.json?")
    _check_values(model, _MODEL, "model.", {"vocab", "merges"})
    _check_byte_level(document, "decoder", "the bytes would not be put together to text")
    if document.get("post_processor") is not None and not _adds_nothing(document["post_processor"]):
        _check_byte_level(document, "post_processor", "tokens would be put around every text")
    pattern = pattern_of_pre_tokenizer(document.get("pre_tokenizer"))
    listed = _listed(model)
    if model.get("ignore_merges"):
        _check_reachable(listed)
    special = _special_tokens(document.get("added_tokens", []), model["vocab"], listed)
    try:
        return BPETokenizer(listed.merges, pattern, special or (END_OF_TEXT,), listed.byte_order)
    except TokenizerError as error:
        raise TokenizerError(f"this vocabulary cannot be used: {error}") from None


def _check_values(
    values: Mapping[str, Any],
    allowed: Mapping[str, tuple[object, ...]],
    prefix: str,
    rest: set[str],
) -> None:
    """Refuse a key that has another value than those allowed, or that is neither in ``rest``."""
    for key, value in values.items():
        name = prefix + key
        if key in rest:
            continue
        if key not in allowed:
            raise TokenizerError(f"key '{name}': is not known, and what it asks for would be lost")
        if not any(value is option or (value == option and value) for option in allowed[key]):
            expected = " or ".join(json.dumps(option) for option in allowed[key])
            reason = _REASONS.get(name) or _REASONS.get(key)
            raise TokenizerError(
                f"key '{name}': only {expected} can be read, not {value!r:.60}"
                + (f"; {reason}" if reason else "")
            )


def _check_byte_level(document: Mapping[str, Any], key: str, otherwise: str) -> None:
    value = document.get(key)
    if not isinstance(value, Mapping) or value.get("type") != "ByteLevel":
        kind = value.get("type") if isinstance(value, Mapping) else value
        raise TokenizerError(f"key '{key}': only ByteLevel can be read, not {kind!r}; {otherwise}")
    check_keys(value, BYTE_LEVEL_KEYS, key)


def _adds_nothing(post_processor: object) -> bool:
    """Tell whether this is the template that ``transformers`` writes where there is none."""
    match post_processor:
        case {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}], **rest}:
            return not rest.get("special_tokens")
    return False


def _listed(model: Mapping[str, Any]) -> ListedVocabulary:
    vocabulary, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocabulary, Mapping):
        raise TokenizerError("key 'model.vocab': an object, token to id, is expected")
    if not isinstance(merges, list):
        raise TokenizerError("key 'model.merges': a list of merges is expected")
    pairs: list[tuple[str, str]] = []
    for number, merge in enumerate(merges):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        match parts:
            case [str(left), str(right)] if left and right:
                pairs.append((left, right))
            case _:
                raise TokenizerError(
                    f"key 'model.merges[{number}]': 'left right' or ['left', 'right'] is "
                    f"expected, not {merge!r:.60}"
                )
    return vocabulary_of_lists(
        vocabulary, pairs, "key 'model.vocab'", lambda number: f"key 'model.merges[{number}]'"
    )


def _check_reachable(listed: ListedVocabulary) -> None:
    token_id = unreachable_token(listed.merges, listed.byte_order)
    if token_id is not None:
        tokens = BPETokenizer(listed.merges, "none", byte_order=listed.byte_order)
        raise TokenizerError(
            f"key 'model.ignore_merges': true gives token {token_id}, "
            f"{spelling(tokens.token_bytes(token_id))!r}, to a text that the merges would encode "
            "otherwise; it can only be read where it changes nothing"
        )


def _special_tokens(
    added: object, vocabulary: Mapping[str, int], listed: ListedVocabulary
) -> dict[str, int]:
    """Return the ids of the added tokens, which must all be special."""
    if not isinstance(added, list):
        raise TokenizerError("key 'added_tokens': a list is expected")
    ids: dict[str, int] = {}
    next_id = len(vocabulary)
    for number, token in enumerate(added):
        key = f"added_tokens[{number}]"
        if not isinstance(token, Mapping):
            raise TokenizerError(f"key '{key}': an object is expected, not {token!r:.60}")
        _check_values(token, _ADDED_TOKEN, f"{key}.", {"id", "content"})
        name, token_id = token.get("content"), token.get("id")
        if not isinstance(name, str) or type(token_id) is not int:
            raise TokenizerError(f"key '{key}': needs a 'content' and a whole number as 'id'")
        given = vocabulary.get(name, next_id)
        if token_id != given:
            raise TokenizerError(
                f"key '{key}.id': {name!r} has the id {token_id}, but Hugging Face's tokenizers "
                f"give it {given}, by the vocabulary and the tokens before it"
            )
        next_id = max(next_id, token_id + 1)
        ids[name] = token_id
    for name, token_id in listed.others.items():
        if name not in ids:
            raise TokenizerError(
                f"key 'model.vocab': {name!r} (id {token_id}) is neither a byte nor made by a "
                "merge nor among the added tokens, so no text would ever give its id"
            )
    return ids
