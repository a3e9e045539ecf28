"""Make ``unicode_classes.txt``: ask tiktoken's own engine about every code point.

    python tests/tokenizers/make_unicode_classes.py

The published vocabularies mean what tiktoken's regular expressions cut, so the one Unicode
version that counts is the one built into them.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import tiktoken

TABLE = Path(__file__).parents[2] / "src" / "hornbook" / "tokenizers" / "unicode_classes.txt"
UNICODE_VERSION = "16.0"
EXPRESSIONS = {
    "upper": r"[\p{Lu}\p{Lt}]",
    "lower": r"\p{Ll}",
    "letter": r"[\p{Lm}\p{Lo}]",
    "mark": r"\p{M}",
    "number": r"\p{N}",
    "space": r"\s",
}
HEADER = f"""\
# The class of every code point of Unicode {UNICODE_VERSION}: first, last (hexadecimal), class.
# What is not listed is of the class "other". A letter is upper (general category Lu, Lt),
# lower (Ll) or letter (Lm, Lo); mark is M, number N, space the property White_Space.
# Made by tests/tokenizers/make_unicode_classes.py; do not edit.
"""


def matched(expression: str) -> set[int]:
    """Every code point that one regular expression of tiktoken matches."""
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    single_bytes = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding(
        "classes", pat_str=expression, mergeable_ranks=single_bytes, special_tokens={}
    )
    # Text that an expression does not match gives no ids at all.
    return set(map(ord, bytes(encoding.encode_ordinary(everything)).decode("utf-8")))


def rendered() -> str:
    """The content of the table."""
    assert matched(rf"\p{{age={UNICODE_VERSION}}}") >= matched(r"\P{Cn}")  # nothing is younger
    class_of = {code: name for name, text in EXPRESSIONS.items() for code in matched(text)}
    lines = []
    for (name, _), run in groupby(
        enumerate(sorted(class_of)), key=lambda pair: (class_of[pair[1]], pair[1] - pair[0])
    ):
        codes = [code for _, code in run]
        lines.append(f"{codes[0]:X} {codes[-1]:X} {name}\n")
    return HEADER + "".join(lines)


if __name__ == "__main__":
    TABLE.write_text(rendered(), encoding="utf-8")
