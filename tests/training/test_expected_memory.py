"""What is said before a run begins whose steps may not fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hornbook
from hornbook.errors import RunError
from hornbook.inspection.accounting.account import plan_of
from hornbook.inspection.accounting.fitting import cannot_fit, may_not_fit, remedies
from hornbook.inspection.accounting.peak import training_memory
from hornbook.listener import Listener
from hornbook.runs.resolution import resolve
from hornbook.training import expected_memory

MB = 10**6


class Notices(Listener):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def begin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, train_fast: Callable[..., hornbook.Run]
) -> Callable[[int], list[str]]:
    """``begin(memory)`` trains the tiny run on a machine with so much, and gives the notices."""

    def run(memory: int) -> list[str]:
        monkeypatch.setattr(expected_memory, "memory_there", lambda equipment: memory)
        heard = Notices()
        train_fast(tmp_path / "run", listener=heard)
        return heard.texts

    return run


def test_nothing_is_said_where_a_step_fits(begin: Callable[[int], list[str]]) -> None:
    assert not [text for text in begin(4000 * MB) if "memory" in text]


def test_a_step_that_may_not_fit_is_told_with_what_would(
    begin: Callable[[int], list[str]],
) -> None:
    told = next(text for text in begin(MB // 4) if "may not fit" in text)
    assert "(±10%)" in told
    assert "cpu has 250.0 kB" in told
    assert "training.micro_batch_size=" in told


def test_what_certainly_does_not_fit_is_refused(
    begin: Callable[[int], list[str]], tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="adamw alone take .* cpu has 100.0 kB.* Choose less of"):
        begin(MB // 10)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("memory", [60 * MB, 100 * MB, 400 * MB])
@pytest.mark.parametrize("changes", [[], ["model.kind=gru"], ["model.layers=12"]])
def test_every_remedy_makes_the_step_fit(memory: int, changes: list[str]) -> None:
    words: list[Any] = ["training.batch_size=128", *changes]
    config = resolve(preset="small", overrides=words)
    plan = plan_of(config, 512, device="cpu", short=False)
    assert may_not_fit(plan, memory)
    assert not cannot_fit(plan, memory)
    found = list(remedies(plan, memory))
    assert found
    for remedy in found:
        mended = resolve(preset="small", overrides=[*words, *remedy.split()])
        step = plan_of(mended, 512, device="cpu", short=False)
        assert training_memory(step).peak <= memory, remedy
