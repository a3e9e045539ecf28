"""The table of classes: tiktoken's own, and that of the ``regex`` module wherever both know a sign.

tiktoken's engine is asked again about every code point, so the table is as young as the tiktoken
that is installed; when that learns a younger Unicode, the first test says so.
"""

import make_unicode_classes as maker
import numpy as np
import pytest
import regex

from hornbook.tokenizers.unicode_classes import (
    CODE_POINTS,
    NAMES,
    UNICODE_VERSION,
    class_table,
    in_stated_version,
)

MOVED_LATER = {0x295: ("lower", "letter")}
"""ʕ was lower case until Unicode 16 and is a letter without case since: (then, now)."""


@pytest.fixture(scope="module")
def assigned() -> set[int]:
    """Every code point that the stated version of Unicode assigns, as tiktoken knows it."""
    return maker.matched(r"\P{Cn}")


def test_the_table_is_what_tiktoken_cuts_by() -> None:
    assert maker.UNICODE_VERSION == UNICODE_VERSION
    assert maker.rendered() == maker.TABLE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", maker.EXPRESSIONS)
def test_the_regex_module_agrees(name: str, assigned: set[int]) -> None:
    everything = "".join(map(chr, range(CODE_POINTS)))
    theirs = set(map(ord, regex.findall(maker.EXPRESSIONS[name], everything))) & assigned
    ours = set(np.flatnonzero(class_table() == NAMES.index(name)).tolist())
    different = {code for code in ours ^ theirs if name in MOVED_LATER.get(code, ())}
    # A regex module that is old enough still agrees about what has moved since.
    assert ours ^ theirs == different
    assert ours <= assigned


def test_what_is_in_no_class_is_other() -> None:
    table = class_table()
    assert table.shape == (CODE_POINTS,)
    assert table.dtype == np.uint8
    classified = {code for text in maker.EXPRESSIONS.values() for code in maker.matched(text)}
    assert set(np.flatnonzero(table).tolist()) == classified
    assert not table[0xD800:0xE000].any()
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1


def test_stand_ins_have_the_class_of_what_they_stand_for() -> None:
    """Only then does a regular expression of any version cut as the stated one."""
    codes = [code for code in range(CODE_POINTS) if not 0xD800 <= code <= 0xDFFF]
    plain = in_stated_version("".join(map(chr, codes)))
    assert len(plain) == len(codes)
    table = class_table()
    then = table[codes]
    assert np.array_equal(table[[ord(sign) for sign in plain]], then)
    for number, (name, expression) in enumerate(maker.EXPRESSIONS.items(), start=1):
        assert NAMES[number] == name
        found = [place.start() for place in regex.finditer(expression, plain)]
        assert found == np.flatnonzero(then == number).tolist()


def test_bytes_that_are_no_utf8_are_other() -> None:
    escaped = b"\xff\xc3(\xed\xa0\x80".decode("utf-8", "surrogateescape")
    assert in_stated_version(escaped) == "€€(€€€"


def test_what_is_known_from_the_first_byte() -> None:
    from hornbook.tokenizers.engine.characters import IDEOGRAPHS, SYLLABLES

    table, letter = class_table(), NAMES.index("letter")
    for first, last in (IDEOGRAPHS, SYLLABLES):
        low = bytes([first, 0x80, 0x80]).decode("utf-8")
        high = bytes([last, 0xBF, 0xBF]).decode("utf-8")
        assert (table[ord(low) : ord(high) + 1] == letter).all()
