"""A time becomes tokens that fit into it; every mistake about it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import ConfigError
from hornbook.experiments.budget import (
    LEAST_EVALUATED,
    MOST_EVALUATED,
    RUN_SECONDS,
    Trial,
    parse_duration,
    plan_cell,
    rows_for,
    tokens_in,
)

trials = st.lists(
    st.builds(
        Trial,
        batch_size=st.integers(4, 100),
        targets_per_row=st.floats(1, 100),
        seconds_per_step=st.floats(0.001, 0.5),
        initial_weights=st.just({}),
    ),
    min_size=2,
    max_size=8,
)


@given(trials, st.integers(1, 5), st.floats(10, 10_000), st.floats(1e-6, 1e-3))
def test_what_is_planned_fits_into_the_time(
    found: list[Trial], seeds: int, seconds: float, evaluating: float
) -> None:
    try:
        tokens, evaluated = tokens_in(seconds, found, seeds, evaluating)
    except ConfigError:  # too short; test_studies reads what it says
        return
    assert LEAST_EVALUATED <= evaluated <= MOST_EVALUATED
    plans = [plan_cell(tokens, trial) for trial in found]
    training = sum(
        plan.steps * trial.seconds_per_step for plan, trial in zip(plans, found, strict=True)
    )
    half_a_step = sum(trial.seconds_per_step for trial in found) / 2
    total = seeds * (training - half_a_step + len(found) * (RUN_SECONDS + evaluated * evaluating))
    assert total <= seconds
    for plan, trial in zip(plans, found, strict=True):
        step = trial.batch_size * trial.targets_per_row
        assert abs(plan.steps * step - tokens) <= step / 2 + 1e-6 * tokens


@given(st.floats(1, 10_000), st.floats(0.1, 500))
def test_no_other_number_of_rows_is_nearer(targets_per_step: float, targets_per_row: float) -> None:
    rows = rows_for(targets_per_step, targets_per_row)

    def off(count: int) -> float:
        return abs(count * targets_per_row - targets_per_step)

    assert off(rows) <= off(rows + 1) + 1e-9
    assert rows == 1 or off(rows) <= off(rows - 1) + 1e-9


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("90", 90), ("90s", 90), ("2m", 120), ("1h30m", 5400), (" 10M ", 600), ("0.5h", 1800)],
)
def test_times_are_read(words: str, seconds: float) -> None:
    assert parse_duration(words) == seconds


@pytest.mark.parametrize("words", ["", "m", "soon", "10 minutes", "-5m", "0s", "1d", "5m!"])
def test_what_is_no_time_is_refused(words: str) -> None:
    with pytest.raises(ConfigError, match="--budget"):
        parse_duration(words)
