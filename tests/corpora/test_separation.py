"""Documents depend on the text alone, never on how it arrived."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.corpora.decoding import decode
from hornbook.corpora.separation import (
    SeparateBy,
    Separation,
    part_end,
    parts,
    rule_for,
)
from hornbook.errors import CorpusError

SEPARATOR = "aba"  # overlaps itself: the hardest kind

awkward = st.text(alphabet="ab \t\r\n\x0bé中😀", max_size=60)
byte_strings = st.lists(
    st.sampled_from(
        [b"a", b"\n", b"\xc3", b"\xa9", b"\xe4\xb8\xad", b"\xf0\x9f", b"\x98\x80", b"\xff"]
    )
).map(b"".join)


def cut_at(text, places):
    """Cut ``text`` at every place that lies inside it."""
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in zip(bounds, bounds[1:], strict=False)]


def whole_documents(pieces):
    """Put parts together again: {number: text}."""
    found: dict[int, str] = {}
    for number, text, _ in pieces:
        found[number] = found.get(number, "") + text
    return found


@given(
    awkward,
    st.lists(st.integers(0, 100), max_size=8),
    st.sampled_from(get_args(SeparateBy)),
    st.integers(1, 20),
)
def test_any_chunking_gives_the_same_documents(text, places, separate_by, limit):
    rule = rule_for(separate_by, SEPARATOR)
    at_once = Separation([text], rule, limit)
    in_chunks = Separation(cut_at(text, places), rule, limit)
    one_by_one = Separation(list(text), rule, limit)
    expected = list(at_once)
    assert list(in_chunks) == expected
    assert list(one_by_one) == expected
    assert in_chunks.empty == one_by_one.empty == at_once.empty


@given(awkward, st.sampled_from(get_args(SeparateBy)), st.integers(1, 20))
def test_parts_are_the_document(text, separate_by, limit):
    rule = rule_for(separate_by, SEPARATOR)
    pieces = list(Separation([text], rule, limit))
    assert all(0 < len(part) <= limit for _, part, _ in pieces)
    unlimited = {n: whole for n, whole, _ in Separation([text], rule)}
    whole = whole_documents(pieces)
    assert unlimited.items() <= whole.items()
    # Only white space longer than the limit is kept when cut and dropped when whole.
    assert all(whole[n].isspace() for n in whole.keys() - unlimited.keys())
    ends = {n for n, _, complete in pieces if complete}
    assert ends == whole.keys()


@given(awkward)
def test_lines_lose_their_end_and_nothing_else(text):
    lines = text.split("\n")
    ended = [line.removesuffix("\r") for line in lines[:-1]] + lines[-1:]
    expected = [line for line in ended if line.strip()]
    assert [line for _, line, _ in Separation([text], rule_for("line", ""))] == expected


@given(awkward)
def test_a_separator_cuts_as_str_split_does(text):
    expected = [piece for piece in text.split(SEPARATOR) if piece.strip()]
    found = [piece for _, piece, _ in Separation([text], rule_for("separator", SEPARATOR))]
    assert found == expected


@given(awkward)
def test_blank_lines_cut_as_a_plain_reading_of_lines_does(text):
    paragraphs: list[str] = []
    current = ""
    for line in re.findall(r"[^\n]*\n|[^\n]+\Z", text):
        if line.strip(" \t\r\n") == "" and "\r" not in line.removesuffix("\n").removesuffix("\r"):
            paragraphs.append(current)
            current = ""
        else:
            current += line
    paragraphs.append(current)
    expected = [
        p.removesuffix("\n").removesuffix("\r") if p.endswith("\n") else p for p in paragraphs
    ]
    found = [p for _, p, _ in Separation([text], rule_for("blank_line", ""))]
    if not text.endswith("\r"):  # a lone carriage return at the very end stays
        assert found == [p for p in expected if p.strip()]


def test_what_each_rule_drops_and_counts():
    lines = Separation(["one\r\n\r\n  \ntwo"], rule_for("line", ""))
    assert list(lines) == [(1, "one", True), (4, "two", True)]
    assert lines.empty == 2
    blank = Separation(["\n\na\r\nb\r\n \t\r\n\r\nc\n"], rule_for("blank_line", ""))
    assert list(blank) == [(1, "a\r\nb", True), (2, "c", True)]
    whole = Separation([" \n"], rule_for("file", ""))
    assert list(whole) == []
    assert whole.empty == 1


def test_a_long_text_is_cut_where_the_tokens_are_cut_anyway():
    text = "first line.\nsecond line\n third"
    assert part_end(text, 20) == len("first line.\n")
    assert part_end("no line end at all", 11) == len("no line ")
    assert part_end("nospaceatall", 5) == 5
    # Before a digit, a space or another script's letter the line end is no quiet place.
    assert part_end("a b\n1\n é\nxyz", 10) == 9
    assert part_end("ab\ncdef", 3) == 3  # what follows the limit decides about the limit itself


@given(st.text(alphabet="ab.\n 1é", min_size=2, max_size=80), st.integers(1, 30))
def test_every_cut_is_the_best_place_of_its_window(text, limit):
    start = 0
    for part, complete in parts(text, limit):
        if complete:
            break
        window = text[start : start + limit + 1]
        quiet = [m.end() for m in re.finditer(r"(?<=[!-~])\n(?=[A-Za-z])", window)]
        spaces = [m.end() for m in re.finditer(r"\s", window[:limit])]
        assert len(part) == (quiet or spaces or [limit])[-1]
        start += len(part)


@given(byte_strings, st.lists(st.integers(0, 100), max_size=8))
def test_decoding_does_not_depend_on_chunks(data, places):
    expected_error = None
    try:
        expected = data.decode("utf-8")
    except UnicodeDecodeError as error:
        expected_error, expected = error, ""
    chunks = cut_at(data, places)
    if expected_error is None:
        assert "".join(decode(chunks, "x")) == expected
    else:
        with pytest.raises(CorpusError, match=rf"at byte {expected_error.start} "):
            "".join(decode(chunks, "x"))
    assert "".join(decode(chunks, "x", "replace")) == data.decode("utf-8", "replace")
    bytewise = [data[i : i + 1] for i in range(len(data))]
    assert "".join(decode(bytewise, "x", "replace")) == data.decode("utf-8", "replace")


def test_a_byte_order_mark_is_dropped_at_the_start_only():
    data = "\ufeffa\ufeffb".encode()
    assert "".join(decode([data[:1], data[1:2], data[2:]], "x")) == "a\ufeffb"
