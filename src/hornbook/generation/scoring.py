"""How surprised a model is by a text: the log-probability and the rank of every token.

The text's tokens stand behind an opening token, what stood before a document in training, so the
first token is predicted too, and every token exactly once. The end of the document is not asked
for. A text longer than the context is read through windows that overlap. With a context of 6 and
an overlap of 2 (``|`` is the opening, ``·`` a target that the window before has had):

    tokens      |  a  b  c  d  e  f  g  h  i  j  k
    window 0    |  a  b  c  d  e                     predicts a b c d e f
    window 1                d  e  f  g  h  i         predicts · · g h i j
    window 2                   e  f  g  h  i  j      predicts · · · · · k

Behind the first window every token is predicted from more than ``overlap`` tokens. The last
window is moved back to where it is full. A larger overlap gives every token more context and
takes more windows: with the largest, the context less one, every token is predicted from all that
the model can see.

Models without a bound to their context (recurrent ones, bigrams) read the text once from
beginning to end and hand their state on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.errors import GenerationError, ModelBroken
from hornbook.listener import SILENT, Listener
from hornbook.models import LanguageModel
from hornbook.optimization.model_loss import logit_rows
from hornbook.tokenizers import Tokenizer

TOKENS_AT_ONCE = 1 << 13
"""Tokens that the model reads in one call."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Score:
    """What a model says of each token of a text, before it has seen it.

    Attributes:
        text: the text.
        ids: [tokens] its token ids.
        log_probabilities: [tokens] natural logarithm of the probability of each token, given
            those before it.
        ranks: [tokens] place of each token among all of the vocabulary; 1 is the likeliest.
        pieces: the bytes that each token stands for.
        byte_lengths: [tokens] bytes of text that count for it (an unknown token counts its
            ``<?>``); 0 for special tokens, which stand for no text.
        alternatives: [tokens, n] ids of the likeliest tokens at each place, the likeliest first.
        alternative_log_probabilities: [tokens, n] theirs.
        unknown: how many of the tokens are ``<?>``, for text outside the vocabulary.
    """

    text: str
    ids: Integers
    log_probabilities: Floats
    ranks: Integers
    pieces: tuple[bytes, ...]
    byte_lengths: Integers
    alternatives: Integers
    alternative_log_probabilities: Floats
    unknown: int = 0

    @property
    def tokens(self) -> int:
        """How many tokens were predicted: all of the text."""
        return len(self.ids)

    @property
    def bytes(self) -> int:
        """Bytes of text that the predicted tokens stand for."""
        return int(self.byte_lengths.sum())

    @cached_property
    def nats(self) -> float:
        """The sum of -log p [nats]."""
        return -float(self.log_probabilities.sum(dtype=np.float64))

    @property
    def loss(self) -> float:
        """The mean of -log p [nats per token]; NaN for an empty text."""
        return self.nats / self.tokens if self.tokens else math.nan

    @property
    def perplexity(self) -> float:
        """e to the mean of -log p; NaN for an empty text.

        A model that is no wiser than a die with n faces has a perplexity of n.
        """
        return math.exp(min(self.loss, 700.0)) if self.tokens else math.nan

    @property
    def bits_per_byte(self) -> float | None:
        """-log2 p of the tokens that stand for text over their bytes; ``None`` without a byte.

        It compares models with different tokenizers, which nats per token and perplexity do not.
        Where tokens are unknown it is ``None`` too: a model that only says "something else comes"
        has not predicted the text, and would seem to be better the less of it it can read.
        """
        if self.unknown or not self.bytes:
            return None
        nats = -float(self.log_probabilities[self.byte_lengths > 0].sum(dtype=np.float64))
        return nats / math.log(2) / self.bytes


class TokenScores(NamedTuple):
    """Scores of predicted tokens; the arrays are those of ``Score``."""

    log_probabilities: Floats
    ranks: Integers
    alternatives: Integers
    alternative_log_probabilities: Floats


def score(
    model: LanguageModel,
    tokenizer: Tokenizer,
    text: str,
    *,
    opening: int | None = None,
    overlap: int | None = None,
    alternatives: int = 0,
    listener: Listener = SILENT,
) -> Score:
    """Score every token of ``text``.

    Args:
        model: any language model; it is put into evaluation mode.
        tokenizer: its tokenizer; special tokens in the text are plain text.
        text: what to score; it may be empty.
        opening: the id that stands before the first token, for what stood before a document in
            training; the tokenizer's start unless given.
        overlap: tokens that neighbouring windows share, where the text is longer than the
            context; half of the context unless given.
        alternatives: how many of the likeliest tokens to tell at each place.
        listener: is told how far it is.

    Raises:
        GenerationError: when ``overlap`` or ``alternatives`` does not fit the model.
        TokenizerError: when the text is no Unicode text.
    """
    first = tokenizer.start_id if opening is None else opening
    ids = np.asarray(tokenizer.encode(text), dtype=np.int64)
    found = score_ids(
        model,
        np.concatenate(([first], ids)),
        overlap=overlap,
        alternatives=alternatives,
        listener=listener,
    )
    pieces = tuple(map(tokenizer.token_bytes, ids.tolist()))
    lengths = tokenizer.byte_lengths()[ids] if len(ids) else np.zeros(0, np.int64)
    return Score(
        text,
        ids,
        found.log_probabilities,
        found.ranks,
        pieces,
        lengths,
        *found[2:],
        unknown=tokenizer.unknown_among(ids),
    )


