"""The tokenizer beside a model of theirs: found, read exactly, and written again.

    tokenizer.json            in one file, or
    vocab.json, merges.txt    in GPT-2's two; what both can say is told in ``tokenizers.formats``
    tokenizer_config.json     which of the special tokens begins and ends a text

Llama 3 puts ``<|begin_of_text|>`` before every text that it encodes. A tokenizer here adds nothing
that was not asked for, so that is kept as a setting of the run, ``sampling.add_start``, and written
back into the file on the way out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers import BPETokenizer, ByteTokenizer, Tokenizer
from hornbook.tokenizers.formats.files import json_object, read_file
from hornbook.tokenizers.formats.gpt2_files import MERGES_FILE, VOCABULARY_FILE
from hornbook.tokenizers.formats.huggingface import (
    huggingface_of_tokenizer,
    tokenizer_of_huggingface,
)
from hornbook.tokenizers.formats.importing import import_tokenizer
from hornbook.tokenizers.tokenizer_file import FILE_NAME

GPT2_ENTRIES = 50257
"""Entries of GPT-2's vocabulary, which is known by name."""


@dataclass(frozen=True, slots=True)
class FoundTokenizer:
    """A tokenizer and how a text is to be begun with it.

    Attributes:
        tokenizer: its vocabulary.
        adds_start: whether the model expects the start token before every text.
        source: where it came from, to tell a person.
    """

    tokenizer: Tokenizer
    adds_start: bool
    source: str


def find_tokenizer(
    folder: Path, given: str | None, entries: int, *, listener: Listener = SILENT
) -> FoundTokenizer:
    """The tokenizer that belongs to a model.

    Args:
        folder: where the model's files lie.
        given: what a person named instead: a file, a folder, a run, or a published vocabulary.
        entries: how many ids the model scores.
        listener: is told of a download.

    Raises:
        TokenizerError: there is none, or it cannot be read exactly; says what to give instead.
    """
    if given is not None:
        return open_tokenizer(given, listener=listener)
    if (folder / FILE_NAME).is_file() or (folder / VOCABULARY_FILE).is_file():
        return open_tokenizer(str(folder), listener=listener)
    advice = (
        f"give the model's tokenizer with --tokenizer: a {FILE_NAME}, a folder with "
        f"{VOCABULARY_FILE} and {MERGES_FILE}, or a run"
    )
    if (folder / "tokenizer.model").is_file():
        raise TokenizerError(
            f"{folder / 'tokenizer.model'}: is a SentencePiece vocabulary, which is no byte-level "
            f"BPE and cannot be read exactly; {advice}"
        )
    if entries != GPT2_ENTRIES:
        raise TokenizerError(
            f"{folder}: holds no {FILE_NAME}, and the model's {entries:,} ids are not those of "
            f"GPT-2's vocabulary ({GPT2_ENTRIES:,}); {advice}"
        )
    try:
        return FoundTokenizer(Tokenizer.load("gpt2", listener=listener), False, "gpt2, by its name")
    except TokenizerError as error:
        raise TokenizerError(
            f"{folder}: holds no tokenizer, and GPT-2's could not be had: {error}. Or {advice}"
        ) from error


def open_tokenizer(given: str, *, listener: Listener = SILENT) -> FoundTokenizer:
    """Read a tokenizer of ours or of another tool; see ``find_tokenizer``."""
    path = Path(given)
    if path.is_dir() and (path / FILE_NAME).is_file():
        path = path / FILE_NAME
    if not path.is_file():
        if path.is_dir():
            return FoundTokenizer(import_tokenizer(path), False, str(path))
        return FoundTokenizer(Tokenizer.load(given, listener=listener), False, given)
    content = read_file(path)
    if not content.lstrip().startswith(b"{"):
        return FoundTokenizer(import_tokenizer(path), False, str(path))
    document = json_object(content, str(path))
    if "schema_version" in document:
        return FoundTokenizer(Tokenizer.load(path), False, str(path))
    if "model" not in document:
        merges = path.with_name(MERGES_FILE) if path.name == VOCABULARY_FILE else None
        return FoundTokenizer(import_tokenizer(path, merges), False, str(path))
    start, rest = without_start(document)
    content = json.dumps(with_possible_merges(rest)).encode()
    tokenizer = tokenizer_of_huggingface(content, str(path))
    if start is None:
        return FoundTokenizer(tokenizer, False, str(path))
    if tokenizer.special_tokens.get(start) != tokenizer.start_id:
        first = tokenizer.decode([tokenizer.start_id])
        raise TokenizerError(
            f"{path}: key 'post_processor': {start!r} would be put before every text, and the "
            f"start token of this vocabulary would be {first!r}; only the special token of the "
            "lowest id, or <|endoftext|>, can begin a text"
        )
    return FoundTokenizer(tokenizer, True, str(path))


