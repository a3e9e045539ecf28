"""The bytes of a token for a person's eye: nothing in them is invisible or steers the terminal."""

from __future__ import annotations

_MARKS = {" ": "·", "\n": "⏎", "\t": "→"}


def shown(piece: bytes) -> str:
    """A token's bytes with white space and controls made visible, and stray bytes as ``<E2>``.

    >>> shown(b" a\\tb\\n"), shown(b"\\xe2\\x80"), shown("\\u3000\\u200d".encode())
    ('·a→b⏎', '<E2><80>', '<U+3000><U+200D>')
    """
    return "".join(map(_sign, piece.decode("utf-8", "surrogateescape")))


def _sign(mark: str) -> str:
    code_point = ord(mark)
    if "\udc80" <= mark <= "\udcff":  # how surrogateescape carries a byte that is no text
        return f"<{code_point - 0xDC00:02X}>"
    if mark in _MARKS or mark.isprintable():
        return _MARKS.get(mark, mark)
    if code_point < 0x80:
        return chr(0x2400 + code_point) if code_point < 0x20 else "␡"
    return f"<U+{code_point:04X}>"
