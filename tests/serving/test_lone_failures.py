"""What one request does to itself, others do not feel."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from hornbook.generation.decoder import Decoder, Token

LONG = {"prompt": "The", "max_tokens": 250, "seed": 1, "stop_at_end": False}


def ask_beside_a_long_text(served: Any, body: dict[str, Any]) -> tuple[Any, Any]:
    """The answers, status and object, to ``LONG`` and to what is asked while it is written."""
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.append(served.ask(LONG)[:2]))
    asking.start()
    while not found and served.ask(path="/health")[1]["written"] == 0:
        pass
    beside = served.ask(body)[:2]
    asking.join(60)
    return found[0], beside


@pytest.mark.parametrize("extreme", [{"temperature": 1e-40}, {"repetition_penalty": 1e-45}])
def test_an_extreme_setting_is_no_failure(extreme: dict[str, float], served: Any) -> None:
    strange = {"prompt": "A", "max_tokens": 9, "seed": 2, **extreme}
    alone = [served.ask(body)[1]["choices"] for body in (LONG, strange)]
    together = ask_beside_a_long_text(served, strange)
    assert [status for status, _ in together] == [200, 200]
    assert [answer["choices"] for _, answer in together] == alone
    if "temperature" in extreme:
        assert served.ask({**strange, "temperature": 0})[1]["choices"] == alone[1]


def test_a_text_whose_logits_are_no_numbers_fails_alone(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Decoder.step

    def with_a_broken_row(decoder: Decoder) -> Any:
        found = step(decoder)
        wrong = {row: Token(0, math.nan) for row in found if row.config.seed == 13}
        return {**found, **wrong}

    expected = served.ask(LONG)[1]["choices"]
    monkeypatch.setattr(Decoder, "step", with_a_broken_row)
    fine, wrong = ask_beside_a_long_text(served, {**LONG, "seed": 13, "n": 2})
    assert (fine[0], fine[1]["choices"]) == (200, expected)
    assert (wrong[0], wrong[1]["error"]["type"]) == (500, "server_error")
    assert served.ask(path="/health")[1]["written"] == 0


def test_a_prompt_that_cannot_be_scored_fails_alone(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    expected = served.ask(LONG)[1]["choices"]
    monkeypatch.setattr("hornbook.serving.engine.score_ids", broken)
    fine, wrong = ask_beside_a_long_text(served, {"prompt": "A", "echo": True, "logprobs": 1})
    assert (fine[0], fine[1]["choices"]) == (200, expected)
    assert wrong[0] == 500
