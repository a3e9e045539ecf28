"""The one sampling loop, for every model: prefill the prompt, then a token at a time.

    for piece in stream(model, tokenizer, "Once", SamplingConfig(samples=2)):
        print(piece.sample, piece.text)

Several prompts and all their samples are written together, as many at once as memory allows
(``most_rows``); when one ends, the next takes its place. How rows of different lengths share a
step, and what happens when one outgrows the context, is told in ``decoder``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from hornbook.errors import GenerationError, ModelBroken
from hornbook.generation.chooser import Chooser
from hornbook.generation.decoder import Decoder, Token, uniform_numbers, window_start
from hornbook.generation.endings import Ending
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.vocabulary import Vocabulary
from hornbook.generation.writer import Piece, Writer
from hornbook.models import LanguageModel
from hornbook.tokenizers import Tokenizer

MOST_ROWS = 256
"""The most rows of a step, even of the smallest model."""

MOST_MEMORY = 4 << 30
"""What the states of all rows may take [bytes]."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished sample. ``str(sample)`` is the prompt and what the model added.

    Attributes:
        prompt: the text that was given.
        text: the text that the model added.
        ending: ``end`` (the end token), ``stop`` (a stop text), ``length``, ``complete`` (all that
            ``pattern`` or ``allowed`` asked for), or ``stuck`` (the rules left no token).
    """

    prompt: str
    text: str
    ending: Ending

    def __str__(self) -> str:
        return self.prompt + self.text


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | Sequence[str],
    config: SamplingConfig,
    *,
    opening: int | None = None,
) -> list[Sample]:
    """Draw ``config.samples`` texts that go on from ``prompt`` (which may be empty).

    Args:
        model: any language model.
        tokenizer: its tokenizer.
        prompt: the beginning, or several of them.
        config: the rules.
        opening: the id that an empty prompt begins with, for what stood before a document's first
            token in training; the tokenizer's start unless given.

    Returns:
        all samples of the first prompt, then those of the next.

    Raises:
        GenerationError: when a setting does not fit the model.
        ModelBroken: when its logits are no numbers.
        TokenizerError: when the prompt is no Unicode text.
    """
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    texts = [[""] * config.samples for _ in prompts]
    endings: list[list[Ending]] = [["length"] * config.samples for _ in prompts]
    writer = Writer(model, tokenizer, opening=opening)
    for piece in _pieces(writer, prompts, config, most_rows(model)):
        texts[piece.prompt][piece.sample] += piece.text
        if piece.ending is not None:
            endings[piece.prompt][piece.sample] = piece.ending
    return [
        Sample(begin, text, ending)
        for begin, own, ends in zip(prompts, texts, endings, strict=True)
        for text, ending in zip(own, ends, strict=True)
    ]


def stream(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str | Sequence[str],
    config: SamplingConfig,
    *,
    opening: int | None = None,
) -> Iterator[Piece]:
    """Like ``generate``, but gives each piece of text as soon as it is certain.

    Every sample ends with one piece whose ``ending`` is set. Stop iterating to stop early. What
    does not fit is told at once, before anybody asks for the first piece.
    """
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    writer = Writer(model, tokenizer, opening=opening)
    for each in prompts:
        writer.check(each, config)
    return _pieces(writer, prompts, config, most_rows(model))


def _pieces(
    writer: Writer, prompts: Sequence[str], config: SamplingConfig, rows: int
) -> Iterator[Piece]:
    """Write all samples of all prompts, at most ``rows`` at a time."""
    waiting = deque(range(len(prompts) * config.samples))
    while waiting or len(writer):
        while waiting and len(writer) < rows:
            number, first = divmod(waiting.popleft(), config.samples)
            samples = [first]
            # Further samples of the same prompt share the reading of it.
            while waiting and waiting[0] // config.samples == number:
                if len(writer) + len(samples) == rows:
                    break
                samples.append(waiting.popleft() % config.samples)
            writer.join(prompts[number], config, number=number, samples=samples)
        for _, piece in writer.step():
            if piece.ending == "broken":
                raise ModelBroken
            yield piece


def most_rows(model: LanguageModel) -> int:
    """How many texts are written at once, at most; what they remember must fit into memory."""
    size = getattr(model.init_state(1), "nbytes", 0)
    return max(1, min(MOST_ROWS, MOST_MEMORY // size if size else MOST_ROWS))


def generate_tokens(
    model: LanguageModel,
    prompt: Sequence[int],
    config: SamplingConfig,
    *,
    use_state: bool = True,
    vocabulary: Vocabulary | None = None,
) -> Iterator[list[int]]:
    """Yield the next token of every sample, ``config.max_tokens`` times.

    Args:
        model: any language model; it is put into evaluation mode.
        prompt: at least one token id, the same for all samples.
        config: the rules; ``stop`` and ``stop_at_end`` are not read here.
        use_state: whether the model remembers what it has seen. Without, every step reads
            the whole window again: slow, and equal; it is kept as the oracle.
        vocabulary: what the ids stand for, for rules that must know.

    Raises:
        GenerationError: when the rules leave no token.
        ModelBroken: when the model's logits are no numbers.

    Yields:
        one id for each sample.
    """
    vocabulary = vocabulary or Vocabulary(model.vocab_size)
    if not use_state:
        yield from _without_state(model, prompt, config, vocabulary)
        return
    decoder = Decoder(model, vocabulary)
    decoder.join(prompt, config, range(config.samples))
    for _ in range(config.max_tokens):
        yield [_possible(token).id for token in decoder.step().values()]


def _possible(token: Token | None) -> Token:
    if token is None:
        raise GenerationError("the rules left no token that could come next; loosen one of them.")
    if token.is_broken:
        raise ModelBroken
    return token


def _without_state(
    model: LanguageModel, prompt: Sequence[int], config: SamplingConfig, vocabulary: Vocabulary
) -> Iterator[list[int]]:
    model.eval()
    rows = [list(prompt) for _ in range(config.samples)]
    uniforms = [uniform_numbers(config.seed, sample) for sample in range(config.samples)]
    chooser = Chooser(vocabulary, model.device)
    chooser.join(config, prompt)
    chooser.select([0] * config.samples)
    for _ in range(config.max_tokens):
        start = window_start(len(rows[0]), model.context_length)
        with torch.inference_mode():
            window = torch.tensor([row[start:] for row in rows], device=model.device)
            features, _ = model.hidden(window)
            numbers = torch.tensor([next(each) for each in uniforms]).to(model.device)
            choice = chooser.choose(model.head(features[:, -1]), numbers)
            chooser.accept(choice.ids)
        for row, token in zip(rows, choice.ids.tolist(), strict=True):
            row.append(token)
        yield choice.ids.tolist()
