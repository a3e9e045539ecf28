"""From a text file of any size to one array file of its token ids, and back to its bytes.

    encoded = encode_file(tokenizer, "books.txt", "books.tokens")
    ids = open_array(Path("books.tokens"))      # uint16 or uint32 [tokens], memory-mapped
    decode_file(tokenizer, "books.tokens", "the-same-books.txt")

Encoding takes nearly all of the time, and shall take all of it: one thread reads ahead and
checks that the bytes are UTF-8, another narrows, writes and flushes to the disk behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hornbook.corpora.decoding import checked_utf8
from hornbook.corpora.streams import Reading, byte_chunks, local_size
from hornbook.data.array_file import durable_array, durable_file, open_array, verify_array
from hornbook.data.overlap import WriteBehind, read_ahead
from hornbook.data.token_store import token_width
from hornbook.errors import DataError, TokenizerError
from hornbook.listener import SILENT, Listener, Progress
from hornbook.tokenizers import Tokenizer

MUCH_TEXT = 1 << 23
"""From so much text on a tokenizer is told to make ready before the first byte is read [bytes]."""

DECODED_AT_ONCE = 1 << 18
"""How many ids are decoded at a time; their bytes are several times as many."""


@dataclass(frozen=True, slots=True)
class EncodedFile:
    """What came of a text file.

    Attributes:
        tokens: how many ids were written.
        bytes: how long the text was, decompressed [bytes].
        width: what an id takes in the file, 2 or 4 [bytes].
    """

    tokens: int
    bytes: int
    width: int


def encode_file(
    tokenizer: Tokenizer,
    path: str | Path,
    out: str | Path,
    *,
    threads: int = 1,
    errors: Literal["strict", "bytes"] = "strict",
    listener: Listener = SILENT,
) -> EncodedFile:
    """Encode one text file into one array file, whole or not at all, in bounded memory.

    The ids are those of the whole text, ``tokenizer.encode_array(content)``; nothing in it is
    special. Memory grows only where nothing says where the text may be cut: a pattern of one's
    own, or megabytes without the end of a word.

    Args:
        tokenizer: decides the width: two bytes an id up to 65,536 entries, else four.
        path: a file or an address; the text of a ``.gz`` or ``.zst`` is encoded decompressed.
        out: the file to write; see ``array_file``. What stands there is replaced.
        threads: how many encode; one more reads ahead, and one writes behind.
        errors: what to do about bytes that are not UTF-8: refuse the first, or keep them all
            by the rule of ``Tokenizer.encode_bytes``.
        listener: is told how far it is, in bytes as they are stored.

    Raises:
        CorpusError: the file cannot be read, or is not UTF-8; names the byte.
        DataError: the tokens cannot be written.
        TokenizerError: the bytes are not UTF-8, and this family of tokenizers reads only text.
    """
    location, out = str(path), Path(out)
    size = local_size(location)
    if size is not None and out.exists() and out.samefile(location):
        raise DataError(f"{out} is the text itself; write the tokens to another file.")
    if size is None or size >= MUCH_TEXT:
        tokenizer.prepare(listener)
    width = token_width(tokenizer.vocab_size)
    read = _Tally()
    chunks = byte_chunks(location, Reading(read))
    if errors == "strict":
        otherwise = '--errors bytes keeps such bytes, in Python errors="bytes"'
        chunks = checked_utf8(chunks, location, otherwise)
    text = _Tally()
    told = 0
    try:
        with (
            durable_array(out, width) as writer,
            listener.progress("encoding", total=size, unit="B") as progress,
            WriteBehind(writer.append) as behind,
        ):
            for ids in tokenizer.encode_stream(text.counted(read_ahead(chunks)), threads=threads):
                behind.write(ids)
                progress.advance(read.total - told)
                told = read.total
        return EncodedFile(writer.count, text.total, width)
    except OSError as error:
        raise DataError(
            f"{out}: the tokens cannot be written: {error.strerror or error}. They take about "
            "half a byte for each byte of text; name another place, or make room."
        ) from error


def decode_file(
    tokenizer: Tokenizer, path: str | Path, out: str | Path, *, listener: Listener = SILENT
) -> int:
    """Write the bytes that the ids of an array file stand for, whole or not at all.

    What ``encode_file`` made of a text gives exactly its bytes, in bounded memory.

    Args:
        tokenizer: the one that made the ids.
        path: the array file.
        out: the file to write. What stands there is replaced.
        listener: is told how far it is, in tokens.

    Returns:
        How much was written [bytes].

    Raises:
        DataError: the array file cannot be read or is damaged, or ``out`` cannot be written.
        TokenizerError: an id stands for nothing; names its position.
    """
    path, out = Path(path), Path(out)
    ids = open_array(path)
    verify_array(path)
    if out.exists() and out.samefile(path):
        raise DataError(f"{out} holds the tokens themselves; write the text to another file.")
    try:
        with (
            durable_file(out) as aside,
            open(aside, "wb") as file,
            listener.progress("decoding", total=len(ids), unit="tokens") as progress,
        ):
            for chunk in decoded_chunks(tokenizer, ids, str(path)):
                file.write(chunk)
                progress.advance(min(DECODED_AT_ONCE, len(ids)))
            return file.tell()
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}.") from error


def decoded_chunks(
    tokenizer: Tokenizer, ids: NDArray[np.unsignedinteger], name: str = "ids"
) -> Iterator[bytes]:
    """Yield the bytes that ids [tokens] stand for, in chunks of bounded size.

    Args:
        tokenizer: the one that made them.
        ids: all ids, such as ``open_array`` gives.
        name: where they come from.

    Raises:
        TokenizerError: an id is outside the vocabulary or unused in it; names its position
            among all ids, counted from 0. Nothing has been yielded then.
    """
    known = tokenizer.byte_lengths() > 0
    known[list(tokenizer.special_tokens.values())] = True
    chunks = range(0, len(ids), DECODED_AT_ONCE)
    for start in chunks:
        chunk = ids[start : start + DECODED_AT_ONCE]
        stands = known[np.minimum(chunk, len(known) - 1)] & (chunk < len(known))
        if not stands.all():
            place = int(np.argmin(stands))
            raise TokenizerError(
                f"{name}: the id at position {start + place} (counted from 0) is {chunk[place]}, "
                f"which stands for nothing in this vocabulary of {len(known):,} entries; was it "
                "made with another tokenizer?"
            )
    for start in chunks:
        yield tokenizer.decode_bytes(np.asarray(ids[start : start + DECODED_AT_ONCE]))


class _Tally(Progress):
    """Counts, in whatever thread, what another one tells the listener."""

    def __init__(self) -> None:
        self.total = 0

    def advance(self, amount: int) -> None:
        self.total += amount

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield chunks, and count their bytes."""
        for chunk in chunks:
            self.total += len(chunk)
            yield chunk
