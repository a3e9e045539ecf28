"""The one sampling loop, for every model: prefill the prompt, then a token at a time.

    for piece in stream(model, tokenizer, "Once", SamplingConfig(samples=2)):
        print(piece.sample, piece.text)

Text longer than the context slides: when the state is full, the model starts afresh on the
newest half of its context, and goes on from there. Where a window starts is a pure function
of how many tokens there are (``window_start``), so sampling with the state and without it
see the same tokens at the same places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from hornbook.generation.chooser import Chooser, refuse_misfits
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.text_stream import TextStream
from hornbook.generation.vocabulary import Vocabulary, vocabulary_of
from hornbook.models import LanguageModel
from hornbook.randomness import stream_seed
from hornbook.tokenizers import Tokenizer

Ending = Literal["end", "stop", "length"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that one of the samples has just become certain of.

    Attributes:
        sample: which sample, from 0.
        text: the new text; never half a character, never a part of a stop text.
        ending: why the sample ends here, or ``None`` while it goes on.
    """

    sample: int
    text: str
    ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished sample. ``str(sample)`` is the prompt and what the model added.

    Attributes:
        prompt: the text that was given.
        text: the text that the model added.
        ending: ``end`` (the end token), ``stop`` (a stop text) or ``length``.
    """

    prompt: str
    text: str
    ending: Ending

    def __str__(self) -> str:
        return self.prompt + self.text


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    config: SamplingConfig,
    *,
    opening: int | None = None,
) -> list[Sample]:
    """Draw ``config.samples`` texts that go on from ``prompt`` (which may be empty).

    Args:
        model: any language model.
        tokenizer: its tokenizer.
        prompt: the beginning.
        config: the rules.
        opening: the id that an empty prompt begins with, for what stood before a document's first
            token in training; the tokenizer's start unless given.

    Raises:
        GenerationError: when a setting does not fit the model.
        TokenizerError: when the prompt is no Unicode text.
    """
    texts = [""] * config.samples
    endings: list[Ending] = ["length"] * config.samples
    for piece in stream(model, tokenizer, prompt, config, opening=opening):
        texts[piece.sample] += piece.text
        endings[piece.sample] = piece.ending or endings[piece.sample]
    return [Sample(prompt, text, ending) for text, ending in zip(texts, endings, strict=True)]


def stream(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    config: SamplingConfig,
    *,
    opening: int | None = None,
) -> Iterator[Piece]:
    """Like ``generate``, but gives each piece of text as soon as it is certain.

    Every sample ends with one piece whose ``ending`` is set. Stop iterating to stop early.
    """
    refuse_misfits(config, model.vocab_size)
    first = tokenizer.start_id if opening is None else opening
    ids = tokenizer.encode(prompt, add_start=config.add_start) or [first]
    return _stream_pieces(model, tokenizer, ids, config)


def _stream_pieces(
    model: LanguageModel, tokenizer: Tokenizer, ids: Sequence[int], config: SamplingConfig
) -> Iterator[Piece]:
    texts = [TextStream(config.stop) for _ in range(config.samples)]
    open_samples = set(range(config.samples))
    for step_ids in generate_tokens(model, ids, config, vocabulary=vocabulary_of(tokenizer)):
        for sample in sorted(open_samples):
            token = step_ids[sample]
            if config.stop_at_end and token == tokenizer.end_id:
                open_samples.remove(sample)
                yield Piece(sample, texts[sample].finish(), "end")
                continue
            text = texts[sample].feed(tokenizer.token_bytes(token))
            if texts[sample].stopped:
                open_samples.remove(sample)
                yield Piece(sample, text, "stop")
            elif text:
                yield Piece(sample, text)
        if not open_samples:
            return
    for sample in sorted(open_samples):
        text = texts[sample].finish()
        yield Piece(sample, text, "stop" if texts[sample].stopped else "length")


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

    Yields:
        one id for each sample.
    """
    model.eval()
    device = model.device
    rows = [list(prompt) for _ in range(config.samples)]
    uniforms = _uniform_streams(config)
    chooser = Chooser(vocabulary or Vocabulary(model.vocab_size), device)
    chooser.join(config, prompt)
    chooser.select([0] * config.samples)
    state, start, held = None, -1, 0
    for _ in range(config.max_tokens):
        length = len(rows[0])
        if not use_state or window_start(length, model.context_length) != start:
            start = window_start(length, model.context_length)
            state, held = (model.init_state(config.samples, device) if use_state else None), start
        with torch.inference_mode():
            new = torch.tensor([row[held:] for row in rows], device=device)
            features, state = model.hidden(new, state)
            numbers = torch.tensor([next(each) for each in uniforms]).to(device)
            choice = chooser.choose(model.head(features[:, -1]), numbers)
            chooser.accept(choice.ids)
            ids = choice.ids.tolist()
        held = length if use_state else start
        for row, token in zip(rows, ids, strict=True):
            row.append(token)
        yield ids


def window_start(length: int, context_length: int | None) -> int:
    """The first token that the model sees when there are ``length`` tokens.

    While all fit it is 0; then it moves on by half a context at a time.

    >>> [window_start(length, 4) for length in (1, 4, 5, 6, 7, 8)]
    [0, 0, 2, 2, 4, 4]
    """
    if context_length is None or length <= context_length:
        return 0
    hop = max(context_length // 2, 1)
    return -(-(length - context_length) // hop) * hop


def _uniform_streams(config: SamplingConfig) -> list[Iterator[float]]:
    """One stream of uniform numbers for each sample, so that none depends on its neighbours."""

    def numbers(sample: int) -> Iterator[float]:
        generator = np.random.Generator(
            np.random.PCG64(stream_seed(config.seed, "sampling", sample))
        )
        while True:
            yield from generator.random(256).tolist()

    return [numbers(sample) for sample in range(config.samples)]
