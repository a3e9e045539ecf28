"""Kernels for rows that lie across compute what NumPy and PyTorch do, row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.models.feedforward import BENDS, FeedForwardKind
from hornbook.models.few_rows import LANES, add_product, lanes_of, rows_of
from hornbook.models.few_rows_block import norm_lanes, turn_lanes
from hornbook.models.one_row import Floats
from hornbook.models.one_row_block import BEND_KINDS, NORM_KINDS, attend_row, bend_all, turn_row


def numbers(*shape: int, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@given(
    rows=st.integers(1, 2 * LANES + 3),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 30),
)
@settings(max_examples=60, deadline=None)
def test_a_product_is_numpys(rows: int, inputs: int, outputs: int) -> None:
    x, weight, bias = numbers(rows, inputs), numbers(outputs, inputs), numbers(outputs)
    before = numbers(rows, outputs, seed=2)
    out = lanes_of(before)
    add_product(lanes_of(x), rows, weight, bias, out)
    expected = before + x @ weight.T + bias
    np.testing.assert_allclose(rows_of(out, rows), expected, atol=2e-5, rtol=1e-5)


@given(rows=st.integers(1, 3 * LANES), width=st.integers(1, 5))
def test_rows_lie_across_and_come_back(rows: int, width: int) -> None:
    x = numbers(rows, width)
    lanes = lanes_of(x)
    assert lanes.shape == (-(-rows // LANES), width, LANES)
    np.testing.assert_array_equal(rows_of(lanes, rows), x)


@pytest.mark.parametrize("kind", sorted(NORM_KINDS))
def test_a_norm_is_pytorchs(kind: str) -> None:
    x, gain, shift = numbers(LANES, 24), numbers(24, seed=2), numbers(24, seed=3)
    lanes = lanes_of(x)[0]
    norm_lanes(lanes, (NORM_KINDS[kind], 1e-5, gain, shift), lanes)
    ready, weight, bias = (torch.from_numpy(each) for each in (x, gain, shift))
    if kind == "layernorm":
        ready = F.layer_norm(ready, (24,), eps=1e-5)
    elif kind == "rmsnorm":
        ready = F.rms_norm(ready, (24,), eps=1e-5)
    expected = (ready * weight + bias).numpy()
    np.testing.assert_allclose(lanes.T, expected, atol=2e-6, rtol=1e-5)


def test_without_an_epsilon_a_row_of_nothing_is_none_and_no_error() -> None:
    lanes, gain = np.zeros((3, LANES), np.float32), np.ones(3, np.float32)
    lanes[:, 0] = 3, -3, 3
    norm_lanes(lanes, (NORM_KINDS["rmsnorm"], 0.0, gain, 0 * gain), lanes)
    np.testing.assert_allclose(lanes[:, 0], [1, -1, 1])
    assert np.isnan(lanes[:, 1:]).all()


def test_each_lane_turns_to_its_own_place() -> None:
    heads, angles = numbers(LANES, 10), numbers(LANES, 3, seed=4)
    cosines, sines = np.cos(angles), np.sin(angles)
    lanes = lanes_of(heads)[0]
    turn_lanes(lanes, lanes_of(cosines)[0], lanes_of(sines)[0])
    for row in range(LANES):
        turn_row(heads[row], cosines[row], sines[row])
    np.testing.assert_allclose(lanes.T, heads, atol=1e-6)


@pytest.mark.parametrize("size", [1, 8, 16, 24, 32, 56, 64, 80, 128, 200])
@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 30), (7, 9), (12, 12)])
def test_attention_of_one_query_is_pytorchs(size: int, first: int, last: int) -> None:
    query, keys, values = numbers(size), numbers(31, size, seed=2), numbers(31, size, seed=3)
    out = np.zeros(size, np.float32)
    attend_row(query, keys, values, (first, last), size**-0.5, out)
    seen = slice(first, last + 1)
    parts = [torch.from_numpy(each)[None] for each in (query[None], keys[seen], values[seen])]
    expected = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
    np.testing.assert_allclose(out, expected.numpy()[0, 0], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", BENDS)
def test_a_bend_is_pytorchs(kind: FeedForwardKind) -> None:
    x, out = 4 * numbers(1000), np.empty(1000, np.float32)
    bend_all(x, BEND_KINDS[kind], out)
    expected = BENDS[kind](torch.from_numpy(x))
    np.testing.assert_allclose(out, expected.numpy(), atol=2e-6, rtol=1e-5)
