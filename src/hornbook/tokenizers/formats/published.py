"""Vocabularies that are known by name: what cuts the text, the special tokens, where they lie.

    Tokenizer.load("gpt2")

Each is one of tiktoken's files, told apart by its SHA-256: GPT-2's vocabulary is ``r50k_base``
there, the same tokens under the same ids as in its ``vocab.json``. The file is kept in the cache
as it came; the tokenizer made of it is kept beside it, because finding the merges again takes
longer than reading them.

Source: tiktoken, ``tiktoken_ext/openai_public.py``, for addresses, checksums and special ids.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hornbook.cache import cache_folder
from hornbook.durable import file_checksum
from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers.base import Tokenizer
from hornbook.tokenizers.bpe import BPETokenizer
from hornbook.tokenizers.formats.tiktoken_file import read_tiktoken
from hornbook.tokenizers.special_tokens import END_OF_TEXT

_FOLDER = "https://openaipublic.blob.core.windows.net/encodings"


@dataclass(frozen=True, slots=True)
class PublishedVocabulary:
    """What is known of one published vocabulary.

    Attributes:
        name: what its publisher calls it.
        pattern: the name of what cuts the text, in ``patterns.PUBLISHED``.
        special_tokens: the id of each special token.
        sha256: the checksum of its tiktoken file.
    """

    name: str
    pattern: str
    special_tokens: Mapping[str, int]
    sha256: str

    @property
    def address(self) -> str:
        """Where its tiktoken file is fetched from."""
        return f"{_FOLDER}/{self.name}.tiktoken"

    @property
    def cached_file(self) -> Path:
        """Where its tiktoken file lies, or will lie once it is fetched or put there by hand."""
        return cache_folder() / "vocabularies" / f"{self.name}.tiktoken"

    @property
    def cached_tokenizer(self) -> Path:
        """Where the tokenizer made of the file is kept."""
        return self.cached_file.with_name(f"{self.name}-{self.sha256[:12]}.json")


R50K = PublishedVocabulary(
    name="r50k_base",
    pattern="gpt2",
    special_tokens=MappingProxyType({END_OF_TEXT: 50256}),
    sha256="306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
)
CL100K = PublishedVocabulary(
    name="cl100k_base",
    pattern="cl100k",
    special_tokens=MappingProxyType(
        {
            END_OF_TEXT: 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        }
    ),
    sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
)
O200K = PublishedVocabulary(
    name="o200k_base",
    pattern="o200k",
    special_tokens=MappingProxyType({END_OF_TEXT: 199999, "<|endofprompt|>": 200018}),
    sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
)

PUBLISHED_VOCABULARIES: Mapping[str, PublishedVocabulary] = MappingProxyType(
    {
        "gpt2": R50K,
        "r50k_base": R50K,
        "cl100k": CL100K,
        "cl100k_base": CL100K,
        "o200k": O200K,
        "o200k_base": O200K,
    }
)
"""Every vocabulary that can be loaded by its name alone."""


def published_file(content: bytes) -> PublishedVocabulary | None:
    """Return the published vocabulary whose tiktoken file this is, or ``None``.

    >>> published_file(b"IQ== 0") is None
    True
    """
    checksum = hashlib.sha256(content).hexdigest()
    known = PUBLISHED_VOCABULARIES.values()
    return next((vocabulary for vocabulary in known if vocabulary.sha256 == checksum), None)


def load_published(name: str, *, listener: Listener = SILENT) -> BPETokenizer:
    """Load a published vocabulary from the cache; fetch it first unless it is there.

    Raises:
        TokenizerError: there is none of that name, it cannot be fetched (says where to put the
            file by hand), or the file in the cache is another one.
    """
    vocabulary = PUBLISHED_VOCABULARIES.get(name)
    if vocabulary is None:
        near = difflib.get_close_matches(name, PUBLISHED_VOCABULARIES, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise TokenizerError(
            f"{name}: there is no such file or folder, and no published vocabulary of that name; "
            f"these can be loaded by name: {', '.join(PUBLISHED_VOCABULARIES)}.{hint}"
        )
    kept = _kept(vocabulary)
    if kept is not None:
        return kept
    path = vocabulary.cached_file
    if not path.exists():
        from hornbook.download import download  # brings HTTP and TLS, which few have use for

        download(
            vocabulary.address,
            path,
            sha256=vocabulary.sha256,
            error=TokenizerError,
            listener=listener,
        )
    elif (found := file_checksum(path)) != vocabulary.sha256:
        raise TokenizerError(
            f"{path}: this is not the published {vocabulary.name}: its SHA-256 is {found}, not "
            f"{vocabulary.sha256}; delete it to fetch it again, or put the published file there"
        )
    tokenizer = read_tiktoken(path, vocabulary.pattern, vocabulary.special_tokens)
    with contextlib.suppress(OSError):  # a cache that cannot be written only costs time
        tokenizer.save(vocabulary.cached_tokenizer)
    return tokenizer


def _kept(vocabulary: PublishedVocabulary) -> BPETokenizer | None:
    """Return the tokenizer made earlier, unless it is damaged or not what is published."""
    try:
        tokenizer = BPETokenizer.load(vocabulary.cached_tokenizer)
    except TokenizerError:
        return None
    expected = (vocabulary.pattern, vocabulary.special_tokens)
    return tokenizer if (tokenizer.pattern, tokenizer.special_tokens) == expected else None


Tokenizer._load_published = staticmethod(load_published)
