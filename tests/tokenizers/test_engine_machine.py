"""The machine instructions: what they answer, held equal to Python a byte or a bit at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.kernels import kernel
from hornbook.tokenizers.engine import machine
from hornbook.tokenizers.engine.machine import WINDOW, bytes_between_twin

pytestmark = pytest.mark.usefixtures("kernels")

# One kernel for all of them: each costs a compilation.
_between, _first, _above, _bits = (
    machine.bytes_between,
    machine.trailing_zeros,
    machine.leading_zeros,
    machine.count_bits,
)


@kernel
def answers(address: int, low: int, high: int, out: np.ndarray) -> None:
    """Write the mask of a window, its lowest bit, the zeros above its highest, and its bits."""
    mask = _between(address, low, high)
    out[0], out[1], out[2], out[3] = np.int64(mask), _first(mask), _above(mask), _bits(mask)


@settings(max_examples=500, deadline=None)
@given(
    window=st.one_of(
        st.binary(min_size=WINDOW, max_size=WINDOW + 9),
        st.text("az AZ09\x00\x7f\x80é나", min_size=WINDOW).map(str.encode),
    ),
    bounds=st.tuples(st.integers(0, 255), st.integers(0, 255)).map(sorted),
    shift=st.integers(0, 9),
)
def test_bytes_between_equals_its_twin(window: bytes, bounds: list[int], shift: int) -> None:
    low, high = bounds
    shift = min(shift, len(window) - WINDOW)  # at any address
    out, content = np.zeros(4, dtype=np.int64), np.frombuffer(window, dtype=np.uint8)
    answers(machine.address_of(content) + shift, low, high, out)
    mask = bytes_between_twin(window[shift:], low, high)
    assert int(out[0]) & (1 << 64) - 1 == mask
    assert out[1] == (mask & -mask).bit_length() - 1 if mask else out[1] == 64
    assert out[2] == 64 - mask.bit_length()
    assert out[3] == mask.bit_count()


def test_every_byte_lies_within_every_bounds_or_not() -> None:
    out = np.zeros(4, dtype=np.int64)
    for quarter in range(4):
        window = bytes(range(64 * quarter, 64 * quarter + 64))
        content = np.frombuffer(window, dtype=np.uint8)
        for low in range(256):
            for high in (low, min(low + 25, 255), 255):
                answers(machine.address_of(content), low, high, out)
                assert int(out[0]) & (1 << 64) - 1 == bytes_between_twin(window, low, high)


_load_rows = machine.load_row_16, machine.load_row_32, machine.load_row_64
_load_16, _load_32, _load_64 = _load_rows
_with_number, _lowest_in = machine.with_number, machine.lowest_in


@kernel
def lowest_of_rows(address: int, place: int, number: int, out: np.ndarray) -> None:
    """Write the lowest of 16, 32 and 64 numbers, one of which is replaced."""
    out[0] = _lowest_in(_with_number(_load_16(address), place, number))
    out[1] = _lowest_in(_with_number(_load_32(address), place, number))
    out[2] = _lowest_in(_with_number(_load_64(address), place, number))


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 2**32 - 1), min_size=64, max_size=64),
    place=st.integers(0, 63),
    number=st.integers(0, 2**32 - 1),
)
def test_rows(numbers: list[int], place: int, number: int) -> None:
    row, out = np.array(numbers, dtype=np.uint32), np.zeros(3, dtype=np.int64)
    lowest_of_rows(machine.address_of(row), place, number, out)
    row[place] = number
    expected = [row[:count].min() for count in (16, 32, 64)]
    assert out.tolist() == expected
