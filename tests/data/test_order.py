"""The stateless shuffle is a permutation, in every epoch, for every count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbook.data import ExampleOrder
from hornbook.data.order import permute


@settings(deadline=None)
@given(count=st.integers(1, 3000), key=st.integers(0, 2**63 - 1))
def test_every_place_has_its_own_partner(count: int, key: int) -> None:
    found = permute(np.arange(count), count, key)
    assert np.array_equal(np.sort(found), np.arange(count))


@settings(deadline=None)
@given(
    count=st.integers(1, 200),
    seed=st.integers(0, 1000),
    cuts=st.lists(st.integers(1, 70), min_size=1, max_size=8),
)
def test_examples_do_not_depend_on_how_they_are_asked_for(
    count: int, seed: int, cuts: list[int]
) -> None:
    order = ExampleOrder(count, seed)
    whole = order.examples(0, sum(cuts))
    first, parts = 0, []
    for size in cuts:
        parts.append(order.examples(first, size))
        first += size
    assert np.array_equal(np.concatenate(parts), whole)


def test_epochs_hold_everything_once_and_differ() -> None:
    order = ExampleOrder(500, seed=3)
    first, second = order.examples(0, 500), order.examples(500, 500)
    assert np.array_equal(np.sort(first), np.arange(500))
    assert np.array_equal(np.sort(second), np.arange(500))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, ExampleOrder(500, seed=4).examples(0, 500))


def test_a_batch_may_reach_over_the_end_of_an_epoch() -> None:
    order = ExampleOrder(10, seed=1)
    across = order.examples(7, 6)
    assert np.array_equal(across[:3], order.examples(7, 3))
    assert np.array_equal(across[3:], order.examples(10, 3))


@pytest.mark.parametrize("count", [2, 10, 100, 1000, 65_537])
def test_the_order_looks_shuffled(count: int) -> None:
    """Places and partners hardly correlate: for n of them, beyond 4.5 / sqrt(n) is no chance."""
    if count < 100:
        seen = {tuple(permute(np.arange(count), count, key)) for key in range(64)}
        assert len(seen) > 1
        return
    places = np.arange(count)
    correlation = np.corrcoef(places, permute(places, count, key=12345))[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(count)


def test_a_huge_count_costs_nothing() -> None:
    found = ExampleOrder(10**15, seed=1).examples(10**14, 4)
    assert len(set(found.tolist())) == 4
    assert ((found >= 0) & (found < 10**15)).all()


def test_the_order_stays_the_same_in_every_version() -> None:
    """A run of today must resume in ten years: these numbers may never change."""
    assert ExampleOrder(1000, seed=1).examples(0, 6).tolist() == [
        673, 466, 206, 250, 447, 856,
    ]  # fmt: skip
