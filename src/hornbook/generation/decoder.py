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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hornbook.errors import GenerationError
from hornbook.generation.rules import SamplingConfig, draw, next_token_probabilities
from hornbook.models import LanguageModel, State
from hornbook.randomness import stream_seed

TOKENS_A_CALL = 1 << 13
"""The most tokens that several rows are read in together, to bound memory [tokens]."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was chosen.

    Attributes:
        id: its number.
        log_probability: the logarithm of what the model gave it, before all rules [nats].
        alternatives: the likeliest tokens in its place, from the likeliest on, as pairs of id and
            log-probability; as many as ``SamplingConfig.alternatives``.
    """

    id: int
    log_probability: float
    alternatives: tuple[tuple[int, float], ...] = ()


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
        measured: whether tokens carry their log-probabilities; without they are NaN, and a step
            is a little quicker.

    >>> from hornbook.models import BigramConfig, build_model
    >>> decoder = Decoder(build_model(BigramConfig(), vocab_size=4, context_length=8, seed=1))
    >>> first, = decoder.join([2, 1], SamplingConfig(temperature=0))
    >>> decoder.step()[0][1].id                     # a table of zeros: the first of four equals
    0
    >>> second, = decoder.join([3], SamplingConfig(temperature=0))
    >>> [(row.number, token.id) for row, token in decoder.step()]
    [(0, 0), (1, 0)]
    >>> decoder.leave(first)
    >>> len(decoder), second.tokens
    (1, [3, 0])
    """

    def __init__(self, model: LanguageModel, *, measured: bool = True) -> None:
        self._model = model.eval()
        self._measured = measured
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
        self._append(state)
        self._rows += rows
        return rows

    def leave(self, row: Row) -> None:
        """Take ``row`` out; its memory is free for others."""
        place = self._rows.index(row)
        last = self._rows.pop()
        if row is not last:
            self._rows[place] = last
        with torch.inference_mode():
            self._state = self._model.drop_row(self._state, place) if self._rows else None

    def is_full(self, row: Row) -> bool:
        """Whether ``row`` can have no further token, since its context is full and it is to stop."""
        context = self._model.context_length
        return row.config.overflow == "stop" and context is not None and len(row.tokens) > context

    def step(self) -> list[tuple[Row, Token]]:
        """Choose one token for every row; none of them may be full.

        Returns:
            every row and its new token, in the order in which they joined.
        """
        if not self._rows:
            return []
        self._make_room()
        with torch.inference_mode():
            newest = torch.tensor([row.tokens[-1:] for row in self._rows])
            features, self._state = self._model.hidden(newest.to(self._model.device), self._state)
            logits = self._model.head(features[:, -1]).float()
            tokens = self._tokens(logits, _choose(logits, self._rows))
        for row, token in zip(self._rows, tokens, strict=True):
            row.tokens.append(token.id)
        found = zip(self._rows, tokens, strict=True)
        return sorted(found, key=lambda pair: pair[0].number)

    def check(self, prompt: Sequence[int], config: SamplingConfig) -> None:
        """Raise a ``GenerationError`` when a setting or the prompt does not fit the model."""
        model = self._model
        if not prompt:
            raise GenerationError("a row needs at least one token to go on from.")
        if config.top_k > model.vocab_size:
            raise GenerationError(
                f"top_k={config.top_k} is larger than the vocabulary ({model.vocab_size} tokens); "
                "use a smaller one, or 0 to keep all."
            )
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
        return torch.tensor(numbers, device=self._model.device)

    def _read(self, rows: list[list[int]]) -> State:
        """The state after ``rows``, which are equally long and may be empty."""
        with torch.inference_mode():
            state = self._model.init_state(len(rows), self._model.device)
            if rows[0]:
                _, state = self._model.hidden(self._places(rows), state)
            return state

    def _append(self, state: State) -> None:
        """Put rows that were read apart behind the others."""
        if self._rows:
            with torch.inference_mode():
                state = self._model.join_states(self._state, state)
        self._state = state

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

    def _tokens(self, logits: torch.Tensor, chosen: torch.Tensor) -> list[Token]:
        """[rows, vocab_size] ``float32`` logits and [rows] ids to tokens."""
        ids = chosen.tolist()
        if not self._measured:
            return [Token(number, float("nan")) for number in ids]
        # The sum as a column of its own: a table of log-probabilities would cost more.
        total = logits.logsumexp(dim=-1, keepdim=True)
        own = (logits.gather(-1, chosen[:, None]) - total).squeeze(-1).tolist()
        most = max(row.config.alternatives for row in self._rows)
        if not most:
            return [Token(*pair) for pair in zip(ids, own, strict=True)]
        top = logits.topk(min(most, logits.shape[-1]), dim=-1)
        others = zip(top.indices.tolist(), (top.values - total).tolist(), strict=True)
        return [
            Token(number, value, tuple(zip(*pair, strict=True))[: row.config.alternatives])
            for row, number, value, pair in zip(self._rows, ids, own, others, strict=True)
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


def _choose(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """One id for each row of [rows, vocab_size] ``float32`` logits, by the row's own rules."""
    groups: dict[tuple[float, int, float], list[int]] = {}
    for place, row in enumerate(rows):
        c = row.config
        groups.setdefault((c.temperature, c.top_k, c.top_p), []).append(place)
    chosen = torch.empty(len(rows), dtype=torch.int64, device=logits.device)
    for places in groups.values():
        config = rows[places[0]].config
        own = logits if len(places) == len(rows) else logits[places]
        if config.temperature == 0:
            ids = own.argmax(dim=-1)
        else:
            numbers = torch.tensor([next(rows[place].uniforms) for place in places])
            ids = draw(next_token_probabilities(own, config), numbers.to(logits.device))
        chosen[places] = ids
    return chosen
