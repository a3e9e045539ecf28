"""Every rule does what transformers' does, and rows of one batch do not know of each other."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from hornbook.generation import Chooser, SamplingConfig, Vocabulary
from hornbook.generation.rules import (
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    with_count_penalties,
    with_repetition_penalty,
)

CPU, VOCAB = torch.device("cpu"), 23


def logits_of(seed: int, rows: int = 4, spread: float = 3.0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(rows, VOCAB, generator=draw) * spread


def prompts_of(seed: int, rows: int, length: int = 12) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(5) for _ in range(length)] for _ in range(rows)]


def chooser_of(
    configs: list[SamplingConfig], prompts: list[list[int]], end_id: int | None = None
) -> Chooser:
    chooser = Chooser(Vocabulary(VOCAB, end_id=end_id), CPU)
    for config, prompt in zip(configs, prompts, strict=True):
        chooser.join(config, prompt)
    return chooser


@pytest.mark.parametrize("seed", range(5))
def test_filters_agree_with_transformers(seed: int) -> None:
    logits = logits_of(seed)
    ids: Any = torch.zeros(4, 1, dtype=torch.int64)
    for k in (1, 2, 7, VOCAB):
        assert torch.equal(keep_top_k(logits, k), TopKLogitsWarper(k)(ids, logits))
    for p in (0.01, 0.3, 0.9, 0.999):
        assert torch.equal(keep_top_p(logits, p), TopPLogitsWarper(p)(ids, logits))
        assert torch.equal(keep_min_p(logits, p), MinPLogitsWarper(p)(ids, logits))
        assert torch.equal(keep_typical(logits, p), TypicalLogitsWarper(p)(ids, logits))
    # Also after other rules have removed tokens.
    cut = keep_top_k(logits, 9)
    assert torch.equal(keep_typical(cut, 0.8), TypicalLogitsWarper(0.8)(ids, cut))
    assert torch.equal(keep_min_p(cut, 0.1), MinPLogitsWarper(0.1)(ids, cut))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 40])
@pytest.mark.parametrize("penalty", [0.5, 1.3])
def test_what_was_said_agrees_with_transformers(size: int, penalty: float) -> None:
    prompts = prompts_of(size, rows=3)
    config = SamplingConfig(repetition_penalty=penalty, no_repeat_ngram=size, max_tokens=30)
    chooser = chooser_of([config] * 3, prompts)
    oracle = LogitsProcessorList(
        [RepetitionPenaltyLogitsProcessor(penalty), NoRepeatNGramLogitsProcessor(size)]
    )
    draw = random.Random(7)
    for step in range(30):
        logits = logits_of(step, rows=3)
        so_far: Any = torch.tensor(prompts)
        expected = oracle(so_far, logits)
        assert torch.equal(chooser.scores(logits), expected)
        ids = [draw.randrange(5) for _ in range(3)]
        chooser.accept(torch.tensor(ids))
        for prompt, token in zip(prompts, ids, strict=True):
            prompt.append(token)


def test_all_rules_in_their_order_agree_with_transformers() -> None:
    config = SamplingConfig(
        temperature=0.7,
        top_k=15,
        top_p=0.9,
        min_p=0.02,
        typical_p=0.8,
        repetition_penalty=1.2,
        no_repeat_ngram=2,
    )
    oracle = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(1.2),
            NoRepeatNGramLogitsProcessor(2),
            TemperatureLogitsWarper(0.7),
            TopKLogitsWarper(15),
            TopPLogitsWarper(0.9),
            MinPLogitsWarper(0.02),
            TypicalLogitsWarper(0.8),
        ]
    )
    prompts, logits = prompts_of(3, rows=4), logits_of(11, spread=1.5)
    found = chooser_of([config] * 4, prompts).probabilities(logits)
    so_far: Any = torch.tensor(prompts)
    torch.testing.assert_close(found, oracle(so_far, logits).softmax(-1))
    assert ((found > 0).sum(-1) > 1).any()


def random_config(draw: random.Random) -> SamplingConfig:
    choices: dict[str, list[Any]] = {
        "temperature": [0.0, 0.3, 1.0, 2.0],
        "top_k": [0, 0, 1, 5],
        "top_p": [1.0, 1.0, 0.5, 0.9],
        "min_p": [0.0, 0.0, 0.1],
        "typical_p": [1.0, 1.0, 0.4],
        "repetition_penalty": [1.0, 1.0, 1.5],
        "presence_penalty": [0.0, 0.0, 1.5],
        "frequency_penalty": [0.0, 0.0, -0.5],
        "no_repeat_ngram": [0, 0, 1, 3],
        "logit_bias": [(), (), ((3, 5.0), (4, -2.0))],
        "min_tokens": [0, 0, 4],
    }
    return SamplingConfig.model_validate(
        {name: draw.choice(values) for name, values in choices.items()}
    )


@pytest.mark.parametrize("seed", range(8))
def test_a_row_is_the_same_alone_and_among_others_that_come_and_go(seed: int) -> None:
    draw = random.Random(seed)
    together = Chooser(Vocabulary(VOCAB, end_id=22), CPU)
    alone: list[Chooser] = []
    for step in range(25):
        if not alone or draw.random() < 0.3:
            config, prompt = random_config(draw), prompts_of(step, 1, draw.randrange(1, 9))[0]
            single = Chooser(Vocabulary(VOCAB, end_id=22), CPU)
            single.join(config, prompt)
            together.join(config, prompt)
            alone.append(single)
        logits, uniforms = logits_of(step, rows=len(alone)), torch.rand(len(alone))
        before = logits.clone()
        found = together.choose(logits, uniforms)
        assert torch.equal(logits, before)
        for row, single in enumerate(alone):
            expected = single.choose(logits[row : row + 1], uniforms[row : row + 1])
            assert torch.equal(found.ids[row : row + 1], expected.ids)
            own = found.log_probabilities[row : row + 1]
            assert torch.equal(own, expected.log_probabilities)
            single.accept(expected.ids)
        together.accept(found.ids)
        if draw.random() < 0.2:
            rows = draw.sample(range(len(alone)), draw.randrange(1, len(alone) + 1))
            together.select(rows)
            alone = [alone[row] for row in rows]


def test_a_row_taken_twice_goes_two_ways() -> None:
    chooser = chooser_of([SamplingConfig(no_repeat_ngram=1, frequency_penalty=1)], [[0]])
    chooser.select([0, 0])
    chooser.accept(torch.tensor([1, 2]))
    scores = chooser.scores(torch.zeros(2, VOCAB))
    assert (scores == float("-inf")).nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 2]]


def test_penalties_by_hand() -> None:
    logits = torch.tensor([[2.0, -2.0, 0.0, float("-inf")]])
    seen = torch.tensor([[True, True, True, True]])
    halved = with_repetition_penalty(logits, seen, 2.0)
    assert halved.tolist() == [[1.0, -4.0, 0.0, float("-inf")]]
    counts = torch.tensor([[0, 1, 2, 3]])
    lowered = with_count_penalties(logits, counts, 0.5, 0.25)
    assert lowered.tolist() == [[2.0, -2.75, -1.0, float("-inf")]]


def test_presence_and_frequency_do_not_look_at_the_prompt_and_repetition_does() -> None:
    counts = SamplingConfig(presence_penalty=1, frequency_penalty=1)
    repeats = SamplingConfig(repetition_penalty=2)
    chooser = chooser_of([counts, repeats], [[1, 1], [1, 1]])
    logits = torch.ones(2, VOCAB)
    assert chooser.scores(logits)[:, 1].tolist() == [1.0, 0.5]
    chooser.accept(torch.tensor([2, 2]))
    chooser.accept(torch.tensor([2, 2]))
    assert chooser.scores(logits)[:, 2].tolist() == [-2.0, 0.5]


def test_the_end_waits_for_the_least_length() -> None:
    config = SamplingConfig(temperature=0, min_tokens=2)
    chooser = chooser_of([config, SamplingConfig(temperature=0)], [[0], [0]], end_id=3)
    logits = torch.zeros(2, VOCAB)
    logits[:, 3], logits[:, 5] = 2.0, 1.0
    ends = []
    for _ in range(3):
        ids = chooser.choose(logits, torch.zeros(2)).ids
        ends.append(ids.tolist())
        chooser.accept(ids)
    assert ends == [[5, 3], [5, 3], [3, 3]]


def test_bias_brings_a_token_forward_or_takes_it_away() -> None:
    biased = SamplingConfig(temperature=0, logit_bias=((4, 100.0), (5, -100.0)))
    assert chooser_of([biased], [[0]]).choose(logits_of(1, 1), torch.zeros(1)).ids.tolist() == [4]
    for spelled in ({4: 100, 5: -100}, {"4": 100.0, "5": "-100"}, ["4=100", "5=-100"]):
        assert SamplingConfig(temperature=0, logit_bias=spelled) == biased  # type: ignore[arg-type]


def test_where_nothing_is_possible_the_choice_says_so() -> None:
    config = SamplingConfig(no_repeat_ngram=1)
    chooser = Chooser(Vocabulary(2), CPU)
    chooser.join(config, [0, 1])
    chooser.join(SamplingConfig(), [0, 1])
    choice = chooser.choose(torch.zeros(2, 2), torch.tensor([0.5, 0.5]))
    assert choice.possible is not None
    assert choice.possible.tolist() == [False, True]
    assert choice.ids[0] < 2


def test_ids_that_stand_for_nothing_are_never_taken() -> None:
    chooser = Chooser(Vocabulary(3, (b"a", b"", b"b")), CPU)
    chooser.join(SamplingConfig(temperature=0), [0])
    assert chooser.choose(torch.tensor([[0.0, 9.0, 1.0]]), torch.zeros(1)).ids.tolist() == [2]


def test_explaining_names_the_rule_that_removed_a_token() -> None:
    config = SamplingConfig(temperature=1.0, top_k=4, top_p=0.9, no_repeat_ngram=1, min_p=0.3)
    probabilities = torch.tensor([0.4, 0.25, 0.2, 0.06, 0.05, 0.04])
    chooser = Chooser(Vocabulary(6), CPU)
    chooser.join(config, [0])
    chooser.join(SamplingConfig(temperature=0), [0])
    logits = probabilities.log().repeat(2, 1)
    drawn, greedy = chooser.explain(logits, 6)
    reasons = ["no_repeat_ngram", None, None, "min_p", "top_p", "top_k"]
    assert [each.removed_by for each in drawn] == reasons
    assert [each.id for each in drawn] == [0, 1, 2, 3, 4, 5]
    assert drawn[0].log_probability == pytest.approx(float(probabilities[0].log()))
    assert sum(each.probability for each in drawn) == pytest.approx(1)
    assert all((each.probability > 0) == (each.removed_by is None) for each in drawn + greedy)
    assert [each.removed_by for each in greedy] == [None] + ["temperature"] * 5


def test_a_step_never_waits_for_the_device() -> None:
    """On tensors without numbers, whatever reads one or has a shape by one would fail."""
    nowhere = torch.device("meta")
    chooser = Chooser(Vocabulary(VOCAB, tuple(bytes([n]) for n in range(VOCAB)), end_id=3), nowhere)
    chooser.join(
        SamplingConfig(
            top_k=5,
            top_p=0.9,
            min_p=0.1,
            typical_p=0.9,
            repetition_penalty=1.2,
            presence_penalty=1,
            frequency_penalty=1,
            no_repeat_ngram=3,
            logit_bias=((4, 1.0),),
            min_tokens=4,
        ),
        [1, 2, 3],
    )
    chooser.join(SamplingConfig(temperature=0), [1])
    for _ in range(3):
        choice = chooser.choose(
            torch.empty(2, VOCAB, device=nowhere), torch.empty(2, device=nowhere)
        )
        assert choice.possible is not None
        chooser.accept(choice.ids)
    with pytest.raises(RuntimeError, match="meta"):
        chooser.explain(torch.empty(2, VOCAB, device=nowhere), 2)
