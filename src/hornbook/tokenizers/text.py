"""What counts as text: Unicode, whole. Everything a tokenizer takes in passes through here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hornbook.errors import TokenizerError
from hornbook.listener import SILENT, Listener


def check_text(text: str, where: str = "the text") -> None:
    """Refuse what is not Unicode text.

    Raises:
        TokenizerError: ``text`` is no string, or holds half of a surrogate pair; the message
            names ``where`` and the character's position.
    """
    utf8(text, where)


def utf8(text: str, where: str = "the text") -> bytes:
    """Return a text as UTF-8, or refuse it as ``check_text`` does.

    >>> utf8("é")
    b'\\xc3\\xa9'
    """
    if not isinstance(text, str):
        hint = "; decode it first" if isinstance(text, bytes) else ""
        raise TokenizerError(f"{where}: a text is expected, not {type(text).__name__}{hint}")
    try:
        return str.encode(text, "utf-8")  # and not as what inherits from it would
    except UnicodeEncodeError as error:
        position = error.start
        raise TokenizerError(
            f"{where}: character {position} is a lone surrogate (U+{ord(text[position]):04X}), "
            "which no Unicode text may hold; read the file with its real encoding, or replace "
            "such characters before encoding"
        ) from None


def plain(text: str | bytes, where: str = "the text") -> str | bytes:
    """Return a text as Python's own ``str``, or bytes as its own ``bytes``.

    Kernels go by the length; what inherits from these types may say any.

    >>> plain(bytearray(b"to be"))
    b'to be'

    Raises:
        TokenizerError: it is neither a text nor bytes; the message names ``where``.
    """
    if type(text) is str or type(text) is bytes:
        return text
    return str.__str__(text) if isinstance(text, str) else content_of(text, where)


def content_of(text: str | bytes, where: str = "the text") -> bytes:
    """Return a text, or bytes that are a text or not, as bytes.

    Raises:
        TokenizerError: as ``utf8``.
    """
    return bytes(text) if isinstance(text, bytes | bytearray) else utf8(text, where)


def corpus_texts(
    texts: Iterable[str], title: str = "reading", listener: Listener = SILENT
) -> Iterator[str]:
    """Yield the texts of a corpus that are not empty, checked; tell the listener how far it is.

    >>> list(corpus_texts(["to be", "", "or not"]))
    ['to be', 'or not']

    Raises:
        TokenizerError: something is no Unicode text (named by its number), or there is no text
            at all to learn from.
    """
    if isinstance(texts, str):
        raise TokenizerError(
            "a corpus is several texts, not one: pass a list of documents, such as [text]"
        )
    empty = True
    with listener.progress(title, total=None, unit="characters") as progress:
        for number, text in enumerate(texts):
            check_text(text, f"text {number} of the corpus")
            if text:
                empty = False
                yield text
                progress.advance(len(text))
    if empty:
        raise TokenizerError("the corpus is empty: no text holds a character to learn from")
