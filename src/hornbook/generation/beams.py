"""Beam search: of all texts that go on from a prompt, look for the likeliest.

Greedy decoding takes the likeliest token, though a less likely one may lead to a likelier text:

            ┌ 0.6 ─ nice ──┬ 0.4 ─ day      0.24
    a ──────┤              └ 0.3 ─ man      0.18
            └ 0.4 ─ quick ─── 0.9 ─ fox     0.36   found with two beams, and not by greedy

A few texts, the beams, are followed side by side. In each step all their continuations are
compared, and the best are followed on (Graves, 2012, "Sequence Transduction with Recurrent Neural
Networks"; Sutskever et al., 2014).

The score of a text is the sum of its tokens' log-probabilities, over its number of tokens to the
power of the length penalty (0: the plain sum, which favours short texts; 1: their mean). The
search ends when no beam can overtake the texts that are to be returned, which is exact: later
log-probabilities are at most 0. Where penalties or a bias could raise them, it goes on to the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from hornbook.errors import GenerationError
from hornbook.generation.chooser import REMARKS, Chooser
from hornbook.generation.endings import Ending, ending_of, text_of
from hornbook.generation.rules import IMPOSSIBLE, check_logits
from hornbook.generation.sampler import Sample
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.vocabulary import vocabulary_of
from hornbook.models import LanguageModel, State
from hornbook.tokenizers import Tokenizer

MOST_BEAMS = 4096


@dataclass(frozen=True, slots=True)
class Beam(Sample):
    """A sample that a search found.

    Attributes:
        tokens: the ids that were added, an end token too.
        log_probability: their sum, after the rules that change logits [nats].
        score: what texts are compared by.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float


@dataclass(frozen=True, slots=True)
class _Path:
    """A text that is followed."""

    written: tuple[int, ...] = ()
    total: float = 0.0

    def longer(self, token: int, total: float) -> _Path:
        return _Path((*self.written, token), total)


def beam_search(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    config: SamplingConfig,
    *,
    beams: int = 4,
    length_penalty: float = 1.0,
    opening: int | None = None,
) -> list[Beam]:
    """Look for the ``config.samples`` likeliest texts that go on from ``prompt``, the best first.

    A text is never longer than the context: where that is full, it ends. Fewer come back where the
    rules let no more exist.

    Args:
        model: any language model.
        tokenizer: its tokenizer.
        prompt: the beginning, which may be empty.
        config: the rules on what is possible, penalties, bias, lengths and stop texts. What makes
            a draw bolder or safer (temperature, top-k and so on) and the seed are not read.
        beams: texts that are followed side by side; at least ``config.samples``.
        length_penalty: above 0 favours long texts, below 0 short ones.
        opening: see ``generate``.

    Raises:
        GenerationError: when a setting does not fit the model, or the prompt fills the context.
    """
    _check(beams, config)
    first = tokenizer.start_id if opening is None else opening
    ids = tokenizer.encode(prompt, add_start=config.add_start) or [first]
    search = _Search(model, tokenizer, ids, config, beams, length_penalty)
    with torch.inference_mode():
        search.run()
    return [
        Beam(prompt, text_of(tokenizer, config, written), ending, written, path.total, score)
        for score, path, ending in search.found[: config.samples]
        for written in [path.written]
    ]


