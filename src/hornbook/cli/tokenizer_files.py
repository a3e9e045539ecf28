"""``tokenizer encode --out`` and ``decode FILE``: a file of text to a file of tokens, and back."""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hornbook.tokenizers import Tokenizer


def named_file(word: str) -> Path | None:
    """Return the file that a word names, or ``None`` if there is none of that name.

    >>> named_file("The river") is None
    True
    """
    try:
        path = Path(word)
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return None


def encode_to_file(
    tokenizer: Tokenizer, file: Path, out: Path, errors: Literal["strict", "bytes"]
) -> None:
    """Encode a text file into a file of tokens, and print what came of it.

    Raises:
        HornbookError: the text cannot be read or is not UTF-8, or the tokens cannot be written.
    """
    from hornbook.cli.screen import ScreenListener, visible
    from hornbook.data.file_encoding import encode_file
    from hornbook.tokenizers.streams import usable_cores

    began = time.perf_counter()
    with ScreenListener() as listener:
        encoded = encode_file(
            tokenizer, file, out, threads=usable_cores(), errors=errors, listener=listener
        )
    seconds = time.perf_counter() - began
    each = f", {encoded.bytes / encoded.tokens:.2f} bytes per token" if encoded.tokens else ""
    print(f"{encoded.tokens:,} tokens of {encoded.bytes:,} bytes{each}")
    print(f"{seconds:.1f} s, {encoded.bytes / 1e6 / seconds:.1f} MB/s, kernels loaded and all")
    print(visible(str(out)))


def decode_from_file(tokenizer: Tokenizer, file: Path, out: Path | None) -> None:
    """Write the text of a file of tokens to another file, or to standard output.

    Raises:
        HornbookError: the file is no file of tokens, is damaged, or holds an id outside the
            vocabulary; or ``out`` cannot be written.
    """
    from hornbook.cli.screen import ScreenListener, visible
    from hornbook.data.array_file import open_array, verify_array
    from hornbook.data.file_encoding import decode_file, decoded_chunks

    if out is not None:
        with ScreenListener() as listener:
            size = decode_file(tokenizer, file, out, listener=listener)
        print(f"{size:,} bytes")
        print(visible(str(out)))
        return
    verify_array(file)
    print_bytes(decoded_chunks(tokenizer, open_array(file), str(file)))


def print_bytes(chunks: Iterable[bytes]) -> None:
    """Write bytes to standard output: exactly into a pipe, as text and a line end on a terminal."""
    from hornbook.cli.screen import on_terminal, write_text

    if on_terminal(sys.stdout):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for chunk in chunks:
            write_text(decoder.decode(chunk))
        write_text(decoder.decode(b"", final=True) + "\n")
        return
    sys.stdout.flush()
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
