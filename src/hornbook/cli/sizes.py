"""Sizes as people write them: 10GB, 512 MiB, 1.5e6."""

from __future__ import annotations

import re

from hornbook.errors import HornbookError

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{letter}B": 1000**power for power, letter in enumerate("KMGTP", start=1)}
_UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGTP", start=1)}
_SIZE = re.compile(r"(\d+(?:\.\d+)?(?:[eE]\d{1,2})?)\s*([A-Za-z]*)", re.ASCII)


def parse_size(text: str, option: str) -> int:
    """Return a size in bytes; ``option`` is named where the text is none.

    >>> parse_size("10GB", "--corpus-size"), parse_size("1.5 kB", "--corpus-size")
    (10000000000, 1500)
    >>> parse_size("2GiB", "--corpus-size"), parse_size("300", "--corpus-size")
    (2147483648, 300)

    Raises:
        HornbookError: the text is no size, or the size is zero.
    """
    found = _SIZE.fullmatch(text.strip())
    unit = _UNITS.get(found[2].upper()) if found else None
    size = round(float(found[1]) * unit) if found and unit else 0
    if size < 1:
        raise HornbookError(
            f"{option}={text}: a size is expected, such as 500MB, 10GB or 2GiB; without a unit it "
            "counts bytes."
        )
    return size
