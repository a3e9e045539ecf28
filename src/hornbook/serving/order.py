"""What a request asks for: the JSON of ``/v1/completions``, checked and put in our own words.

    {"prompt": "Once", "n": 2, "logprobs": 3}   ─►   Order(prompts=(Prompt("Once", (79, 110, …)),),
                                                           config=SamplingConfig(samples=2, …), …)

What OpenAI names keeps OpenAI's meaning and default (16 tokens, temperature 1). Every other
sampling setting (``top_k``, ``min_p``, ``repetition_penalty``) may be given under its own name, and
is the run's own where it is not.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hornbook.errors import ConfigError, HornbookError
from hornbook.generation import SamplingConfig
from hornbook.runs.run import Run
from hornbook.serving.limits import Limits
from hornbook.serving.refusal import Refusal

OWN_NAMES = {"n": "samples", "logprobs": "alternatives"}
"""What OpenAI names otherwise than our settings do."""
TOO_COSTLY = {"pattern"}
"""Settings that nobody may send: a pattern can keep the engine busy for long, at its whim."""
MOST_STOPS = 16
"""Stop texts that a request may have."""


class StreamOptions(BaseModel):
    """What else an answer in events should hold."""

    model_config = ConfigDict(strict=True)

    include_usage: bool | None = None


class CompletionBody(BaseModel):
    """The fields that OpenAI names; a null is as good as nothing."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str | None = None
    prompt: Any = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: Annotated[int, Field(ge=0)] | None = None
    echo: bool | None = None
    stop: str | list[str] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    best_of: int | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    suffix: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A beginning.

    Attributes:
        text: as it was given, or what the ids that were given stand for.
        ids: what the model reads; at least one.
        unknown: how many of the ids are ``<?>``, for text outside the vocabulary.
    """

    text: str
    ids: tuple[int, ...]
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """A request that can be fulfilled.

    Attributes:
        prompts: the beginnings; each gets ``config.samples`` texts.
        config: how texts are drawn.
        logprobs: how many alternatives to tell beside each token; ``None`` tells nothing of tokens.
        echo: whether an answer begins with its prompt.
        stream: whether text is sent as it comes.
        include_usage: whether a stream ends with the count of tokens.
    """

    prompts: tuple[Prompt, ...]
    config: SamplingConfig
    logprobs: int | None
    echo: bool
    stream: bool
    include_usage: bool


def parse_json(content: bytes) -> dict[str, Any]:
    """The object that a body holds.

    Raises:
        Refusal: it is no JSON, or no object.
    """
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise Refusal(400, "The body is no JSON that can be read: too many brackets.") from None
    except ValueError as error:  # of UTF-8 and of JSON
        raise Refusal(400, f"The body is not valid JSON: {error}.") from None
    if not isinstance(found, dict):
        raise Refusal(400, 'The body must be a JSON object, such as {"prompt": "Once"}.')
    return found


def read_order(content: bytes, run: Run, model: str, limits: Limits) -> Order:
    """What the body of a request asks for.

    Args:
        content: the body.
        run: who will write.
        model: the name by which it is known here.
        limits: how much may be asked for.

    Raises:
        Refusal: it cannot be fulfilled; says which part of it is wrong.
    """
    body = _checked(parse_json(content))
    if body.model not in {None, model}:
        raise Refusal(
            404,
            f"There is no model {body.model!r} here; there is {model!r}.",
            param="model",
            code="model_not_found",
        )
    _refuse_what_is_not_done(body, limits)
    config = _settings(body, run)
    count = body.n or 1
    given = _prompts(body.prompt)
    if len(given) * count > limits.choices:
        raise Refusal(
            400,
            f"{len(given):,} prompts with n={count:,} are {len(given) * count:,} texts; a request "
            f"may ask for {limits.choices:,}.",
            param="n",
        )
    for each in given:
        _refuse_what_never_fits(each, run, limits)
    prompts = tuple(_prompt(each, run, config) for each in given)
    for prompt in prompts:
        length = len(prompt.ids) + config.max_tokens
        if length > limits.tokens:
            words = f"with max_tokens={config.max_tokens:,}"
            name = "max_tokens" if len(prompt.ids) < limits.tokens else "prompt"
            raise _too_long(f"{len(prompt.ids):,} tokens {words}", limits, name)
    options = body.stream_options
    return Order(
        prompts=prompts,
        config=config,
        logprobs=body.logprobs,
        echo=bool(body.echo),
        stream=bool(body.stream),
        include_usage=bool(options and options.include_usage),
    )


def _checked(given: dict[str, Any]) -> CompletionBody:
    try:
        return CompletionBody.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)[0]
        message = details["msg"].replace("Input should", "should", 1)
        name = str(details["loc"][0])
        raise Refusal(400, f"{name}: {message}.", param=name) from None


def _refuse_what_is_not_done(body: CompletionBody, limits: Limits) -> None:
    own = set(SamplingConfig.model_fields) - set(OWN_NAMES.values()) - TOO_COSTLY
    for name in body.model_extra or {}:
        if name not in own:
            raise Refusal(400, f"{name}: there is no such parameter.", param=name)
    if body.n is not None and not 1 <= body.n <= limits.choices:
        raise Refusal(400, f"n: should be 1 to {limits.choices:,}, and is {body.n:,}.", param="n")
    if body.logprobs is not None and body.logprobs > limits.alternatives:
        raise Refusal(
            400,
            f"logprobs: should be 0 to {limits.alternatives}, and is {body.logprobs:,}.",
            param="logprobs",
        )
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise Refusal(400, "best_of: must be n; texts are not ranked here.", param="best_of")
    if body.suffix:
        raise Refusal(400, "suffix: these models only go on from a prompt.", param="suffix")
    if isinstance(body.stop, list) and len(body.stop) > MOST_STOPS:
        raise Refusal(400, f"stop: at most {MOST_STOPS} texts, not {len(body.stop)}.", param="stop")


def _settings(body: CompletionBody, run: Run) -> SamplingConfig:
    """The rules: what was asked for, over OpenAI's defaults, over the run's own."""
    changes: dict[str, Any] = {
        "max_tokens": 16,
        "temperature": 1.0,
        "top_p": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logit_bias": (),
        "stop": (),
        "seed": secrets.randbits(62),
        "n": 1,
        "logprobs": 0,
    }
    names = [*changes, *(body.model_extra or {})]
    asked = {name: value for name in names if (value := getattr(body, name)) is not None}
    changes |= asked
    if body.seed is not None:
        changes["seed"] = body.seed % (1 << 63)  # theirs may be negative
    try:
        return run.sampling({OWN_NAMES.get(name, name): changes[name] for name in changes})
    except ConfigError as error:
        theirs = {own: name for name, own in OWN_NAMES.items()}
        problem = error.problems[0]
        name = problem.key.removeprefix("sampling.")
        name = theirs.get(name, name)
        raise Refusal(400, f"{name}: {problem.message}", param=name) from None


def _prompts(given: Any) -> list[str | list[int]]:
    """The four forms that a prompt may have, as a list.

    >>> _prompts("a"), _prompts(["a", "b"]), _prompts([1, 2]), _prompts([[1, 2], [3]])
    (['a'], ['a', 'b'], [[1, 2]], [[1, 2], [3]])
    """
    if given is None:
        return [""]
    if isinstance(given, str):
        return [given]
    if _are_ids(given):
        return [given]
    texts = isinstance(given, list) and all(isinstance(each, str) for each in given)
    if given and (texts or (isinstance(given, list) and all(map(_are_ids, given)))):
        return given
    raise Refusal(
        400,
        "prompt: should be a text, a list of texts, a list of token ids or a list of such lists.",
        param="prompt",
    )


def _refuse_what_never_fits(given: str | Sequence[int], run: Run, limits: Limits) -> None:
    """Refuse a text that is too long whatever its tokens are, before anybody looks for them."""
    longest = int(run.tokenizer.byte_lengths().max())
    if isinstance(given, str) and len(given) > longest * limits.tokens:
        raise _too_long(f"{len(given):,} characters", limits, "prompt")


def _too_long(words: str, limits: Limits, name: str) -> Refusal:
    return Refusal(
        400,
        f"A prompt of {words} is too long; the most is {limits.tokens:,} tokens together.",
        param=name,
        code="context_length_exceeded",
    )


def _are_ids(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(each) is int for each in given)


def _prompt(given: str | Sequence[int], run: Run, config: SamplingConfig) -> Prompt:
    try:
        if isinstance(given, str):
            ids = run.prompt_ids(given, add_start=config.add_start)
            return Prompt(given, tuple(ids), run.tokenizer.unknown_among(ids))
        return Prompt(run.tokenizer.decode(given), tuple(given))
    except HornbookError as error:
        raise Refusal(400, f"prompt: {error}", param="prompt") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
