"""``hornbook account``: the numbers of the formulas, on the screen and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


def test_the_large_form_shows_its_published_figures(call: Any) -> None:
    shown = call("account", "gpt2-xl-swiglu", "--batch", 1, "--device", "h100").stdout
    for figure in ("2,127,057,600", "4,513,336,524,800", "L × d × 2 × F", "1 window at once"):
        assert figure in shown
    assert "tokens a second at 40% of 989.4 TFLOP/s" in shown


def test_json_adds_up(call: Any) -> None:
    words = ["small", "model.kv_heads=2", "--memory", "16GiB", "--flops", "1e12", "--json"]
    found = json.loads(call("account", *words).stdout)
    for section, total in (
        (found["parameters"]["parts"], found["parameters"]["total"]),
        (found["flops"]["products"], found["flops"]["forward"]),
    ):
        assert sum(line["value"] for line in section) == total
    assert found["flops"]["training"] == 3 * found["flops"]["forward"]
    assert found["bytes"]["bfloat16"] == 2 * found["parameters"]["total"]
    assert found["memory"]["peak"] == max(found["memory"]["moments"].values())
    time = found["time"]
    seconds = time["tokens"] * found["flops"]["training"] / 128 / (1e12 * time["utilisation"])
    assert time["days"] == pytest.approx(seconds / 86_400)


def test_what_fits_is_the_most_that_does(call: Any) -> None:
    def found(*words: object) -> dict[str, Any]:
        return json.loads(call("account", "small", *words, "--json").stdout)["memory"]

    largest = found("--memory", "1GiB")["largest_batch"]
    assert found("--batch", largest)["peak"] <= 1 << 30 < found("--batch", largest + 1)["peak"]
    assert found("--memory", "1MB")["largest_batch"] == 0


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", "bigram", "bigram_counts"])
def test_every_kind_is_accounted_for(call: Any, kind: str) -> None:
    shown = call("account", "small", f"model.kind={kind}", "tokenizer.vocab_size=512").stdout
    assert f"small: {kind}," in shown
    assert "peak: about" in shown


def test_a_run_knows_its_own_vocabulary(call: Any, finished_run: Any) -> None:
    found = json.loads(call("account", finished_run.path, "--json").stdout)
    assert found["vocabulary"]["size"] == finished_run.tokenizer.vocab_size
    assert found["parameters"]["total"] == finished_run.model.parameter_count()


def test_frozen_weights_have_no_gradients(call: Any) -> None:
    words = ["small", "training.freeze=token_embedding*", "--json"]
    found = json.loads(call("account", *words).stdout)
    stands = {line["what"]: line["value"] for line in found["memory"]["standing"]}
    assert stands["weights"] - stands["gradients"] == 4 * 2048 * 128


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["smal"], "neither a preset"),
        (["small", "tiny"], "no setting"),
        (["small", "--device", "h10"], "Did you mean h100"),
        (["small", "--memory", "much"], "a size is expected"),
        (["small", "model.layer=2"], "model.layers"),
    ],
)
def test_mistakes_are_told(refused: Callable[..., str], words: list[str], said: str) -> None:
    assert said in refused("account", *words)
