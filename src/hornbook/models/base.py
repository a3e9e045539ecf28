"""What a language model is here: a function from tokens and a state to logits and a state.

The state is whatever a model must remember of the tokens it has seen: the KV cache of a
transformer, the hidden vector of a recurrent network, nothing at all for a bigram. Whoever
trains passes none; whoever samples starts with ``init_state`` and hands each new state to
the next call. So one sampling loop serves every model.

    state = model.init_state(batch_size=1)
    logits, state = model(prompt, state)           # [1, time] -> [1, time, vocab_size]
    logits, state = model(next_token, state)       # [1, 1]    -> [1, 1, vocab_size]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import nn

State = Any
"""What a model remembers between calls; only the model itself looks inside."""

CarriedState = tuple[torch.Tensor, ...]
"""A state of one size whatever it has seen, such as that of a recurrent network; each tensor is
[layers, batch, width]. Training may cut it off, save it and set rows of it back to zero."""


class LanguageModel(nn.Module, ABC):
    """The contract of every model. A model has no loss, no optimizer and no tokenizer.

    Attributes:
        vocab_size: how many ids the logits score.
        context_length: the most tokens a state can hold; ``None`` when there is no limit.
        closed_form: whether the weights are computed from counts instead of by gradients.
        carries_state: whether the state is a ``CarriedState``, so that training may hand it from
            one window to the next.
        can_forget: whether the oldest tokens can be taken out of a state that is full: what counts
            is then how far apart tokens are, and not where they stand.
        own_step: what takes steps of one token in place of ``decode_step``'s (``compiled_step``).
    """

    closed_form = False
    carries_state = False
    can_forget = False
    own_step: Any = None

    def __init__(self, vocab_size: int, context_length: int | None) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.context_length = context_length

    @abstractmethod
    def hidden(
        self,
        tokens: torch.Tensor,
        state: State = None,
        *,
        positions: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """Everything up to the head.

        Args:
            tokens: [batch, time] ``int64`` ids.
            state: what ``init_state`` or the call before returned; ``None`` starts afresh
                and keeps nothing.
            positions: [batch, time] ``int64`` place of each token; ``None`` counts on from
                the state.
            segments: [batch, time] ``int64`` number of the document that each token belongs
                to; tokens of different documents do not see each other. A document stands in one
                stretch of its row. Padding is ``PADDING_SEGMENT``, and no token sees it; what
                stands there in the result means nothing. ``None`` is one document a row. Not
                together with a state, unless ``carries_state``: then the first segment of each
                row goes on from it.

        Returns:
            the features [batch, time, width] and the state after these tokens.
        """

    @abstractmethod
    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [..., vocab_size] from features [..., width]."""

    @abstractmethod
    def init_state(self, batch_size: int, device: torch.device | None = None) -> State:
        """The state before the first token, for ``batch_size`` rows (on the model's device)."""

    def select_state(self, state: State, rows: torch.Tensor) -> State:
        """The state of some of its rows, in a new order, in memory of its own.

        So two samples share the reading of one prompt, and beams follow those that they go on
        from: a row may be taken more than once, and one that is not taken is gone.

        Args:
            state: what ``init_state`` or a call returned; it stays as it was.
            rows: [new batch] ``int64`` numbers of its rows.
        """
        carried: CarriedState = state
        return tuple(part.index_select(1, rows) for part in carried)

    def join_states(self, state: State, other: State) -> State:
        """One state with the rows of both, those of ``other`` last; neither may be used again.

        So a new text joins others that are half written: rows may have seen different numbers of
        tokens, and each goes on as it would have alone.
        """
        mine: CarriedState = state
        theirs: CarriedState = other
        return tuple(torch.cat(parts, dim=1) for parts in zip(mine, theirs, strict=True))

    def drop_row(self, state: State, row: int) -> State:
        """The state without one of its rows; the last one takes its place.

        ``state`` itself may not be used again.
        """
        carried: CarriedState = state
        if not carried:
            return carried
        rows = list(range(carried[0].shape[1] - 1))
        if row < len(rows):
            rows[row] = len(rows)
        return tuple(part[:, rows] for part in carried)

    def forget(self, state: State, row: int, tokens: int) -> None:
        """Make room for more: let one row of ``state`` see its oldest ``tokens`` no more.

        The others keep their vectors, which were made while the forgotten ones could be seen,
        and their distances to each other.

        Raises:
            TypeError: the model is none of those that ``can_forget``.
        """
        raise TypeError(f"{type(self).__name__} cannot forget a part of its state")

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None:
        """Draw the initial weights from ``generator``; the same draws give the same model."""

    def forward(
        self,
        tokens: torch.Tensor,
        state: State = None,
        *,
        positions: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """Score every next token: [batch, time] ids to [batch, time, vocab_size] logits.

        The arguments are those of ``hidden``; the second result is the state after them.
        """
        features, state = self.hidden(tokens, state, positions=positions, segments=segments)
        return self.head(features), state

    def parameter_count(self) -> int:
        """How many trained numbers the model has; shared ones (a tied head) count once."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def token_axes(self) -> Mapping[str, tuple[int, ...]]:
        """The tensors whose entries belong to token ids, by name, and the axes that ids number.

        A model with another vocabulary can then take over the tokens that both know. No axes: the
        entries belong to ids in some other way, such as a hash of them.
        """
        return {"token_embedding.weight": (0,), "output_head.weight": (0,)}

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        for tensor in chain(self.parameters(), self.buffers()):
            return tensor.device
        return torch.device("cpu")
