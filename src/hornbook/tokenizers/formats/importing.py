"""Whatever file of another tool it is: find out which, and read it with what it does not say.

    tokenizer = import_tokenizer(Path("cl100k_base.tiktoken"), pattern="cl100k")

A file of ours is no foreign one and is refused, because ``Tokenizer.load`` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from hornbook.errors import TokenizerError
from hornbook.tokenizers.bpe import BPETokenizer
from hornbook.tokenizers.formats.files import json_object, read_file
from hornbook.tokenizers.formats.gpt2_files import (
    MERGES_FILE,
    VOCABULARY_FILE,
    tokenizer_of_gpt2,
)
from hornbook.tokenizers.formats.huggingface import tokenizer_of_huggingface
from hornbook.tokenizers.formats.published import published_file
from hornbook.tokenizers.formats.tiktoken_file import tokenizer_of_ranks
from hornbook.tokenizers.patterns import NAMES
from hornbook.tokenizers.special_tokens import END_OF_TEXT, SpecialTokens
from hornbook.tokenizers.tokenizer_file import FILE_NAME

Format: TypeAlias = Literal["huggingface", "tiktoken", "gpt2"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""The files of other tools that can be read and written."""


def import_tokenizer(
    path: Path,
    merges: Path | None = None,
    *,
    form: Format | None = None,
    pattern: str | None = None,
    special_tokens: Mapping[str, int] | None = None,
) -> BPETokenizer:
    """Read a tokenizer from a file, or a folder of files, of another tool.

    Args:
        path: the file, or a folder with ``tokenizer.json`` or GPT-2's two files.
        merges: GPT-2's ``merges.txt``, where ``path`` is its ``vocab.json``.
        form: which tool's file it is; found out from its content if not given.
        pattern: what cuts a text, for files that do not say it. A published tiktoken file has
            that of its publisher, GPT-2's files have ``gpt2``, unless another is given.
        special_tokens: the id of each special token, for tiktoken files, which do not say it. A
            published file has those of its publisher, others ``<|endoftext|>`` behind the last
            rank.

    Raises:
        TokenizerError: the file cannot be read or says something else already; or as
            ``tokenizer_of_huggingface``, ``tokenizer_of_ranks`` and ``tokenizer_of_gpt2``.
    """
    if path.is_dir():
        path, merges = _files_in(path, merges, form)
    content = read_file(path)
    form = form or format_of(content, str(path), with_merges=merges is not None)
    if form != "gpt2" and merges is not None:
        raise TokenizerError(f"{merges}: only GPT-2's vocab.json has merges in a file of their own")
    if form != "tiktoken" and special_tokens:
        raise TokenizerError(
            f"{path}: says itself which special tokens it has; leave out those given"
        )
    if form == "huggingface":
        if pattern is not None:
            raise TokenizerError(f"{path}: says itself where text is cut; leave out the pattern")
        return tokenizer_of_huggingface(content, str(path))
    if form == "gpt2":
        if merges is None:
            raise TokenizerError(
                f"{path}: looks like GPT-2's vocab.json; its merges.txt is needed, too"
            )
        sources = (str(path), str(merges))
        return tokenizer_of_gpt2(content, read_file(merges), pattern or "gpt2", sources)
    return _import_ranks(content, str(path), pattern, special_tokens)


def format_of(content: bytes, source: str, *, with_merges: bool = False) -> Format:
    """Return which tool's file this is.

    >>> format_of(b"IQ== 0", "ranks")
    'tiktoken'

    Raises:
        TokenizerError: it is a JSON file of no known kind, or of ours.
    """
    if with_merges:
        return "gpt2"
    if not (source.endswith(".json") or content.lstrip().startswith((b"{", b"["))):
        return "tiktoken"
    document = json_object(content, source)
    if "schema_version" in document:
        raise TokenizerError(f"{source}: this is a hornbook tokenizer; use it as it is")
    if "model" in document and not isinstance(document["model"], int):
        return "huggingface"
    if document and all(type(value) is int for value in document.values()):
        return "gpt2"
    raise TokenizerError(
        f"{source}: is neither a Hugging Face tokenizer.json (it has no 'model') nor GPT-2's "
        "vocab.json (which holds tokens and their ids)"
    )


def _import_ranks(
    content: bytes, source: str, pattern: str | None, special_tokens: Mapping[str, int] | None
) -> BPETokenizer:
    published = published_file(content)
    if pattern is None and published is None:
        raise TokenizerError(
            f"{source}: a tiktoken file does not say where text is cut, and this is no published "
            f"one; give its pattern: {', '.join(NAMES)}, or a regular expression"
        )
    placed: SpecialTokens = (END_OF_TEXT,)
    if published is not None:
        pattern, placed = pattern or published.pattern, published.special_tokens
    return tokenizer_of_ranks(content, pattern or "", special_tokens or placed, source)


def _files_in(folder: Path, merges: Path | None, form: Format | None) -> tuple[Path, Path | None]:
    """Return the file to read in a folder, and its merges."""
    document, vocabulary = folder / FILE_NAME, folder / VOCABULARY_FILE
    if document.is_file() and form in (None, "huggingface") and merges is None:
        return document, None
    if vocabulary.is_file() and form in (None, "gpt2"):
        return vocabulary, merges or folder / MERGES_FILE
    raise TokenizerError(
        f"{folder}: holds neither {FILE_NAME} nor {VOCABULARY_FILE} and {MERGES_FILE}"
        + (f" to read as {form}" if form else "")
        + "; name the file itself"
    )
