"""Every encoder of the comparison, each in the fastest way that it offers, on one thread.

All are built from the same published files, without network. Not used, since slower or not
equal: tokie's ``encode`` and ``encode_batch_flat`` (half the speed of its ``encode_files``) and its
``encode_bytes`` (ids other than GPT-2's); rustbpe's encoder, which takes no published vocabulary.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks.tokenizer_texts import Text
from hornbook.tokenizers import BPETokenizer
from hornbook.tokenizers.formats.byte_alphabet import byte_alphabet
from hornbook.tokenizers.formats.gpt2_files import read_gpt2
from hornbook.tokenizers.formats.tiktoken_file import read_tiktoken

Ids: TypeAlias = NDArray[Any]
Encode: TypeAlias = Callable[[], Ids]

MODULES = {
    "tokie": "tokie",
    "quicktok": "quicktok",
    "tiktoken": "tiktoken",
    "Hugging Face": "tokenizers",
    "rustbpe": "rustbpe",
}
"""The module of each peer."""

DISTRIBUTIONS = {**MODULES, "quicktok": "quicktok-v1"}
"""The name of each peer on the package index."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """One way from a text to an array of ids.

    Attributes:
        name: the peer, or ``hornbook``.
        most: how much of a text it is timed on [bytes]; less where it is slow.
        fresh: builds it anew, with nothing remembered of any text, and returns the call to time.
    """

    name: str
    most: int
    fresh: Callable[[Text], Encode]


def installed(peer: str) -> bool:
    """Tell whether a peer can be imported."""
    return importlib.util.find_spec(MODULES[peer]) is not None


def imported(peer: str) -> Any:
    """Return the module of a peer; types of what may be absent are not checked."""
    return importlib.import_module(MODULES[peer])


def encoders(vocabulary: str, files: Path, aside: Path) -> list[Encoder]:
    """Return the encoders that know a vocabulary and are installed; ours is the first.

    Args:
        vocabulary: ``gpt2``, ``cl100k`` or ``o200k``.
        files: the folder of published vocabularies.
        aside: a folder for files made on the way.
    """
    found = [our_encoder(our_tokenizer(vocabulary, files))]
    if vocabulary == "gpt2" and installed("Hugging Face"):
        path = huggingface_file(files, aside)
        found += [tokie_encoder(path)] if installed("tokie") else []
        found.append(huggingface_encoder(path))
    if vocabulary != "gpt2" and installed("quicktok"):
        found.append(quicktok_encoder(vocabulary, files))
    if installed("tiktoken"):
        found.append(tiktoken_encoder(vocabulary, files))
    return found


# Ours.


@cache
def our_tokenizer(vocabulary: str, files: Path) -> BPETokenizer:
    """Return our tokenizer of a published vocabulary, out of the published files."""
    if vocabulary == "gpt2":
        return read_gpt2(files / "gpt2-vocab.json", files / "gpt2-merges.txt")
    return read_tiktoken(files / f"{vocabulary}_base.tiktoken", vocabulary)


def our_encoder(tokenizer: BPETokenizer) -> Encoder:
    """Return ours: bytes in, a uint32 array out; tables stand before the first text comes."""
    document = tokenizer.to_json()

    def fresh(text: Text) -> Encode:
        anew = BPETokenizer.from_json(document)
        anew.prepare()
        return lambda: anew.encode_array(text.content)

    return Encoder("hornbook", 1 << 40, fresh)


# Theirs.


@lru_cache(maxsize=2)
def reference_ids(vocabulary: str, files: Path, path: Path) -> Ids:
    """Return tiktoken's ids of a file, which every encoder's are compared with."""
    text = path.read_bytes().decode("utf-8")
    return tiktoken_encoding(vocabulary, files).encode_to_numpy(text, disallowed_special=())


def tiktoken_encoder(vocabulary: str, files: Path) -> Encoder:
    """Return tiktoken, to an array; it remembers nothing, so the same object is always fresh."""
    encoding = tiktoken_encoding(vocabulary, files)

    def fresh(text: Text) -> Encode:
        return lambda: encoding.encode_to_numpy(text.string, disallowed_special=())

    return Encoder("tiktoken", 5_000_000, fresh)


@cache
def tiktoken_encoding(vocabulary: str, files: Path) -> Any:
    """Return tiktoken's own definition of an encoding, its downloads replaced by our files."""
    import tiktoken
    from tiktoken import load
    from tiktoken_ext import openai_public

    def read_gpt2(**_: object) -> dict[bytes, int]:
        # tiktoken's reader of these two files wants a first line that not every copy has.
        byte_of = {character: byte for byte, character in byte_alphabet().items()}
        ids = json.loads((files / "gpt2-vocab.json").read_text(encoding="utf-8"))
        del ids["<|endoftext|>"]
        return {bytes(byte_of[sign] for sign in name): rank for name, rank in ids.items()}

    def read_ranks(address: str, **_: object) -> dict[bytes, int]:
        return load.load_tiktoken_bpe(str(files / address.rpartition("/")[2]))

    replaced = {"data_gym_to_mergeable_bpe_ranks": read_gpt2, "load_tiktoken_bpe": read_ranks}
    name = vocabulary if vocabulary == "gpt2" else f"{vocabulary}_base"
    # An empty folder name keeps tiktoken from copying the files into its cache.
    with (
        mock.patch.dict("os.environ", TIKTOKEN_CACHE_DIR=""),
        mock.patch.multiple(openai_public, **replaced),
    ):
        return tiktoken.Encoding(**openai_public.ENCODING_CONSTRUCTORS[name]())


