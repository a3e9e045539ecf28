"""Text of any script fits into its box, and can be shown at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hornbook.inspection.lines import cells, clean, shortened, wrapped


@given(st.text(), st.integers(2, 40), st.integers(1, 8))
def test_no_line_is_wider_than_the_box(text: str, width: int, limit: int) -> None:
    lines = wrapped(clean(text), width, limit)
    assert 1 <= len(lines) <= limit
    assert all(cells(line) <= width for line in lines)
    assert cells(shortened(clean(text), width)) <= width


@given(st.text(alphabet=st.sampled_from("ab 詩\u0301\n"), max_size=60), st.integers(2, 12))
def test_nothing_but_white_space_is_lost_where_there_is_room(text: str, width: int) -> None:
    lines = wrapped(text, width, 200)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_lines_break_at_spaces_and_keep_indents() -> None:
    code = "def double(x):\n    return x + x  # twice as much"
    assert wrapped(code, 20, 9) == ["def double(x):", "    return x + x  #", "twice as much"]
    assert wrapped("exactly ten", 7, 9) == ["exactly", "ten"]
    assert wrapped("a" * 25, 10, 2) == ["a" * 10, "a" * 9 + "…"]
    assert wrapped("a\n\n\n\nb\nc", 10, 3) == ["a", "", "b…"]


def test_control_characters_become_visible() -> None:
    assert clean("a\x00b\x1b[31m\u202ec\ud83d\ufffe") == "a�b�[31m�c��"
    assert clean("a\r\nb\rc\u2028d\te") == "a\nb\nc\nd   e"
    assert clean("Grüße, 詩 😀 हिन्दी") == "Grüße, 詩 😀 हिन्दी"
