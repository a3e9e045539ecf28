"""Vector arithmetic is what ``math`` says, over all that a float32 can be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hornbook.kernels import summing_kernel
from hornbook.models.exponentials import (
    error_function,
    exponential,
    hyperbolic_tangent,
    logistic,
)
from hornbook.models.one_row import Floats


@summing_kernel
def exponentials(x: Floats, out: Floats) -> None:
    for place in range(len(x)):
        out[place] = exponential(x[place])


@summing_kernel
def error_functions(x: Floats, out: Floats) -> None:
    for place in range(len(x)):
        out[place] = error_function(x[place])


@summing_kernel
def tangents(x: Floats, out: Floats) -> None:
    for place in range(len(x)):
        out[place] = hyperbolic_tangent(x[place])


@summing_kernel
def logistics(x: Floats, out: Floats) -> None:
    for place in range(len(x)):
        out[place] = logistic(x[place])


def test_the_exponential_is_right_to_the_last_place_within_kernels_that_reorder_sums() -> None:
    x = np.linspace(-87, 88, 200_001, dtype=np.float32)
    out = np.empty_like(x)
    exponentials(x, out)
    expected = np.exp(x.astype(np.float64))
    assert np.max(np.abs(out - expected) / np.spacing(expected.astype(np.float32))) < 1.5


def test_beyond_what_a_float_holds_it_is_large_or_nearly_nothing() -> None:
    out = np.empty(4, np.float32)
    exponentials(np.array([200, np.inf, -200, -np.inf], np.float32), out)
    assert (out[:2] > 1e38).all()
    assert (out[2:] < 1e-37).all()
    assert (out[2:] >= 0).all()


@pytest.mark.parametrize("kernel", [exponentials, error_functions, tangents, logistics])
def test_nan_stays(kernel: object) -> None:
    out = np.zeros(40, np.float32)
    kernel(np.full(40, np.nan, np.float32), out)  # pyright: ignore[reportCallIssue]
    assert np.isnan(out).all()


def test_relatives_are_those_of_math() -> None:
    x = np.linspace(-12, 12, 100_001, dtype=np.float32)
    out = np.empty_like(x)
    error_functions(x, out)
    expected = np.array([math.erf(float(number)) for number in x])
    np.testing.assert_allclose(out, expected, atol=6e-7)
    tangents(x, out)
    np.testing.assert_allclose(out, np.tanh(x.astype(np.float64)), atol=3e-7)
    logistics(x, out)
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-x.astype(np.float64))), rtol=3e-7)


def test_where_they_end() -> None:
    x, out = np.array([np.inf, -np.inf, 1e30, -1e30], np.float32), np.empty(4, np.float32)
    for kernel in (error_functions, tangents):
        kernel(x, out)
        np.testing.assert_array_equal(out, [1, -1, 1, -1])
