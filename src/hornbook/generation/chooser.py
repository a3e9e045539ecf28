"""Chooses the next token of every row of a batch, each by its own settings, in one stated order.

    chooser = Chooser(vocabulary_of(tokenizer), device)
    chooser.join(config, prompt_ids)            # a row; another with other settings may follow
    choice = chooser.choose(logits, uniforms)   # [rows, vocab_size] and [rows] to ids [rows]
    chooser.accept(choice.ids)                  # what the rules must remember

    logits ─► penalties, bias ─► what is possible ─► temperature ─► the likely ones ─► draw
              REMARKS            BARRIERS                           FILTERS

Rows stand in the order in which they joined; ``select`` takes some of them away, reorders them, or
doubles them, as ``LanguageModel.select_state`` does with what a model remembers. So several samples
of one prompt join once and are then selected as often as they are many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hornbook.errors import GenerationError
from hornbook.generation.row_rules import (
    Bias,
    CountPenalties,
    LeastLength,
    MinP,
    NoRepeatedNgram,
    RepetitionPenalty,
    RowRule,
    TopK,
    TopP,
    Typical,
    Unused,
)
from hornbook.generation.rules import IMPOSSIBLE, draw, log_probabilities_of, with_temperature
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.text_rules import Allowed, Banned, NoEarlyStop, Pattern, TextRule
from hornbook.generation.vocabulary import Vocabulary

REMARKS: tuple[type[RowRule], ...] = (RepetitionPenalty, CountPenalties, Bias)
"""Rules that make tokens more or less likely, in their order."""
BARRIERS: tuple[type[RowRule], ...] = (
    Unused,
    NoRepeatedNgram,
    LeastLength,
    NoEarlyStop,
    Banned,
    Allowed,
    Pattern,
)
"""Rules that make tokens impossible whatever their logits; they hold for greedy rows too."""
FILTERS: tuple[type[RowRule], ...] = (TopK, TopP, MinP, Typical)
"""Rules that keep the likely tokens, in their order, after the temperature."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The next token of every row.

    Attributes:
        ids: [rows] ``int64``.
        log_probabilities: [rows] ``float32``, how likely the model itself thought each of them,
            before any rule [nats]; NaN where the model's logits are no numbers, and then the id
            means nothing.
        possible: [rows] bool, false where the rules left no token and the id means nothing;
            ``None`` where no rule can do that.
    """

    ids: torch.Tensor
    log_probabilities: torch.Tensor
    possible: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """One token that could come next, or could not.

    Attributes:
        id: the token.
        log_probability: how likely the model itself thinks it, before any rule [nats].
        probability: how likely it is to be drawn, after all rules.
        removed_by: the setting whose rule made it impossible; ``None`` while it is possible.
    """

    id: int
    log_probability: float
    probability: float
    removed_by: str | None = None


class Chooser:
    """The decoding rules of all rows of a batch.

    Args:
        vocabulary: what the logits score.
        device: where they will lie.
    """

    def __init__(self, vocabulary: Vocabulary, device: torch.device) -> None:
        self.vocabulary = vocabulary
        self.device = device
        self.configs: list[SamplingConfig] = []
        self._rules: dict[type[RowRule], RowRule] = {}
        self._settle()

    def join(self, config: SamplingConfig, prompt: Sequence[int]) -> None:
        """Add a row behind the others.

        Args:
            config: its settings.
            prompt: the ids that it goes on from.

        Raises:
            GenerationError: with everything in the settings that does not fit the vocabulary; then
                nothing has changed.
        """
        self.check(config)
        for kind in (*REMARKS, *BARRIERS, *FILTERS):
            if kind not in self._rules and self._needs(kind, config):
                self._rules[kind] = kind(self.vocabulary, self.device, self.configs)
        for rule in self._rules.values():
            rule.join(config, prompt)
        self.configs.append(config)
        self._settle()

    def check(self, config: SamplingConfig) -> None:
        """Raise ``GenerationError`` with everything that does not fit the vocabulary."""
        misfits = list(config.misfits(self.vocabulary.size))
        for kind in BARRIERS:
            if issubclass(kind, TextRule) and kind.asked_for(config):
                misfits += kind.misfits(config, self.vocabulary)
        if misfits:
            raise GenerationError("\n".join(map(str, misfits)))

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; one may be taken more than once."""
        self.configs = [self.configs[row] for row in rows]
        for kind, rule in list(self._rules.items()):
            if any(self._needs(kind, config) for config in self.configs):
                rule.select(rows)
            else:
                del self._rules[kind]
        self._settle()

    def choose(self, logits: torch.Tensor, uniforms: torch.Tensor) -> Choice:
        """Choose a token for every row.

        Args:
            logits: [rows, vocab_size] of a model; they stay as they are.
            uniforms: [rows] numbers in [0, 1), not read where the temperature is 0.
        """
        scores = self.scores(logits)
        if self._all_greedy:
            ids = scores.argmax(dim=-1)
        else:
            ids = draw(self._bold(scores).softmax(dim=-1), uniforms)
            if self._greedy is not None:
                ids = torch.where(self._greedy, scores.argmax(dim=-1), ids)
        possible = None
        if self._may_exhaust:
            possible = scores.amax(dim=-1) > IMPOSSIBLE
            ids = torch.where(possible, ids, 0)
        return Choice(ids, log_probabilities_of(logits, ids), possible)

    def accept(self, ids: torch.Tensor) -> None:
        """Take note of the token [rows] that each row goes on with."""
        for rule in self._rules.values():
            rule.accept(ids)

    def is_complete(self, row: int) -> bool:
        """Whether the rules asked for a whole text, have it, and let nothing follow."""
        return any(
            rule.is_complete(row) for rule in self._rules.values() if isinstance(rule, TextRule)
        )

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """[rows, vocab_size] after penalties, bias and what is impossible; before temperature."""
        scores = logits.float()
        for rule in self._before:
            scores = rule.apply(scores)
        return scores

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """[rows, vocab_size], what is drawn from after all rules; one token of a greedy row."""
        scores = self.scores(logits)
        drawn = self._bold(scores).softmax(dim=-1)
        if self._greedy is None:
            return drawn
        likeliest = torch.zeros_like(drawn).scatter(1, scores.argmax(dim=-1, keepdim=True), 1.0)
        return torch.where(self._greedy[:, None], likeliest, drawn)

    def explain(self, logits: torch.Tensor, count: int) -> list[list[Alternative]]:
        """For every row the ``count`` tokens that the model thinks likeliest, the likeliest first.

        Not for every step: it reads results back from the device.
        """
        logs, ids = logits.float().log_softmax(dim=-1).topk(min(count, logits.shape[-1]), dim=-1)
        removed: list[list[str | None]] = [[None] * ids.shape[1] for _ in self.configs]
        scores = logits.float()
        for rule in (*self._before, None, *self._filters):
            scores = self._cooled(scores) if rule is None else rule.apply(scores)
            for row, gone in enumerate((scores.gather(1, ids) == IMPOSSIBLE).tolist()):
                for place, is_gone in enumerate(gone):
                    if is_gone and removed[row][place] is None:
                        removed[row][place] = "temperature" if rule is None else rule.name
        chances = self.probabilities(logits).gather(1, ids).tolist()
        table = zip(ids.tolist(), logs.tolist(), chances, removed, strict=True)
        return [[Alternative(*each) for each in zip(*row, strict=True)] for row in table]

    def _cooled(self, scores: torch.Tensor) -> torch.Tensor:
        """Scores over the temperature; of a greedy row only the likeliest remains."""
        cooled = with_temperature(scores, self._temperature)
        if self._greedy is None:
            return cooled
        likeliest = torch.full_like(scores, IMPOSSIBLE)
        likeliest.scatter_(1, scores.argmax(dim=-1, keepdim=True), 0.0)
        return torch.where(self._greedy[:, None], likeliest, cooled)

    def _bold(self, scores: torch.Tensor) -> torch.Tensor:
        # At a temperature of 1 a draw is the same, bit for bit; filters see what they always see.
        if self._filters or not self._all_at_one:
            scores = with_temperature(scores, self._temperature)
        for rule in self._filters:
            scores = rule.apply(scores)
        return scores

    def _needs(self, kind: type[RowRule], config: SamplingConfig) -> bool:
        if kind is Unused:
            return bool(self.vocabulary.unused)
        if kind in FILTERS and config.temperature == 0:
            return False
        return kind.asked_for(config)

    def _settle(self) -> None:
        """Find again what depends on which rows there are."""
        rules = self._rules
        self._before = [rules[kind] for kind in (*REMARKS, *BARRIERS) if kind in rules]
        self._filters = [rules[kind] for kind in FILTERS if kind in rules]
        self._may_exhaust = any(rule.may_exhaust for rule in self._before)
        greedy = [config.temperature == 0 for config in self.configs]
        self._all_greedy = all(greedy)
        self._greedy = torch.tensor(greedy, device=self.device) if any(greedy) else None
        divisors = [config.temperature or 1.0 for config in self.configs]
        self._all_at_one = all(divisor == 1 for divisor in divisors)
        self._temperature = torch.tensor(divisors, device=self.device)[:, None]
