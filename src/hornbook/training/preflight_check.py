"""What is found out about a run before it is trained: one line a question, with a number.

    name          verdict  reason
    future        pass     0 of 6,237 gradients from later tokens differ from zero
    first loss    FAIL     9.71 nats, and log(512) is 6.24: the first weights are too large
    tokens        -        0.4 for each parameter

A check is a function of what it looks at; nothing here prints or stops. ``skip`` means that no
verdict is honest, and the reason says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["pass", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Check:
    """The answer to one question.

    Attributes:
        name: what was asked, in a word or two.
        verdict: how it ended.
        reason: why, in words, with the number that counts.
        numbers: the same for a program; what each is stands in its name.
        grave: whether a run that fails it would learn something wrong, so that it must not begin.
    """

    name: str
    verdict: Verdict
    reason: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    grave: bool = False


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """All checks of a run.

    Attributes:
        place: where the run lies, or will lie.
        checks: in the order in which a person should read them.
        seconds: how long they took.
        caches: what they left behind: files that training would use again.
    """

    place: str
    checks: tuple[Check, ...]
    seconds: float
    caches: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.verdict == "fail")

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values.

        >>> check = Check("device", "pass", "cpu")
        >>> PreflightReport("runs/poems", (check,), 0.5).to_json()["passed"]
        True
        """
        return {"passed": not self.failed, **asdict(self)}
