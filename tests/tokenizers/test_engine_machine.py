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
