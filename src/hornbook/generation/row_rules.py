"""Each decoding rule over a batch in which every row has its own settings and its own past.

A rule is there only while a row asks for it; rows that do not are left as they are:

                       row 0           row 1            row 2
    top_k              40              0 (off)          5
    no_repeat_ngram    off             off              off       this rule is not there at all

What a rule remembers of each row (which tokens came, how often) lies in tensors on the model's
device, and a step neither waits for the device nor reads anything back from it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch

from hornbook.generation.rules import (
    IMPOSSIBLE,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    repeated_ngrams,
    with_bias,
    with_count_penalties,
    with_repetition_penalty,
)
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.vocabulary import Vocabulary


class RowRule(ABC):
    """One rule for all rows.

    Args:
        vocabulary: what the logits score.
        device: where they lie.
        configs: the settings of the rows that are there already; none of them asks for the rule.

    Attributes:
        name: the setting that turns it on.
        may_exhaust: whether it can make every token impossible.
    """

    name: ClassVar[str]
    may_exhaust: ClassVar[bool] = False

    def __init__(
        self, vocabulary: Vocabulary, device: torch.device, configs: Sequence[SamplingConfig]
    ) -> None:
        self.vocabulary = vocabulary
        self.device = device
        self.configs = list(configs)
        self._columns: dict[str, torch.Tensor] = {}

    @staticmethod
    @abstractmethod
    def asked_for(config: SamplingConfig) -> bool:
        """Whether these settings need the rule."""

    @abstractmethod
    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Change logits [rows, vocab_size]; what was given stays as it is."""

    def join(self, config: SamplingConfig, prompt: Sequence[int]) -> None:
        """Add a row behind the others."""
        self.configs.append(config)
        self._columns.clear()

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; one may be taken more than once."""
        self.configs = [self.configs[row] for row in rows]
        self._columns.clear()

    def accept(self, ids: torch.Tensor) -> None:  # noqa: B027 - most remember nothing
        """Take note of the token [rows] that each row goes on with."""

    def column(self, setting: str) -> torch.Tensor:
        """One setting of every row, [rows, 1]; made once for the same rows."""
        if setting not in self._columns:
            values = [getattr(config, setting) for config in self.configs]
            kind = torch.int64 if isinstance(values[0], int) else torch.float32
            self._columns[setting] = torch.tensor(values, dtype=kind, device=self.device)[:, None]
        return self._columns[setting]

    def _indices(self, rows: Sequence[int]) -> torch.Tensor:
        return torch.tensor(rows, dtype=torch.int64, device=self.device)

    def _zeros(self, rows: int, kind: torch.dtype) -> torch.Tensor:
        return torch.zeros(rows, self.vocabulary.size, dtype=kind, device=self.device)


class RepetitionPenalty(RowRule):
    """See ``with_repetition_penalty``; prompt and text count."""

    name = "repetition_penalty"

    def __init__(
        self, vocabulary: Vocabulary, device: torch.device, configs: Sequence[SamplingConfig]
    ) -> None:
        super().__init__(vocabulary, device, configs)
        self._seen = self._zeros(len(self.configs), torch.bool)

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return config.repetition_penalty != 1

    def join(self, config: SamplingConfig, prompt: Sequence[int]) -> None:
        super().join(config, prompt)
        new = self._zeros(1, torch.bool)
        new[:, self._indices(prompt)] = True
        self._seen = torch.cat((self._seen, new))

    def select(self, rows: Sequence[int]) -> None:
        super().select(rows)
        self._seen = self._seen[self._indices(rows)]

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return with_repetition_penalty(logits, self._seen, self.column("repetition_penalty"))

    def accept(self, ids: torch.Tensor) -> None:
        self._seen.scatter_(1, ids[:, None], True)


class CountPenalties(RowRule):
    """See ``with_count_penalties``; only the text counts, not the prompt."""

    name = "presence_penalty"

    def __init__(
        self, vocabulary: Vocabulary, device: torch.device, configs: Sequence[SamplingConfig]
    ) -> None:
        super().__init__(vocabulary, device, configs)
        self._counts = self._zeros(len(self.configs), torch.float32)

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return config.presence_penalty != 0 or config.frequency_penalty != 0

    def join(self, config: SamplingConfig, prompt: Sequence[int]) -> None:
        super().join(config, prompt)
        self._counts = torch.cat((self._counts, self._zeros(1, torch.float32)))

    def select(self, rows: Sequence[int]) -> None:
        super().select(rows)
        self._counts = self._counts[self._indices(rows)]

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        presence, frequency = self.column("presence_penalty"), self.column("frequency_penalty")
        return with_count_penalties(logits, self._counts, presence, frequency)

    def accept(self, ids: torch.Tensor) -> None:
        ones = torch.ones(len(ids), 1, device=self.device)
        self._counts.scatter_add_(1, ids[:, None], ones)


class Bias(RowRule):
    """See ``with_bias``."""

    name = "logit_bias"

    def __init__(
        self, vocabulary: Vocabulary, device: torch.device, configs: Sequence[SamplingConfig]
    ) -> None:
        super().__init__(vocabulary, device, configs)
        self._bias = self._zeros(len(self.configs), torch.float32)

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return bool(config.logit_bias)

    def join(self, config: SamplingConfig, prompt: Sequence[int]) -> None:
        super().join(config, prompt)
        new = self._zeros(1, torch.float32)
        for token, bias in config.logit_bias:
            new[0, token] = bias
        self._bias = torch.cat((self._bias, new))

    def select(self, rows: Sequence[int]) -> None:
        super().select(rows)
        self._bias = self._bias[self._indices(rows)]

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return with_bias(logits, self._bias)


class Unused(RowRule):
    """Ids that stand for nothing are never taken."""

    name = "unused"

    def __init__(
        self, vocabulary: Vocabulary, device: torch.device, configs: Sequence[SamplingConfig]
    ) -> None:
        super().__init__(vocabulary, device, configs)
        self._unused = self._zeros(1, torch.bool)
        self._unused[:, self._indices(vocabulary.unused)] = True

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return True

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.masked_fill(self._unused, IMPOSSIBLE)


class NoRepeatedNgram(RowRule):
    """See ``repeated_ngrams``; prompt and text count. The end token may always come."""

    name = "no_repeat_ngram"
    may_exhaust = True

    def __init__(
        self, vocabulary: Vocabulary, device: torch.device, configs: Sequence[SamplingConfig]
    ) -> None:
        super().__init__(vocabulary, device, configs)
        rows = len(self.configs)
        self._history = torch.zeros(rows, 1, dtype=torch.int64, device=device)
        self._lengths = torch.zeros(rows, 1, dtype=torch.int64, device=device)
        self._most = 0

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return config.no_repeat_ngram > 0

    def join(self, config: SamplingConfig, prompt: Sequence[int]) -> None:
        super().join(config, prompt)
        self._most = max(self._most, config.no_repeat_ngram)
        rows, room = self._history.shape
        # Rows that were there without asking for the rule write into their last place.
        wider = max(room, len(prompt) + config.max_tokens, 1)
        history = self._history.new_zeros(rows + 1, wider)
        history[:rows, :room] = self._history
        history[rows, : len(prompt)] = self._indices(prompt)
        self._history = history
        length = self._lengths.new_full((1, 1), len(prompt))
        self._lengths = torch.cat((self._lengths, length))

    def select(self, rows: Sequence[int]) -> None:
        super().select(rows)
        self._most = max((config.no_repeat_ngram for config in self.configs), default=0)
        self._history = self._history[self._indices(rows)]
        self._lengths = self._lengths[self._indices(rows)]

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        size = self.column("no_repeat_ngram")
        at = repeated_ngrams(self._history, self._lengths, size, self._most)
        # One column more takes what is marked by no place.
        columns = logits.shape[1]
        removed = torch.zeros(len(logits), columns + 1, dtype=torch.bool, device=self.device)
        removed.scatter_(1, torch.where(at, self._history, columns), True)
        if self.vocabulary.end_id is not None:
            removed[:, self.vocabulary.end_id] = False
        return logits.masked_fill(removed[:, :columns], IMPOSSIBLE)

    def accept(self, ids: torch.Tensor) -> None:
        self._history.scatter_(1, self._lengths.clamp(max=self._history.shape[1] - 1), ids[:, None])
        self._lengths += 1


class LeastLength(RowRule):
    """The end token is impossible until a row has its ``min_tokens``."""

    name = "min_tokens"
    may_exhaust = True

    def __init__(
        self, vocabulary: Vocabulary, device: torch.device, configs: Sequence[SamplingConfig]
    ) -> None:
        super().__init__(vocabulary, device, configs)
        self._written = torch.zeros(len(self.configs), 1, dtype=torch.int64, device=device)
        self._end = self._indices([] if vocabulary.end_id is None else [vocabulary.end_id])

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return config.min_tokens > 0 and config.stop_at_end

    def join(self, config: SamplingConfig, prompt: Sequence[int]) -> None:
        super().join(config, prompt)
        self._written = torch.cat((self._written, self._written.new_zeros(1, 1)))

    def select(self, rows: Sequence[int]) -> None:
        super().select(rows)
        self._written = self._written[self._indices(rows)]

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        too_early = (self._written < self.column("min_tokens")) & (self.column("stop_at_end") > 0)
        barred = torch.where(too_early, IMPOSSIBLE, 0.0).expand(-1, len(self._end))
        return logits.index_add(1, self._end, barred)

    def accept(self, ids: torch.Tensor) -> None:
        self._written += 1


class TopK(RowRule):
    """See ``keep_top_k``."""

    name = "top_k"

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return config.top_k > 0

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        most = max(config.top_k for config in self.configs)
        return keep_top_k(logits, self.column("top_k"), most)


class TopP(RowRule):
    """See ``keep_top_p``."""

    name = "top_p"

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return config.top_p < 1

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return keep_top_p(logits, self.column("top_p"))


class MinP(RowRule):
    """See ``keep_min_p``."""

    name = "min_p"

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return config.min_p > 0

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return keep_min_p(logits, self.column("min_p"))


class Typical(RowRule):
    """See ``keep_typical``."""

    name = "typical_p"

    @staticmethod
    def asked_for(config: SamplingConfig) -> bool:
        return config.typical_p < 1

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        return keep_typical(logits, self.column("typical_p"))