class _Search:
    """The beams of one prompt, and the texts that are finished.

    Attributes:
        found: score, path and ending of finished texts, the best first.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        prompt: Sequence[int],
        config: SamplingConfig,
        beams: int,
        length_penalty: float,
    ) -> None:
        self.model, self.tokenizer, self.config = model.eval(), tokenizer, config
        self.beams, self.length_penalty = beams, length_penalty
        self.prompt = list(prompt)
        self.room = room_behind(model, prompt, config)
        self.chooser = Chooser(vocabulary_of(tokenizer), model.device)
        self.chooser.join(config, prompt)
        self.paths = [_Path()]
        self.found: list[tuple[float, _Path, Ending]] = []
        self.only_falls = not any(rule.asked_for(config) for rule in REMARKS)

    def run(self) -> None:
        state = self.model.init_state(1, self.model.device)
        if not self.room:
            self._finish(self.paths[0], "length")
            return
        newest = self._tensor([self.prompt])
        while self.paths:
            features, state = self.model.hidden(newest, state)
            parents = self._follow(self.model.head(features[:, -1]))
            state = self._close(parents, state)
            newest = self._tensor([path.written[-1:] for path in self.paths])

    def _follow(self, logits: torch.Tensor) -> list[int]:
        """Replace the paths by the best of their continuations; return which each comes from."""
        check_logits(logits)
        logs = self.chooser.scores(logits.float().log_softmax(dim=-1))
        totals = self._tensor([path.total for path in self.paths]).double()[:, None] + logs.double()
        paths: list[_Path] = []
        parents: list[int] = []
        for rank, (total, place) in enumerate(self._best_first(totals.flatten())):
            if total == IMPOSSIBLE or len(paths) == self.beams:
                break
            parent, token = divmod(place, logits.shape[-1])
            path = self.paths[parent].longer(token, total)
            ending = ending_of(self.tokenizer, self.config, path.written)
            if ending is None:
                paths.append(path)
                parents.append(parent)
            elif rank < self.beams:  # beyond, it was overtaken by texts that go on
                self._finish(path, ending)
        self.paths = paths
        return parents

    def _best_first(self, totals: torch.Tensor) -> Iterator[tuple[float, int]]:
        """Totals and their places. Most often twice as many as there are beams are enough."""
        best = totals.topk(min(2 * self.beams, len(totals)))
        places = best.indices.tolist()
        yield from zip(best.values.tolist(), places, strict=True)
        # Not where many tokens complete a stop text.
        given = set(places)
        ordered = totals.sort(descending=True, stable=True)
        for total, place in zip(ordered.values.tolist(), ordered.indices.tolist(), strict=True):
            if place not in given:
                yield total, place

    def _close(self, parents: list[int], state: State) -> State:
        """Let go of paths that are at their end, and of all when none can overtake any more."""
        self.chooser.select(parents)
        if self.paths:
            self.chooser.accept(self._tensor([path.written[-1] for path in self.paths]))
        staying = []
        for row, path in enumerate(self.paths):
            if self.chooser.is_complete(row):
                self._finish(path, "complete")
            elif len(path.written) == self.room:
                self._finish(path, "length")
            else:
                staying.append(row)
        if self._is_decided([self.paths[row] for row in staying]):
            staying = []
        self.paths = [self.paths[row] for row in staying]
        if len(staying) < len(parents):
            self.chooser.select(staying)
        rows = [parents[row] for row in staying]
        return self.model.select_state(state, self._tensor(rows)) if rows else state

    def _is_decided(self, paths: list[_Path]) -> bool:
        """Whether none of ``paths`` can still come before the texts that are to be returned."""
        wanted = self.config.samples
        if len(self.found) < wanted or not self.only_falls or not paths:
            return False
        # At best nothing is lost from here on, and the length is the one that flatters most.
        length = self.room if self.length_penalty > 0 else len(paths[0].written) + 1
        reachable = max(path.total for path in paths) / length**self.length_penalty
        return self.found[wanted - 1][0] >= reachable

    def _finish(self, path: _Path, ending: Ending) -> None:
        score = path.total / max(len(path.written), 1) ** self.length_penalty
        self.found.append((score, path, ending))
        self.found.sort(key=lambda each: -each[0])
        del self.found[self.beams :]

    def _tensor(self, numbers: Sequence[int | float | Sequence[int]]) -> torch.Tensor:
        return torch.tensor(numbers, device=self.model.device)


def room_behind(model: LanguageModel, prompt: Sequence[int], config: SamplingConfig) -> int:
    """How many tokens a text may have that stays within the context.

    Raises:
        GenerationError: when the prompt leaves no room at all.
    """
    if model.context_length is None:
        return config.max_tokens
    # The last token is written and not read.
    room = model.context_length - len(prompt) + 1
    if room < 1:
        raise GenerationError(
            f"the prompt has {len(prompt):,} tokens and the context {model.context_length:,}; a "
            "search needs all of it in the context, so use a shorter prompt."
        )
    return min(room, config.max_tokens)


def _check(beams: int, config: SamplingConfig) -> None:
    if not 1 <= beams <= MOST_BEAMS:
        raise GenerationError(f"beams={beams}: should be from 1 to {MOST_BEAMS}.")
    if config.samples > beams:
        raise GenerationError(
            f"samples={config.samples} is more than beams={beams}: a search returns at most as "
            "many texts as it follows; use more beams, or fewer samples."
        )
