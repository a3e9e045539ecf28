"""How varied texts are, how much they repeat themselves, and how surprising the model finds them.

    a b a b a b c d        distinct words    4 of 8
                           distinct pairs    ab ba bc cd: 4 of 7
                           repeated runs     abab baba abab babc abcd: 1 of 5 stood there before

Distinct words and pairs are those of Li et al. (2016, "A Diversity-Promoting Objective Function for
Neural Conversation Models"), over all texts together; repetition is that of Welleck et al. (2020,
"Neural Text Generation with Unlikelihood Training"), within each text. All three depend on how long
texts are, so they compare only texts of equal numbers of tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hornbook.data import TokenSequence
from hornbook.data.full_context import LinesAlone
from hornbook.models import LanguageModel
from hornbook.tokenizers import Tokenizer
from hornbook.training import evaluate

RUN_LENGTH = 4
"""Words in a run whose repetition is counted."""


def words_of(text: str) -> list[str]:
    """Words and marks, in lower case.

    >>> words_of("No, no. Don't!")
    ['no', ',', 'no', '.', 'don', "'", 't', '!']
    """
    return re.findall(r"\w+|[^\w\s]", text.lower())


def distinct(texts: Sequence[Sequence[str]], length: int) -> float:
    """Different runs of ``length`` words over all runs, in all texts together; 0 without any.

    >>> distinct(["a b a b a b c d".split()], 1), round(distinct(["a b a b a b c d".split()], 2), 3)
    (0.5, 0.571)
    """
    runs = [run for text in texts for run in _runs(text, length)]
    return len(set(runs)) / len(runs) if runs else 0.0


def repetition(texts: Sequence[Sequence[str]]) -> float:
    """Runs of four words that stood in the same text before, over all runs; 0 without any.

    >>> round(repetition(["a b a b a b c d".split()]), 3)
    0.2
    """
    runs = [_runs(text, RUN_LENGTH) for text in texts]
    count = sum(map(len, runs))
    return 1 - sum(len(set(each)) for each in runs) / count if count else 0.0


def perplexity(
    model: LanguageModel,
    tokenizer: Tokenizer,
    texts: Sequence[NDArray[np.int64]],
    *,
    context_length: int,
    opening: int,
) -> float:
    """The exponential of the model's mean surprise, each text read by itself.

    Args:
        model: in evaluation mode.
        tokenizer: its tokenizer.
        texts: the ids of each; texts without any are left out.
        context_length: how far back the model looks.
        opening: the id that stands before a text.
    """
    texts = [text for text in texts if len(text)]
    if not texts:
        return math.nan
    ends = np.cumsum([len(text) for text in texts]).astype(np.uint64)
    sequence = TokenSequence([np.concatenate(texts).astype(np.uint32)], ends)
    lines = LinesAlone(sequence, context_length, before=opening, pad=tokenizer.pad_id)
    found = evaluate(model, lines, torch.tensor(tokenizer.byte_lengths()))
    return math.exp(found.loss)


def _runs(text: Sequence[str], length: int) -> list[tuple[str, ...]]:
    return [tuple(text[first : first + length]) for first in range(len(text) - length + 1)]
