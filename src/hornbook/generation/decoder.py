"""Rows of tokens that grow together, each as it would alone.

Each row has a prompt, rules and draws of its own. Rows join and leave between two steps, so a
long text does not hold up a short one:

    join   a b c          join   x
    step   a b c d
    step   a b c d e      step   x y
    leave                 step   x y z

The model has read all of a row but its last token; a step hands it the last tokens of all rows
at once and takes one new token for each. Whoever joins is read apart from the others, and
several samples of one prompt are read once.

A row that is longer than the context goes on in one of three ways (``SamplingConfig.overflow``).
Where its window of the text starts is the same in two of them: it stays until the window is full
and then moves on by half a context (``window_start``).

    restart   the model reads the newest half afresh: what comes next depends on the tokens of the
              window alone
    slide     the state is cut: the keys and values of the newest half are kept, and were made while
              older tokens could be seen, so of these something is left
    stop      the row ends
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hornbook.errors import GenerationError
from hornbook.generation.chooser import Alternative, Chooser
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.vocabulary import Vocabulary
from hornbook.models import LanguageModel, State, next_step
from hornbook.randomness import stream_seed

TOKENS_A_CALL = 1 << 13
"""The most tokens that several rows are read in together, to bound memory [tokens]."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was chosen.

    Attributes:
        id: its number.
        log_probability: how likely the model itself thought it, before any rule [nats]; NaN where
            what the model said are no numbers, and then the id means nothing.
        alternatives: what else the model thought likely, from the likeliest on, and what the rules
            made of it; as many as ``SamplingConfig.alternatives``.
    """

    id: int
    log_probability: float
    alternatives: tuple[Alternative, ...] = ()

    @property
    def is_broken(self) -> bool:
        """Whether it was drawn from no numbers, because the model has gone wrong."""
        return math.isnan(self.log_probability)


@dataclass(eq=False, slots=True)
class Row:
    """One text of a ``Decoder``.

    Attributes:
        number: counts the rows of a decoder in the order in which they joined.
        config: its rules.
        sample: which of the streams of draws that ``config.seed`` has is its own.
        tokens: the prompt and what has been chosen since.
        prompt_length: how many of these are the prompt.
        start: the first token that the model still sees.
    """

    number: int
    config: SamplingConfig
    sample: int
    tokens: list[int]
    prompt_length: int
    start: int
    uniforms: Iterator[float] = field(repr=False)


class Decoder:
    """Grows rows of tokens, a token of each at a time.

    Args:
        model: any language model; it is put into evaluation mode.
        vocabulary: what the ids stand for, for rules that must know.

    >>> from hornbook.models import BigramConfig, build_model
    >>> decoder = Decoder(build_model(BigramConfig(), vocab_size=4, context_length=8, seed=1))
    >>> first, = decoder.join([2, 1], SamplingConfig(temperature=0))
    >>> decoder.step()[first].id                    # a table of zeros: the first of four equals
    0
    >>> second, = decoder.join([3], SamplingConfig(temperature=0))
    >>> [(row.number, token.id) for row, token in decoder.step().items()]
    [(0, 0), (1, 0)]
    >>> decoder.leave(first)
    >>> len(decoder), second.tokens
    (1, [3, 0])
    """

    def __init__(self, model: LanguageModel, vocabulary: Vocabulary | None = None) -> None:
        # To walk through all modules takes as long as a token of a small model.
        self._model = model.eval() if model.training else model
        self._next_step = next_step(model)
        self._device = model.device
        vocabulary = vocabulary or Vocabulary(model.vocab_size)
        self._chooser = Chooser(vocabulary, self._device)
        self._rows: list[Row] = []
        self._state: State = None
        self._joined = 0

    def __len__(self) -> int:
        return len(self._rows)

    def join(
        self, prompt: Sequence[int], config: SamplingConfig, samples: Sequence[int] = (0,)
    ) -> list[Row]:
        """Add a row for each of ``samples``; the prompt is read at once, and once for all.

        Args:
            prompt: at least one token id.
            config: the rules; ``max_tokens``, ``stop``, ``stop_at_end`` and ``samples`` are not
                read here.
            samples: which streams of draws the rows have.

        Raises:
            GenerationError: when a setting does not fit the model.
        """
        self.check(prompt, config)
        start = window_start(len(prompt), self._model.context_length)
        state = self._read([list(prompt[start:-1])])
        if len(samples) != 1:
            with torch.inference_mode():
                state = self._model.select_state(state, self._places([0] * len(samples)))
        rows = []
        for sample in samples:
            uniforms = uniform_numbers(config.seed, sample)
            tokens = list(prompt)
            rows.append(Row(self._joined, config, sample, tokens, len(tokens), start, uniforms))
            self._joined += 1
        if self._rows:
            with torch.inference_mode():
                state = self._model.join_states(self._state, state)
        self._state = state
        before = len(self._rows)
        self._chooser.join(config, prompt)
        self._chooser.select([*range(before), *[before] * len(samples)])
        self._rows += rows
        return rows

    def leave(self, row: Row) -> None:
        """Take ``row`` out; its memory is free for others."""
        place, order = self._rows.index(row), list(range(len(self._rows) - 1))
        if place < len(order):
            order[place] = len(order)
        self._rows = [self._rows[old] for old in order]
        self._chooser.select(order)
        with torch.inference_mode():
            self._state = self._model.drop_row(self._state, place) if self._rows else None

    def is_full(self, row: Row) -> bool:
        """Whether ``row`` can have no further token: its context is full, and it is to stop."""
        context = self._model.context_length
        return row.config.overflow == "stop" and context is not None and len(row.tokens) > context

    def is_complete(self, row: Row) -> bool:
        """Whether the rules asked for a whole text, which ``row`` is, and let nothing follow."""
        return self._chooser.is_complete(self._rows.index(row))

    def step(self) -> dict[Row, Token | None]:
        """Choose one token for every row; none of them may be full.

        Returns:
            every row and its new token, in the order in which they joined; ``None`` where the rules
            left none. Such a row should leave, and so should one whose token ``is_broken``.
        """
        if not self._rows:
            return {}
        self._make_room()
        with torch.inference_mode():
            newest = self._places([row.tokens[-1:] for row in self._rows])
            logits, self._state = self._next_step(newest, self._state)
            tokens = self._choose(logits)
        for row, token in zip(self._rows, tokens, strict=True):
            if token is not None:
                row.tokens.append(token.id)
        found = zip(self._rows, tokens, strict=True)
        return dict(sorted(found, key=lambda pair: pair[0].number))

    def check(self, prompt: Sequence[int], config: SamplingConfig) -> None:
        """Raise a ``GenerationError`` when a setting or the prompt does not fit the model."""
        model = self._model
        if not prompt:
            raise GenerationError("a row needs at least one token to go on from.")
        self._chooser.check(config)
        if model.context_length is None:
            return
        if config.overflow == "slide" and not model.can_forget:
            raise GenerationError(
                "overflow=slide needs a model that knows tokens by their distance, and this one "
                "knows them by their places; use overflow=restart, or stop."
            )
        if config.overflow == "stop" and len(prompt) > model.context_length:
            raise GenerationError(
                f"the prompt has {len(prompt):,} tokens and the context {model.context_length:,}, "
                "so with overflow=stop nothing can be added; use overflow=restart, or a shorter "
                "prompt."
            )

    def _places(self, numbers: list[int] | list[list[int]]) -> torch.Tensor:
        return torch.tensor(numbers, device=self._device)

    def _read(self, rows: list[list[int]]) -> State:
        """The state after ``rows``, which are equally long and may be empty."""
        with torch.inference_mode():
            state = self._model.init_state(len(rows), self._device)
            if rows[0]:
                _, state = self._model.hidden(self._places(rows), state)
            return state

    def _make_room(self) -> None:
        """Move the windows of rows that have outgrown the context."""
        context = self._model.context_length
        if context is None:
            return
        restarted: list[int] = []
        for place, row in enumerate(self._rows):
            if len(row.tokens) - row.start <= context:
                continue
            start = window_start(len(row.tokens), context)
            if row.config.overflow == "slide":
                with torch.inference_mode():
                    self._model.forget(self._state, place, start - row.start)
            else:
                restarted.append(place)
            row.start = start
        for places in self._read_together(restarted):
            self._replace(places, self._read([self._window(place) for place in places]))

    def _window(self, place: int) -> list[int]:
        row = self._rows[place]
        return row.tokens[row.start : -1]

    def _read_together(self, places: list[int]) -> Iterator[list[int]]:
        """Rows whose windows are equally long, not too many at once."""
        by_length: dict[int, list[int]] = {}
        for place in places:
            by_length.setdefault(len(self._window(place)), []).append(place)
        for length, group in by_length.items():
            size = max(1, TOKENS_A_CALL // max(length, 1))
            yield from (group[first : first + size] for first in range(0, len(group), size))

    def _replace(self, places: list[int], fresh: State) -> None:
        """Put the rows of ``fresh`` where those at ``places`` are."""
        if len(places) == len(self._rows):
            self._state = fresh
            return
        model, count = self._model, len(self._rows)
        order = list(range(count))
        for new, place in enumerate(places):
            order[place] = count + new
        with torch.inference_mode():
            joined = model.join_states(self._state, fresh)
            self._state = model.select_state(joined, self._places(order))

    def _uniforms(self) -> torch.Tensor:
        """[rows] the draws of this step; greedy rows have none."""
        numbers = [next(row.uniforms) if row.config.temperature else 0.0 for row in self._rows]
        return torch.tensor(numbers, device=self._device)

    def _choose(self, logits: torch.Tensor) -> list[Token | None]:
        """[rows, vocab_size] logits to a token for each row."""
        choice = self._chooser.choose(logits, self._uniforms())
        most = max(row.config.alternatives for row in self._rows)
        others = self._chooser.explain(logits, most) if most else [[]] * len(self._rows)
        self._chooser.accept(choice.ids)
        possible = [True] * len(self._rows)
        if choice.possible is not None:
            possible = choice.possible.tolist()
        ids, likely = choice.ids.tolist(), choice.log_probabilities.tolist()
        return [
            Token(number, value, tuple(beside[: row.config.alternatives]))
            if able or math.isnan(value)
            else None
            for row, able, beside, number, value in zip(
                self._rows, possible, others, ids, likely, strict=True
            )
        ]


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


def uniform_numbers(seed: int, sample: int) -> Iterator[float]:
    """The draws of one sample, in [0, 1); they do not depend on its neighbours."""
    generator = np.random.Generator(np.random.PCG64(stream_seed(seed, "sampling", sample)))
    while True:
        yield from generator.random(256).tolist()
