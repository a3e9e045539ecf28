"""From a text file of any size to one array file of its token ids, and back to its bytes.

    encoded = encode_file(tokenizer, "books.txt", "books.tokens")
    ids = open_array(Path("books.tokens"))          # uint16 or uint32 [tokens], memory-mapped
    b"".join(decoded_chunks(tokenizer, ids))        # the bytes of books.txt

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
from hornbook.data.array_file import durable_array
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
        chunks = checked_utf8(chunks, location, 'errors="bytes" keeps such bytes')
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
            among all ids, counted from 0.
    """
    for start in range(0, len(ids), DECODED_AT_ONCE):
        chunk = np.asarray(ids[start : start + DECODED_AT_ONCE])
        try:
            yield tokenizer.decode_bytes(chunk)
        except TokenizerError:
            raise _unknown_id(tokenizer, chunk, start, name) from None


def _unknown_id(
    tokenizer: Tokenizer, chunk: NDArray[np.unsignedinteger], start: int, name: str
) -> TokenizerError:
    """Describe the first id of a chunk that the tokenizer cannot decode."""
    for place, token_id in enumerate(chunk.tolist()):
        try:
            tokenizer.token_bytes(token_id)
        except TokenizerError:
            return TokenizerError(
                f"{name}: the id at position {start + place} (counted from 0) is {token_id}, which "
                f"stands for nothing in this vocabulary of {tokenizer.vocab_size:,} entries; was "
                "it made with another tokenizer?"
            )
    raise AssertionError("every id can be decoded")


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
