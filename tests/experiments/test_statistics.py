"""The statistics agree with printed tables and with other ways to the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.experiments.statistics import differences, estimate, holm
from hornbook.experiments.student import incomplete_beta, t_quantile, two_sided_p

TABLE = {
    # degrees of freedom: two-sided 90 %, 95 %, 99 %, 99.9 %, as printed in any textbook
    1: (6.314, 12.706, 63.657, 636.619),
    2: (2.920, 4.303, 9.925, 31.599),
    3: (2.353, 3.182, 5.841, 12.924),
    4: (2.132, 2.776, 4.604, 8.610),
    9: (1.833, 2.262, 3.250, 4.781),
    12: (1.782, 2.179, 3.055, 4.318),
    30: (1.697, 2.042, 2.750, 3.646),
    120: (1.658, 1.980, 2.617, 3.373),
}


@pytest.mark.parametrize("freedom", TABLE)
def test_quantiles_are_those_of_the_table(freedom: int) -> None:
    for confidence, printed in zip((0.90, 0.95, 0.99, 0.999), TABLE[freedom], strict=True):
        assert t_quantile(confidence, freedom) == pytest.approx(printed, abs=6e-4)


@given(st.floats(0.01, 50))
def test_p_has_closed_forms_for_one_and_two_degrees(t: float) -> None:
    assert two_sided_p(t, 1) == pytest.approx(1 - 2 / math.pi * math.atan(t), abs=1e-12)
    assert two_sided_p(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), abs=1e-12)


@given(st.floats(0.5, 0.9999), st.integers(1, 500))
def test_a_quantile_and_its_p_are_inverse(confidence: float, freedom: int) -> None:
    assert two_sided_p(t_quantile(confidence, freedom), freedom) == pytest.approx(1 - confidence)


@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.001, 0.999))
def test_the_beta_function_of_whole_numbers_is_a_sum(a: int, b: int, x: float) -> None:
    n = a + b - 1
    tail = sum(math.comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(a, n + 1))
    assert incomplete_beta(a, b, x) == pytest.approx(tail, rel=1e-9, abs=1e-12)


def test_two_cells_are_the_paired_t_test() -> None:
    first, second = np.array([2.31, 2.44, 2.29, 2.5]), np.array([2.30, 2.40, 2.25, 2.47])
    [found] = differences(np.array([first, second]))
    paired = first - second
    error = paired.std(ddof=1) / 2
    assert found.mean == pytest.approx(paired.mean())
    assert found.half_width == pytest.approx(3.182446 * error, rel=1e-6)
    assert found.p == pytest.approx(two_sided_p(paired.mean() / error, 3))
    assert estimate(paired.tolist()).half_width == pytest.approx(found.half_width)


def test_noise_is_that_of_a_block_design_by_hand() -> None:
    table = np.array([[1.0, 2.0, 3.0], [1.5, 2.6, 3.4], [0.9, 2.2, 2.9]])
    squares = 0.0
    for i in range(3):
        for j in range(3):
            squares += (table[i, j] - table[i].mean() - table[:, j].mean() + table.mean()) ** 2
    expected = t_quantile(0.95, 4) * math.sqrt(squares / 4 * 2 / 3)
    found = differences(table)
    assert [(d.first, d.second) for d in found] == [(0, 1), (0, 2), (1, 2)]
    assert all(d.half_width == pytest.approx(expected) for d in found)


def test_what_all_seeds_share_changes_nothing() -> None:
    draw = np.random.default_rng(1)
    table = draw.normal(size=(4, 5))
    moved = table + 10 * draw.normal(size=5)
    for before, after in zip(differences(table), differences(moved), strict=True):
        assert after.mean == pytest.approx(before.mean)
        assert after.p == pytest.approx(before.p)


def test_holm_by_its_definition() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_false_differences_are_rare() -> None:
    draw = np.random.default_rng(3)
    false = sum(
        any(d.beyond_noise for d in differences(draw.normal(size=(5, 3)) + draw.normal(size=3)))
        for _ in range(400)
    )
    assert false <= 400 * 0.08  # promised are 5 %


@pytest.mark.parametrize("table", [np.ones((3, 1)), np.ones((1, 4))])
def test_one_seed_or_one_cell_has_no_differences(table: np.ndarray) -> None:
    assert differences(table) == []
    assert estimate([2.5]).half_width is None


def test_without_noise_any_difference_counts_and_equals_do_not() -> None:
    same, other, again = differences(np.array([[0.1, 0.3], [0.1, 0.3], [0.2, 0.4]]))
    assert not same.beyond_noise
    assert same.p == 1.0
    assert other.beyond_noise
    assert again.beyond_noise
