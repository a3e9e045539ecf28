"""Bytes to text, chunk by chunk, with the exact place of the first byte that is not UTF-8."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Literal

from hornbook.errors import CorpusError

Errors = Literal["strict", "replace"]

BYTE_ORDER_MARK = "\ufeff"

_STRETCH = 1 << 16
"""How much is decoded at once only to see whether it can be: what is made stays in the
processor's cache, which is twice as fast as a MiB at a time [bytes]."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(
    chunks: Iterable[bytes], name: str, errors: Errors | Literal["surrogateescape"] = "strict"
) -> Iterator[str]:
    """Decode UTF-8; a byte order mark at the start is dropped, nothing else is changed.

    How the bytes are cut into chunks makes no difference to the text or to an error. Under
    ``surrogateescape`` each invalid byte becomes half of a surrogate pair, so that a reader of
    lines can leave out those that hold one.

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


_READ_ALL_THE_SAME = (
    "corpus.errors=replace reads it all the same, with U+FFFD in place of what cannot be decoded"
)


def checked_utf8(
    chunks: Iterable[bytes], name: str, otherwise: str = _READ_ALL_THE_SAME
) -> Iterator[bytes]:
    """Yield chunks as they are, or refuse the first byte that is not UTF-8.

    Args:
        chunks: bytes in any pieces; a character may be cut.
        name: what the bytes come from.
        otherwise: what a person can do who wants such bytes read all the same.

    >>> list(checked_utf8([b"caf\\xc3", b"\\xa9"], "menu.txt"))
    [b'caf\\xc3', b'\\xa9']

    Raises:
        CorpusError: names the byte's offset, as ``decode`` does.
    """
    pending = b""  # the beginning of a character that the next chunk completes
    offset = 0
    for chunk in chunks:
        view = memoryview(pending + chunk if pending else chunk)
        place = 0
        try:
            while used := codecs.utf_8_decode(view[place : place + _STRETCH], "strict", False)[1]:
                place += used
        except UnicodeDecodeError as error:
            raise invalid_utf8(name, error, offset + place, otherwise) from None
        pending = bytes(view[place:])
        offset += place
        yield chunk
    try:
        pending.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid_utf8(name, error, offset, otherwise) from None


def invalid_utf8(
    name: str, error: UnicodeDecodeError, start: int, otherwise: str = _READ_ALL_THE_SAME
) -> CorpusError:
    """Describe a decoding error in bytes that begin at offset ``start`` of ``name``."""
    offset = start + error.start
    return CorpusError(
        f"{name}: not UTF-8 text: {error.reason} at byte {offset} "
        f"(0x{error.object[error.start]:02x}, counted from 0). If this file is text in another "
        f"encoding, convert it to UTF-8; {otherwise}."
    )


def holds_surrogates(text: str) -> bool:
    """Say whether a text holds half of a surrogate pair, which UTF-8 cannot write.

    >>> holds_surrogates("a\\ud800b"), holds_surrogates("ab")
    (True, False)
    """
    return _SURROGATE.search(text) is not None


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
