"""The class of every code point: what ``\\p{L}``, ``\\p{N}`` and ``\\s`` mean, once and for all.

Unicode grows each year, and a regular expression means something else with each version. The
published vocabularies were cut by one engine, tiktoken's, so this is its version:

    UNICODE_VERSION = "16.0"

``unicode_classes.txt`` beside this file lists runs of code points. Tests compare it, code point
by code point, with tiktoken's engine and with the ``regex`` module.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

UNICODE_VERSION = "16.0"
"""The version of Unicode that every pattern here means."""

OTHER, UPPER, LOWER, LETTER, MARK, NUMBER, SPACE = range(7)
"""The classes. A letter is upper or title case, lower case, or of a script without case."""

NAMES = ("other", "upper", "lower", "letter", "mark", "number", "space")

CODE_POINTS = 0x110000

# One character of each class, whatever the version of Unicode.
_STAND_INS = np.array([ord(sign) for sign in "€Àà一\u0301²\u00a0"], dtype=np.uint32)
_THEMSELVES = (0x17F, 0x2019)
"""Signs that patterns name: the long s, which is an s in any case, and the apostrophe ’."""


@lru_cache(maxsize=1)
def class_table() -> NDArray[np.uint8]:
    """Return the class of each code point: uint8 [1114112], read-only.

    >>> table = class_table()
    >>> [NAMES[table[ord(sign)]] for sign in "Aaあ٣ \\u0301€"]
    ['upper', 'lower', 'letter', 'number', 'space', 'mark', 'other']
    """
    table = np.zeros(CODE_POINTS, dtype=np.uint8)
    text = files("hornbook.tokenizers").joinpath("unicode_classes.txt").read_text("utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            first, last, name = line.split()
            table[int(first, 16) : int(last, 16) + 1] = NAMES.index(name)
    table.flags.writeable = False
    return table


def in_stated_version(text: str) -> str:
    """Return a text of equal length whose characters have the same classes in every version.

    Characters beyond ASCII are replaced by one that stands for their class, so that a regular
    expression finds in it what it would find with ``UNICODE_VERSION``.

    >>> in_stated_version("né 나 ٣"), in_stated_version("\\u1c89")  # new in version 16
    ('nà 一 ²', 'À')
    """
    if text.isascii():
        return text
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    plain = np.where(codes < 128, codes, _STAND_INS[class_table()[codes]])
    for code in _THEMSELVES:
        plain = np.where(codes == code, codes, plain)
    return plain.astype("<u4").tobytes().decode("utf-32-le")