def without_start(document: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """Part a ``tokenizer.json`` from the token that it puts before every text.

    Returns:
        the token, and the document without that step; or ``None`` and the document as it is.

    >>> template = {"type": "TemplateProcessing",
    ...             "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]}
    >>> without_start({"post_processor": template})
    ('<s>', {'post_processor': None})
    >>> without_start({"post_processor": None})
    (None, {'post_processor': None})
    """
    step = document.get("post_processor")
    kept = None
    if isinstance(step, Mapping) and step.get("type") == "Sequence":
        match step.get("processors"):
            case [{"type": "ByteLevel"} as before, last]:
                kept, step = before, last
    match step:
        case {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": str(name)}}, {"Sequence": {"id": "A"}}],
        }:
            return name, {**document, "post_processor": kept}
    return None, document


def with_possible_merges(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out of a ``tokenizer.json`` the merges that cannot be, so that it can be read.

    A file that was made out of tiktoken's, such as Llama 3's, lists for each token every two that
    spell it, even those with a part that gets its own id only later. Text is merged in the order
    of the ids, so such a part is not there when its turn comes; another of the listed merges is.
    A token whose only merge is of that kind keeps it, and the file is refused where it is read.

    >>> vocabulary = {"a": 0, "aa": 1, "aaaa": 2, "aaa": 3}
    >>> merges = ["a a", "a aaa", "aa aa", "aaa a", "aa a"]
    >>> read = with_possible_merges({"model": {"vocab": vocabulary, "merges": merges}})
    >>> read["model"]["merges"]
    ['a a', 'aa aa', 'aa a']
    """
    model = document.get("model")
    match model:
        case {"vocab": dict(vocabulary), "merges": list(merges)}:
            pass
        case _:
            return document
    kept, made = [], set()
    for merge in merges:
        match merge.split(" ") if isinstance(merge, str) else merge:
            case [str(left), str(right)]:
                made_id = vocabulary.get(left + right)
            case _:
                return document  # damaged: told where it is read
        later = [part for part in (left, right) if _later(vocabulary.get(part), made_id)]
        if not later:
            kept.append(merge)
            made.add(made_id)
    lost = {vocabulary.get("".join(_parts(merge))) for merge in merges} - made
    return document if lost else {**document, "model": {**model, "merges": kept}}


def _parts(merge: Any) -> list[str]:
    return merge.split(" ") if isinstance(merge, str) else merge


def _later(part_id: Any, made_id: Any) -> bool:
    return type(part_id) is int and type(made_id) is int and part_id > made_id


def written_tokenizer(tokenizer: Tokenizer, *, adds_start: bool) -> bytes:
    """The content of a ``tokenizer.json`` that gives the same ids.

    Raises:
        TokenizerError: no such file can hold this vocabulary.
    """
    if isinstance(tokenizer, ByteTokenizer):
        tokenizer = BPETokenizer([], "none", tuple(tokenizer.special_tokens))
    if not isinstance(tokenizer, BPETokenizer):
        raise TokenizerError(
            f"tokenizer.kind={tokenizer.kind} (a tokenizer.json holds byte-level BPE: bpe or byte)"
        )
    content = huggingface_of_tokenizer(tokenizer)
    if not adds_start:
        return content
    document = json.loads(content)
    name = special_name(tokenizer, tokenizer.start_id)
    start = {"SpecialToken": {"id": name, "type_id": 0}}
    first, second = ({"Sequence": {"id": part, "type_id": 0}} for part in "AB")
    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [start, first],
        "pair": [start, first, start, second],
        "special_tokens": {name: {"id": name, "ids": [tokenizer.start_id], "tokens": [name]}},
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


def tokenizer_config(tokenizer: Tokenizer, context_length: int) -> dict[str, Any]:
    """The keys of ``tokenizer_config.json``: a plain reader of the ``tokenizer.json`` beside it."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": special_name(tokenizer, tokenizer.start_id),
        "eos_token": special_name(tokenizer, tokenizer.end_id),
        "pad_token": special_name(tokenizer, tokenizer.pad_id),
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
    }


def special_name(tokenizer: Tokenizer, token_id: int) -> str:
    """The name of a special token.

    >>> special_name(ByteTokenizer(), 256)
    '<|endoftext|>'
    """
    return next(name for name, number in tokenizer.special_tokens.items() if number == token_id)