def quicktok_encoder(vocabulary: str, files: Path) -> Encoder:
    """Return quicktok, to an array, with the vocabulary inside it, which must be the published.

    Raises:
        ValueError: its vocabulary is another one.
    """
    quicktok = imported("quicktok")

    published = tiktoken_encoding(vocabulary, files)._mergeable_ranks
    inside = quicktok.Tokenizer(f"{vocabulary}_base", "")
    tokens = inside.token_byte_values()
    if {token: inside.encode_single_token(token) for token in tokens} != published:
        raise ValueError(f"quicktok's {vocabulary} is not the published vocabulary of {files}")

    def fresh(text: Text) -> Encode:
        anew = quicktok.Tokenizer(f"{vocabulary}_base", "")
        return lambda: anew.encode_batch([text.string], 1)[0]

    return Encoder("quicktok", 1 << 40, fresh)


def huggingface_file(files: Path, aside: Path) -> Path:
    """Write GPT-2 as Hugging Face's ``tokenizer.json`` with that library, and return its path."""
    library = imported("Hugging Face")
    paths = str(files / "gpt2-vocab.json"), str(files / "gpt2-merges.txt")
    tokenizer = library.Tokenizer(library.models.BPE.from_file(*paths))
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library.decoders.ByteLevel()
    path = aside / "gpt2-tokenizer.json"
    tokenizer.save(str(path))
    return path


def tokie_tokenizer(files: Path, aside: Path) -> Any | None:
    """Return tokie with GPT-2, or ``None`` where it, or what writes its file, is not installed."""
    if not (installed("tokie") and installed("Hugging Face")):
        return None
    return imported("tokie").Tokenizer.from_json(str(huggingface_file(files, aside)))


def tokie_encoder(path: Path) -> Encoder:
    """Return tokie: a file in, a uint32 array out, the whole file as one document."""
    tokie = imported("tokie")

    def fresh(text: Text) -> Encode:
        anew = tokie.Tokenizer.from_json(str(path))
        return lambda: anew.encode_files([str(text.path)], separator=b"")[0]

    return Encoder("tokie", 1 << 40, fresh)


def huggingface_encoder(path: Path) -> Encoder:
    """Return Hugging Face's ``tokenizers``: pieces of some kilobytes, in which it is fastest."""
    library = imported("Hugging Face")

    def fresh(text: Text) -> Encode:
        anew = library.Tokenizer.from_file(str(path))
        pieces = list(safe_pieces(text.string, 2000))

        def encode() -> Ids:
            encodings = anew.encode_batch_fast(pieces, add_special_tokens=False)
            return np.concatenate([np.array(one.ids, np.uint32) for one in encodings])

        return encode

    return Encoder("Hugging Face", 1_000_000, fresh)


def safe_pieces(text: str, length: int) -> Iterable[str]:
    """Cut a text into pieces of about ``length`` characters where GPT-2's pattern cuts anyway.

    Such a place is before the space of a space and a letter that follow a letter.

    >>> list(safe_pieces("To be, or not to be", 6))
    ['To be, or', ' not to', ' be']
    """
    start = 0
    border = re.compile(r"(?<=[a-zA-Z])(?= [a-zA-Z])")
    while found := border.search(text, start + length):
        yield text[start : found.start()]
        start = found.start()
    yield text[start:]
