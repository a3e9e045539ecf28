"""What is drawn is what the batch holds: on a row, in a mask, in a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hornbook.data import Batch, LineIds, LineWindows, Positions, TokenSequence
from hornbook.data.numpy_gathering import line_batch
from hornbook.data.windows import LineStrategy
from hornbook.errors import RunError
from hornbook.inspection.svg import check_picture_name, write_picture
from hornbook.inspection.window_picture import DrawnRow, DrawnSegment, drawn_row
from hornbook.inspection.window_svg import windows_svg
from hornbook.models.masks import sawtooth

SVG = "{http://www.w3.org/2000/svg}"


def packed_row(text: str = "{}") -> tuple[Batch, DrawnRow]:
    """Documents of 3 and 2 tokens, and one place of padding."""
    batch = Batch(
        torch.tensor([[0, 5, 6, 0, 7, 9]]),
        torch.tensor([[5, 6, 0, 7, 0, -100]]),
        5,
        torch.tensor([[0, 1, 2, 0, 1, 0]]),
        torch.tensor([[0, 0, 0, 1, 1, -1]]),
    )
    return batch, drawn_row(batch, 0, text.format, pad_id=9)


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    context_length=st.integers(2, 7),
    strategy=st.sampled_from(get_args(LineStrategy)),
    shared=st.booleans(),
)
def test_padding_is_what_lies_outside_of_the_line(
    lengths: list[int], context_length: int, strategy: LineStrategy, shared: bool
) -> None:
    """Also where one id is start, end and padding, as with bytes."""
    ends = np.cumsum(np.array(lengths, dtype=np.uint64))
    tokens = [token for length in lengths for token in [*range(5, length + 4), 0]]
    sequence = TokenSequence([np.array(tokens, dtype=np.uint16)], ends)
    if strategy == "full" and max(lengths) + 1 <= context_length:
        return
    windows = LineWindows(ends, context_length, 1, strategy)
    ids = LineIds(0, 0) if shared else LineIds(1, 3)
    every = np.arange(len(windows), dtype=np.int64)
    batch = line_batch(sequence, windows, every, ids, Positions(), every)
    for index in range(len(windows)):
        window = windows[index]
        row = drawn_row(batch, index, str, pad_id=ids.pad, shows_end=windows.shows_end)
        last = lengths[window.line]  # </s>, which is an input under ``full`` alone
        real = range(last + 1 if windows.shows_end else last)
        expected = [place in real for place in range(window.start, window.stop)]
        assert [token.segment is not None for token in row.tokens] == expected
        wanted = [None if t == -100 else str(t) for t in batch.targets[index].tolist()]
        assert [token.target for token in row.tokens] == wanted


def test_segments_are_numbered_from_the_left() -> None:
    _, row = packed_row()
    assert list(row.segments()) == [
        DrawnSegment(1, 0, 3),
        DrawnSegment(2, 3, 5),
        DrawnSegment(None, 5, 6),
    ]
    assert (row.documents, row.targets, row.padding) == (2, 5, 1)
    assert [token.position for token in row.tokens] == [0, 1, 2, 0, 1, 0]


def test_the_file_draws_every_place_that_is_seen_and_no_other() -> None:
    batch, row = packed_row()
    assert batch.segments is not None
    mask = sawtooth(batch.segments[0]).numpy()
    root = ElementTree.fromstring(windows_svg("a.txt", "packed", [row], (row, mask)))
    shown = ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]
    for text in ("a.txt", "packed", "row 0", "attention mask of row 0"):
        assert text in shown
    assert "segment 2: places 3 to 4" in shown
    assert "padding: place 5" in shown
    runs = re.findall(
        r"M([\d.]+) ([\d.]+)h([\d.]+)v12h",
        " ".join(each.attrib["d"] for each in root.iter(f"{SVG}path")),
    )
    left, top = min(float(x) for x, *_ in runs), min(float(y) for _, y, _ in runs)
    drawn = np.zeros_like(mask)
    for x, y, width in runs:
        begin = round((float(x) - left) / 12)
        drawn[round((float(y) - top) / 12), begin : begin + round(float(width) / 12)] = True
    assert (drawn == mask).all()


def test_a_file_holds_any_text_and_nothing_from_elsewhere() -> None:
    _, row = packed_row("<b>&\x1b\u202e]]> 詩{}")
    text = windows_svg("<script>", 'say "x" & y', [row])
    root = ElementTree.fromstring(text)
    assert "<script" not in text
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    shown = ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]
    assert "<b>&��]]> 詩5" in shown
    assert text == windows_svg("<script>", 'say "x" & y', [row])


def test_everything_lies_on_the_picture() -> None:
    batch = Batch(torch.arange(700)[None], torch.arange(700)[None] + 1, 700)
    row = drawn_row(batch, 0, lambda token: "w" * (token % 40), pad_id=-1)
    mask = sawtooth(torch.zeros(700, dtype=torch.int64)).numpy()
    root = ElementTree.fromstring(windows_svg("a" * 500, "b", [row], (row, mask)))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for box in root.iter(f"{SVG}rect"):
        assert float(box.attrib.get("x", 0)) + float(box.attrib["width"]) <= width
        assert float(box.attrib.get("y", 0)) + float(box.attrib["height"]) <= height
    assert all(float(text.attrib["y"]) < height for text in root.iter(f"{SVG}text"))


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"mask\.pdf should end in \.svg"):
        check_picture_name(tmp_path / "mask.pdf")
    with pytest.raises(RunError, match="there is no folder .*nowhere"):
        check_picture_name(tmp_path / "nowhere" / "mask.svg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(RunError, match="cannot be written: Is a directory"):
        write_picture(tmp_path / "folder.svg", "")
    with pytest.raises(RunError, match="cannot be written: File name too long"):
        write_picture(tmp_path / f"{'a' * 300}.svg", "")
    write_picture(tmp_path / "MASK.SVG", "one")
    write_picture(tmp_path / "MASK.SVG", "two")
    assert (tmp_path / "MASK.SVG").read_text() == "two"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["MASK.SVG", "folder.svg"]
