"""Bytes to text, chunk by chunk, with the exact place of the first byte that is not UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Literal

from hornbook.errors import CorpusError

Errors = Literal["strict", "replace"]

BYTE_ORDER_MARK = "\ufeff"

_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(chunks: Iterable[bytes], name: str, errors: Errors = "strict") -> Iterator[str]:
    """Decode UTF-8; a byte order mark at the start is dropped, nothing else is changed.

    How the bytes are cut into chunks makes no difference to the text or to an error.

    >>> "".join(decode([b"caf\\xc3", b"\\xa9"], "menu.txt"))
    'café'

    Raises:
        CorpusError: under ``strict``, for the first invalid byte, naming its offset from
            the start of the (decompressed) file, counted from 0.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors)
    fed = 0
    begun = False
    for chunk, final in _with_end(chunks):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            raise invalid_utf8(name, error, fed - pending) from None
        fed += len(chunk)
        if not begun and text:
            begun = True
            text = text.removeprefix(BYTE_ORDER_MARK)
        if text:
            yield text


def invalid_utf8(name: str, error: UnicodeDecodeError, start: int) -> CorpusError:
    """Describe a decoding error in bytes that begin at offset ``start`` of ``name``."""
    offset = start + error.start
    return CorpusError(
        f"{name}: not UTF-8 text: {error.reason} at byte {offset} "
        f"(0x{error.object[error.start]:02x}, counted from 0). If this file is text in another "
        "encoding, convert it to UTF-8; corpus.errors=replace reads it all the same, with "
        "U+FFFD in place of what cannot be decoded."
    )


def without_surrogates(text: str, where: str, errors: Errors) -> str:
    """Return ``text`` if UTF-8 can write it; lone halves of surrogate pairs become U+FFFD.

    Such halves cannot stand in a UTF-8 file, but JSON can spell them.

    >>> without_surrogates("a\\ud800b", "x.jsonl, line 1", "replace")
    'a\\ufffdb'

    Raises:
        CorpusError: under ``strict``, when there is one.
    """
    found = _SURROGATE.search(text)
    if found is None:
        return text
    if errors == "strict":
        raise CorpusError(
            f"{where}: the text holds U+{ord(found[0]):04X}, half of a surrogate pair, which is "
            "no character. Mend the file, or read it with corpus.errors=replace, which puts "
            "U+FFFD there."
        )
    return _SURROGATE.sub("\ufffd", text)


def _with_end(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each chunk, then an empty one that is marked as the end."""
    for chunk in chunks:
        yield chunk, False
    yield b"", True