def score_ids(
    model: LanguageModel,
    ids: Sequence[int] | Integers,
    *,
    overlap: int | None = None,
    alternatives: int = 0,
    listener: Listener = SILENT,
) -> TokenScores:
    """Score every id but the first, which is only seen; other arguments are those of ``score``.

    Returns:
        arrays of one entry less than there are ids.

    Raises:
        GenerationError: when ``overlap`` or ``alternatives`` does not fit the model.
        ModelBroken: when its logits are no numbers.
    """
    context, sequence = model.context_length, torch.as_tensor(np.asarray(ids, dtype=np.int64))
    if not 0 <= alternatives <= model.vocab_size:
        raise GenerationError(
            f"{alternatives} alternatives cannot be told: the vocabulary has {model.vocab_size} "
            "tokens."
        )
    if overlap is None:
        overlap = (context or 2) // 2
    if overlap < 0 or (context is not None and overlap >= context):
        raise GenerationError(
            f"An overlap of {overlap} tokens does not fit a context of {context}: use 0 to "
            f"{(context or 1) - 1}, where more is slower and gives every token more before it."
        )
    model.eval()
    parts = []
    total = len(sequence) - 1
    with (
        torch.inference_mode(),
        listener.progress("scoring", total=total, unit="tokens") as progress,
    ):
        read = _carried(model, sequence) if context is None else _windows(model, sequence, overlap)
        for features, targets in read:
            parts.append(_look_up(model, features, targets, alternatives))
            progress.advance(len(targets))
    found = _joined(parts, alternatives)
    if np.isnan(found.log_probabilities).any():
        raise ModelBroken
    return found


def window_starts(length: int, context_length: int, overlap: int) -> list[int]:
    """Where windows over ``length`` inputs begin: each ``overlap`` before the one before ends.

    The last one is moved back to where it is full.

    >>> window_starts(11, context_length=6, overlap=2), window_starts(4, 6, 2)
    ([0, 4, 5], [0])
    """
    last = max(length - context_length, 0)
    return [*range(0, last, context_length - overlap), last]


def _windows(
    model: LanguageModel, ids: torch.Tensor, overlap: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Features and targets of each token once: [n, width] and [n], in the order of the text."""
    assert model.context_length is not None, "a model without a bound reads on with its state"
    length = len(ids) - 1
    if length < 1:
        return
    width = min(model.context_length, length)
    starts = torch.tensor(window_starts(length, width, min(overlap, width - 1)))
    # The first window predicts all of its targets, another those behind the window before it.
    fresh = torch.cat((torch.tensor([width]), starts.diff()))
    rows = max(TOKENS_AT_ONCE // width, 1)
    for first in range(0, len(starts), rows):
        places = starts[first : first + rows, None] + torch.arange(width)
        features, _ = model.hidden(ids[places].to(model.device))
        wanted = torch.arange(width) >= width - fresh[first : first + rows, None]
        yield features[wanted.to(features.device)], ids[places + 1][wanted]


def _carried(
    model: LanguageModel, ids: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same of a model that reads all in one go, its state handed on."""
    state = model.init_state(1, model.device)
    for first in range(0, len(ids) - 1, TOKENS_AT_ONCE):
        part = ids[first : first + TOKENS_AT_ONCE + 1]
        features, state = model.hidden(part[None, :-1].to(model.device), state)
        yield features[0], part[1:]


def _look_up(
    model: LanguageModel, features: torch.Tensor, targets: torch.Tensor, alternatives: int
) -> TokenScores:
    """Make logits of features, as many as may stand in memory at once, and read them."""
    rows = logit_rows(model, features.device)
    parts = []
    for first in range(0, len(targets), rows):
        logits = model.head(features[first : first + rows]).float()
        wanted = targets[first : first + rows, None].to(logits.device)
        norm = logits.logsumexp(dim=-1, keepdim=True)
        true = logits.gather(-1, wanted)
        ranks = (logits > true).sum(dim=-1) + 1
        values, places = logits.topk(alternatives, dim=-1)
        found = (true - norm).squeeze(-1), ranks, places, values - norm
        parts.append(TokenScores(*(each.cpu().numpy() for each in found)))
    return _joined(parts, alternatives)


def _joined(parts: Sequence[TokenScores], alternatives: int) -> TokenScores:
    if not parts:
        return TokenScores(
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros((0, alternatives), np.int64),
            np.zeros((0, alternatives), np.float32),
        )
    return TokenScores(*(np.concatenate(each) for each in zip(*parts, strict=True)))
