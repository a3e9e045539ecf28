"""hornbook sample: every decoding rule and both searches from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

import hornbook


def text_of(call: Any, run: hornbook.Run, *words: object) -> str:
    result = call("sample", run.path, "The", "--max-tokens", 30, "--device", "cpu", *words)
    assert result.exit_code == 0, result.stderr
    return result.stdout.removeprefix("The").removesuffix("\n")


def test_options_are_the_settings_of_the_same_name(call: Any, finished_run: hornbook.Run) -> None:
    words: dict[str, Any] = {
        "temperature": 1.5,
        "top_k": 40,
        "top_p": 0.9,
        "min_p": 0.01,
        "typical_p": 0.9,
        "repetition_penalty": 1.3,
        "presence_penalty": 0.5,
        "frequency_penalty": 0.25,
        "no_repeat_ngram": 2,
        "logit_bias": "101=2.5",
        "min_tokens": 12,
        "banned": "e",
        "seed": 4,
    }
    given = [word for key, value in words.items() for word in (f"--{key.replace('_', '-')}", value)]
    settings = {**words, "logit_bias": {101: 2.5}, "max_tokens": 30}
    expected = finished_run.sample("The", **settings).text
    assert text_of(call, finished_run, *given) == expected
    assert "e" not in expected
    by_word = [word for key, value in words.items() for word in ("--set", f"{key}={value}")]
    assert text_of(call, finished_run, *by_word) == expected


def test_what_is_asked_for_is_written(call: Any, finished_run: hornbook.Run) -> None:
    assert re.fullmatch(r"\d+ (a|b){3}", text_of(call, finished_run, "--pattern", r"\d (a|b){3}"))
    said = text_of(call, finished_run, "--allowed", "yes", "--allowed", "no")
    assert said in {"yes", "no"}
    listed = text_of(call, finished_run, "--set", 'sampling.allowed=["one", "two"]')
    assert listed in {"one", "two"}


def test_a_text_that_is_stuck_says_so(call: Any, finished_run: hornbook.Run) -> None:
    words = ["--pattern", "aa", "--set", "no_repeat_ngram=1", "--temperature", 0]
    result = call("sample", finished_run.path, "The", *words)
    assert (result.exit_code, result.stdout) == (0, "Thea\n")
    assert "left no token" in result.stderr


def test_searches(call: Any, finished_run: hornbook.Run) -> None:
    beams = finished_run.beam_search("The", beams=3, samples=2, max_tokens=30)
    printed = text_of(call, finished_run, "--beams", 3, "--samples", 2)
    for number, beam in enumerate(beams):
        assert f"--- text {number}, score {beam.score:.4f} ---\n{beam}" in f"{printed}\n"
    words = ["--beams", 3, "--samples", 2, "--json"]
    lines = [json.loads(line) for line in text_of(call, finished_run, *words).splitlines()]
    assert [line["score"] for line in lines] == [beam.score for beam in beams]
    found = finished_run.contrastive_search("The", alpha=0.4, candidates=6, max_tokens=30)
    words = ["--contrast", 0.4, "--candidates", 6]
    assert text_of(call, finished_run, *words) == found.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--min-p", "2"], "sampling.min_p"),
        (["--top-p", "0"], "sampling.top_p"),
        (["--stop", ""], "must not be empty"),
        (["--pattern", "(a"], "no regular expression"),
        (["--pattern", "a(?=b)"], "looks ahead"),
        (["--pattern", "a", "--allowed", "b"], "use one of the two"),
        (["--allowed", "abc", "--banned", "b"], "none is left"),
        (["--min-tokens", "5", "--max-tokens", "2"], "max_tokens=2"),
        (["--logit-bias", "5"], "ID=NUMBER"),
        (["--logit-bias", "99999=1"], "no id of this vocabulary"),
        (["--set", "min_p"], "KEY=VALUE"),
        (["--set", "minp=1"], "min_p"),
        (["--beams", "0"], "beams=0"),
        (["--beams", "2", "--contrast", "0.5"], "one of them"),
        (["--beams", "2", "--samples", "3"], "more beams"),
        (["--beams", "2", "--temperature", "1"], "--temperature would change nothing"),
        (["--length-penalty", "1"], "--beams"),
        (["--contrast", "2"], "alpha=2"),
        (["--contrast", "0.5", "--samples", "2"], "one text"),
        (["--temperature", "-1", "--top-p", "2", "--banned", ""], "3 settings"),
    ],
)
def test_mistakes_are_told(
    refused: Callable[..., str], finished_run: hornbook.Run, words: list[str], said: str
) -> None:
    assert said in refused("sample", finished_run.path, "The", *words)
