"""The part of a report about the text: how much there is of it, and how it is cut into tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornbook.data import TokenStore
from hornbook.errors import HornbookError
from hornbook.inspection.page import Markup, element, facts, joined
from hornbook.runs.assembly import open_store
from hornbook.runs.run import Run
from hornbook.tokenizers import Tokenizer

MOST_COUNTED = 50_000_000
"""Tokens of the training side that are looked at: a report must not take minutes."""
_LISTED = 12


@dataclass(frozen=True)
class Usage:
    """How the training text uses the vocabulary.

    Attributes:
        counts: [vocab_size] ``int64``.
        whole: whether all of the text was counted, and not only its beginning.
    """

    counts: NDArray[np.int64]
    whole: bool


def text_sections(run: Run) -> Iterator[Markup]:
    """Data and tokenizer of a run, as far as they are at hand."""
    try:
        tokenizer = run.tokenizer
    except HornbookError:
        return
    store = _store(run)
    yield element("h2", "Text and tokens")
    if store is None:
        yield element("p", "The tokens of its text are not at hand, so less is told.", kind="muted")
        yield facts(_tokenizer_facts(tokenizer))
        return
    usage = _usage(store, tokenizer.vocab_size)
    yield facts(
        [
            *_side_facts(run, store),
            *_tokenizer_facts(tokenizer),
            *_usage_facts(usage, tokenizer),
        ]
    )


def _store(run: Run) -> TokenStore | None:
    if run.manifest.fingerprints is None:
        return None
    try:
        return open_store(run.folder, run.manifest)
    except HornbookError:
        return None


def _usage(store: TokenStore, vocab_size: int) -> Usage:
    counts, left = np.zeros(vocab_size, dtype=np.int64), MOST_COUNTED
    for shard, _ in store.training.shards():
        counts += np.bincount(shard[:left], minlength=vocab_size)
        left -= min(left, len(shard))
    return Usage(counts, whole=len(store.training) <= MOST_COUNTED)


def _side_facts(run: Run, store: TokenStore) -> Iterator[tuple[str, str]]:
    for side in ("training", "validation"):
        sequence = store.side(side)
        counts = (run.manifest.split or {}).get(side)
        text_bytes = counts.get("bytes") if isinstance(counts, dict) else None
        documents = len(sequence.document_ends)
        told = f"{len(sequence):,} in {documents:,} document{'s' if documents != 1 else ''}"
        if isinstance(text_bytes, int) and len(sequence):
            told += f", {text_bytes / len(sequence):.2f} bytes a token"
        yield f"{side} tokens", told


def _tokenizer_facts(tokenizer: Tokenizer) -> Iterator[tuple[str, object]]:
    size = tokenizer.vocab_size
    yield "vocabulary", f"{size:,} tokens, {tokenizer.kind}"
    names = ", ".join(f"{name} ({number})" for name, number in tokenizer.special_tokens.items())
    yield "special tokens", names or "none"
    lengths = [len(tokenizer.token_bytes(token)) for token in range(size)]
    special = set(tokenizer.special_tokens.values())
    plain = [token for token in range(size) if token not in special]
    longest = sorted(plain, key=lambda token: -lengths[token])[:_LISTED]
    yield "longest tokens", _listed(shown(tokenizer, token) for token in longest)


def _usage_facts(usage: Usage, tokenizer: Tokenizer) -> Iterator[tuple[str, object]]:
    counts = usage.counts
    used, where = int((counts > 0).sum()), "" if usage.whole else f" in the first {MOST_COUNTED:,}"
    seldom = int(((counts > 0) & (counts < 10)).sum())
    told = f"{used:,} of {len(counts):,} ({100 * used / max(len(counts), 1):.1f} %){where}"
    yield "tokens that occur", f"{told}; {seldom:,} of them less than 10 times"
    order = np.argsort(-counts, kind="stable")[:_LISTED]
    everything = max(int(counts.sum()), 1)
    yield (
        "most frequent",
        _listed(
            f"{shown(tokenizer, int(token))} {100 * counts[token] / everything:.1f} %"
            for token in order
            if counts[token]
        ),
    )


def shown(tokenizer: Tokenizer, token: int) -> str:
    """A token as Python writes a text, or as it writes bytes that are none."""
    content = tokenizer.token_bytes(token)
    try:
        return repr(content.decode("utf-8"))
    except UnicodeDecodeError:
        return repr(content)


def _listed(names: Iterator[str]) -> Markup:
    return joined((element("code", name) for name in names), " · ")
