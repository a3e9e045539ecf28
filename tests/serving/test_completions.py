"""Answers that OpenAI's own client takes: the texts of the run, whole or as they come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import hornbook
from hornbook.generation.scoring import score_ids

PROMPTS = ["The river", "A", "", "über the – stone"]


def test_a_text_is_the_runs_own(client: Any, finished_run: hornbook.Run) -> None:
    answer = client.completions.create(
        model=finished_run.name, prompt="The river", max_tokens=12, seed=5, n=3
    )
    samples = finished_run.samples("The river", max_tokens=12, seed=5, samples=3, temperature=1)
    assert [choice.text for choice in answer.choices] == [sample.text for sample in samples]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.object == "text_completion"
    assert answer.usage.prompt_tokens == len(finished_run.tokenizer.encode("The river"))
    assert answer.usage.completion_tokens == 36
    assert {choice.finish_reason for choice in answer.choices} == {"length"}


def test_prompts_of_every_form(client: Any, finished_run: hornbook.Run) -> None:
    settings = {"model": finished_run.name, "max_tokens": 9, "seed": 2, "n": 2}
    together = client.completions.create(prompt=PROMPTS, **settings).choices
    assert [choice.index for choice in together] == list(range(8))
    for number, prompt in enumerate(PROMPTS):
        samples = finished_run.samples(prompt, max_tokens=9, seed=2, samples=2, temperature=1)
        own = [choice.text for choice in together[2 * number : 2 * number + 2]]
        assert own == [sample.text for sample in samples]
    ids = finished_run.tokenizer.encode(PROMPTS[0])
    by_ids = client.completions.create(prompt=ids, **settings).choices
    assert [choice.text for choice in by_ids] == [choice.text for choice in together[:2]]
    lists = [ids, finished_run.tokenizer.encode(PROMPTS[1])]
    by_lists = client.completions.create(prompt=lists, **settings).choices
    assert [choice.text for choice in by_lists] == [choice.text for choice in together[:4]]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n": 2, "logprobs": 3},
        {"echo": True},
        {"echo": True, "logprobs": 1, "n": 2},
        {"stop": [" st", "r"], "logprobs": 0, "max_tokens": 40},
        {"prompt": PROMPTS},
        {"max_tokens": 0, "echo": True, "logprobs": 2},
    ],
    ids=str,
)
def test_a_stream_says_the_same_as_the_whole(
    settings: dict[str, Any], client: Any, finished_run: hornbook.Run
) -> None:
    settings = {
        "model": finished_run.name,
        "prompt": "The river",
        "seed": 3,
        "max_tokens": 12,
        **settings,
    }
    whole = client.completions.create(**settings)
    parts = list(
        client.completions.create(stream=True, stream_options={"include_usage": True}, **settings)
    )
    assert parts[-1].choices == []
    assert parts[-1].usage == whole.usage
    for choice in whole.choices:
        own = [p.choices[0] for p in parts[:-1] if p.choices[0].index == choice.index]
        assert "".join(part.text for part in own) == choice.text
        assert own[-1].finish_reason == choice.finish_reason
        assert all(part.finish_reason is None for part in own[:-1])
        if choice.logprobs is not None:
            for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
                joined = [each for p in own if p.logprobs for each in getattr(p.logprobs, name)]
                assert joined == getattr(choice.logprobs, name)


def test_log_probabilities_are_those_of_scoring(client: Any, finished_run: hornbook.Run) -> None:
    answer = client.completions.create(
        model=finished_run.name,
        prompt="The river – über",
        max_tokens=12,
        logprobs=4,
        echo=True,
        seed=3,
        temperature=0.7,
        extra_body={"top_k": 20},
    )
    (choice,) = answer.choices
    told, tokenizer = choice.logprobs, finished_run.tokenizer
    prompt = tokenizer.encode("The river – über")
    assert len(told.tokens) == len(prompt) + 12
    ids, names = list(prompt), {}
    for token in range(tokenizer.vocab_size):
        names.setdefault(tokenizer.token_bytes(token), token)
    for name in told.tokens[len(prompt) :]:
        raw = name.encode()
        if name.startswith("bytes:"):
            raw = bytes(int(part, 16) for part in name.removeprefix("bytes:\\x").split("\\x"))
        ids.append(names[raw])
    # Windows of the sampler begin elsewhere than those of scoring: compare while all fits.
    context = finished_run.config.context_length
    scores = score_ids(finished_run.model, ids[: context + 1], alternatives=4)
    found = told.token_logprobs[1 : context + 1]
    assert found == pytest.approx(scores.log_probabilities.tolist(), abs=2e-4)
    assert told.token_logprobs[0] is None
    assert all(len(top) in {4, 5} for top in told.top_logprobs[1:])
    for name, own, top in zip(
        told.tokens[1:], told.token_logprobs[1:], told.top_logprobs[1:], strict=True
    ):
        assert top[name] == pytest.approx(own, abs=2e-4)
    for name, offset in zip(told.tokens, told.text_offset, strict=True):
        if not name.startswith("bytes:"):
            assert choice.text[offset:].startswith(name)


def test_a_stop_text_is_left_out_with_its_tokens(client: Any, finished_run: hornbook.Run) -> None:
    settings: dict[str, Any] = {"model": finished_run.name, "prompt": "The", "temperature": 0}
    free = client.completions.create(max_tokens=30, **settings).choices[0].text
    stop = free[8:11]
    answer = client.completions.create(max_tokens=30, stop=stop, logprobs=0, **settings).choices[0]
    assert answer.text == free[: free.index(stop)]
    assert answer.finish_reason == "stop"
    assert all(offset < len(answer.text) for offset in answer.logprobs.text_offset)


def test_biases_penalties_and_our_own_settings(client: Any, finished_run: hornbook.Run) -> None:
    settings: dict[str, Any] = {"model": finished_run.name, "prompt": "The", "max_tokens": 6}
    (token,) = finished_run.tokenizer.encode("x")
    forced = client.completions.create(logit_bias={str(token): 100}, **settings)
    assert forced.choices[0].text == "xxxxxx"
    ours = {"top_k": 5, "min_p": 0.05, "repetition_penalty": 1.5}
    answer = client.completions.create(
        seed=7, presence_penalty=1, frequency_penalty=0.5, extra_body=ours, **settings
    )
    sample = finished_run.sample(
        "The",
        max_tokens=6,
        temperature=1,
        seed=7,
        presence_penalty=1,
        frequency_penalty=0.5,
        **ours,
    )
    assert answer.choices[0].text == sample.text


def test_without_a_seed_answers_differ(client: Any, finished_run: hornbook.Run) -> None:
    texts = {
        client.completions.create(model=finished_run.name, prompt="The").choices[0].text
        for _ in range(3)
    }
    assert len(texts) == 3
    negative = [
        client.completions.create(model=finished_run.name, prompt="The", seed=-4) for _ in range(2)
    ]
    assert negative[0].choices[0].text == negative[1].choices[0].text


def test_models_and_health(client: Any, served: Any, finished_run: hornbook.Run) -> None:
    (model,) = client.models.list().data
    assert model.id == finished_run.name
    assert client.models.retrieve(model.id) == model
    status, health, _ = served.ask(path="/health")
    assert (status, health["status"]) == (200, "ok")


def test_sixty_four_clients_at_once_are_not_mixed_up(
    served: Any, finished_run: hornbook.Run
) -> None:
    openai = pytest.importorskip("openai")

    def settings(number: int) -> dict[str, Any]:
        return {"seed": number, "max_tokens": 4 + number % 9, "temperature": number % 2}

    async def ask_all() -> list[str]:
        client = openai.AsyncOpenAI(base_url=f"{served.address}/v1", api_key="any", max_retries=0)

        async def ask(number: int) -> str:
            streamed = number % 3 == 0
            answer = await client.completions.create(
                model=finished_run.name,
                prompt=f"The river {number}",
                stream=streamed,
                **settings(number),
            )
            if not streamed:
                return answer.choices[0].text
            return "".join([part.choices[0].text async for part in answer])

        async with client:
            return await asyncio.gather(*map(ask, range(64)))

    found = asyncio.run(ask_all())
    alone = [finished_run.sample(f"The river {n}", **settings(n)).text for n in range(64)]
    assert found == alone


def test_usage_counts_what_the_vocabulary_lacks(
    served: Any, finished_run: hornbook.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"prompt": ["The", "A"], "max_tokens": 1}
    assert "unknown_prompt_tokens" not in served.ask(body)[1]["usage"]
    monkeypatch.setattr(type(finished_run.tokenizer), "unknown_among", lambda *_: 2)
    assert served.ask(body)[1]["usage"]["unknown_prompt_tokens"] == 4
