"""Models that are computed instead of trained: one pass over the tokens, then a formula."""

from __future__ import annotations

import numpy as np
import torch

from hornbook.data import TokenSequence
from hornbook.listener import Listener
from hornbook.models import BigramCounts

_CHUNK = 1 << 20


def fit_bigram_counts(model: BigramCounts, tokens: TokenSequence, listener: Listener) -> None:
    """Count every pair of neighbours in ``tokens`` once and set the model's weights."""
    size = model.vocab_size
    counts = np.zeros(size * size, dtype=np.int64)
    with listener.progress("counting pairs", total=len(tokens), unit="tokens") as progress:
        for start in range(0, len(tokens) - 1, _CHUNK):
            # One token more than a chunk, so that the pair across the border counts.
            ids = tokens.slice(start, min(start + _CHUNK + 1, len(tokens)))
            pairs, found = np.unique(ids[:-1] * size + ids[1:], return_counts=True)
            counts[pairs] += found
            progress.advance(len(ids) - 1)
    model.fit(torch.from_numpy(counts.reshape(size, size)))
