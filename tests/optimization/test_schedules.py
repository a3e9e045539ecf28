"""Learning rates against values worked out by hand, and properties of every shape."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornbook.errors import ConfigError
from hornbook.optimization import ScheduleConfig, learning_rate_at
from hornbook.runs.resolution import resolve

KINDS = ["cosine", "wsd", "linear", "constant", "inverse_sqrt"]


def rates(steps: int, **settings: Any) -> list[float]:
    schedule = ScheduleConfig(**settings)
    return [learning_rate_at(s, steps=steps, peak=2.0, schedule=schedule) for s in range(steps)]


@given(
    kind=st.sampled_from(KINDS),
    shape=st.sampled_from(["linear", "cosine", "sqrt"]),
    steps=st.integers(1, 400),
    warmup_share=st.floats(0, 0.99),
    decay_share=st.floats(0.01, 1),
    final=st.floats(0, 1),
)
def test_every_shape_rises_to_the_peak_and_never_leaves_its_range(
    kind: str, shape: str, steps: int, warmup_share: float, decay_share: float, final: float
) -> None:
    warmup = min(int(steps * warmup_share), steps - 1)
    found = rates(
        steps, kind=kind, warmup_steps=warmup, final_fraction=final, decay_shape=shape,
        decay_fraction=decay_share,
    )  # fmt: skip
    assert all(0 <= rate <= 2.0 + 1e-12 for rate in found)
    assert all(later >= earlier for earlier, later in itertools.pairwise(found[:warmup]))
    falling = found[warmup:]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(falling))
    if warmup:
        assert math.isclose(max(found), 2.0)
    if kind == "constant":
        assert set(falling) == {2.0}
    elif kind != "inverse_sqrt" and len(falling) > 1:
        assert math.isclose(falling[-1], 2.0 * final, abs_tol=1e-12)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # Stable at the peak for 7 of 10 steps, then a decay of 3 down to a tenth of it.
        ({"kind": "wsd", "decay_fraction": 0.3}, [2.0] * 7 + [1.4, 0.8, 0.2]),
        (
            {"kind": "wsd", "decay_fraction": 0.4, "decay_shape": "sqrt", "final_fraction": 0.0},
            [2.0] * 6 + [1.0, 2 - math.sqrt(2), 2 - math.sqrt(3), 0.0],
        ),
        (
            {"kind": "wsd", "decay_fraction": 0.2, "decay_shape": "cosine", "final_fraction": 0.0},
            [2.0] * 8 + [1.0, 0.0],
        ),
        (
            {"kind": "wsd", "decay_fraction": 0.5, "warmup_steps": 4, "final_fraction": 0.0},
            [0.5, 1.0, 1.5, 2.0, 2.0, 1.6, 1.2, 0.8, 0.4, 0.0],
        ),
        (
            {"kind": "inverse_sqrt", "warmup_steps": 2},
            [1.0, 2.0, *(2 * math.sqrt(2 / s) for s in range(3, 11))],
        ),
        ({"kind": "linear", "final_fraction": 0.1}, [2.0 - 0.2 * s for s in range(10)]),
        (
            {"kind": "cosine", "final_fraction": 0.0, "warmup_steps": 1},
            [2.0, *(1 + math.cos(math.pi * s / 8) for s in range(9))],
        ),
    ],
)
def test_values_worked_out_by_hand(settings: dict[str, Any], expected: list[float]) -> None:
    assert rates(10, **settings) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("words", "key", "advice"),
    [
        (["kind=wsd", "warmup_steps=90"], "decay_fraction", "use at most 0.1"),
        (["kind=inverse_sqrt", "warmup_steps=0"], "warmup_steps", "use 1 or more"),
        (["warmup_steps=100"], "warmup_steps", "use 0 to 99"),
        (["kind=wsd", "decay_fraction=0"], "decay_fraction", "greater than 0"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(words: list[str], key: str, advice: str) -> None:
    words = [f"training.schedule.{word}" for word in words]
    with pytest.raises(ConfigError, match=advice) as caught:
        resolve(preset="tiny", overrides=["training.steps=100", *words])
    assert [problem.key for problem in caught.value.problems] == [f"training.schedule.{key}"]


@pytest.mark.parametrize("value", ["0", "inf", "nan", "-1e-3", "1e9", "fast"])
def test_a_learning_rate_that_cannot_be_used_is_refused_with_its_key(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(preset="tiny", overrides=[f"training.learning_rate={value}"])
    assert [problem.key for problem in caught.value.problems] == ["training.learning_rate"]
    assert value in str(caught.value)
