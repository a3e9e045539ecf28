"""From a split corpus to a token store, made once and reused while nothing changed.

The stream of a side is: every document's tokens, then the end token, then the next
document. A store is recognised by a fingerprint over corpus, split and tokenizer, so one
that was made from anything else is never taken by mistake.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hornbook.cache import cache_folder
from hornbook.corpora import CorpusSplit
from hornbook.data.file_encoding import MUCH_TEXT
from hornbook.data.overlap import read_ahead
from hornbook.data.token_store import STORE_VERSION, Side, TokenStore, TokenStoreWriter
from hornbook.durable import ABANDONED_AFTER, durable_folder, remove_unfinished
from hornbook.errors import DataError
from hornbook.listener import SILENT, Listener
from hornbook.tokenizers import Tokenizer
from hornbook.tokenizers.streams import usable_cores

BATCH = 1 << 21
"""How much text is gathered for each core before it is encoded [bytes]."""

WORTH_A_THREAD = 1 << 12
"""Shorter documents are encoded sooner than handed to another thread [bytes, on average]."""

_Content = tuple[Side, bytes, bool]
"""The side of a document, its text or a part of it in UTF-8, and whether it ends there."""


def store_fingerprint(corpus: str, split: str, tokenizer: str) -> str:
    """The fingerprint of a store made from these fingerprints (SHA-256, hexadecimal)."""
    text = "\n".join([f"token store {STORE_VERSION}", corpus, split, tokenizer])
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def cached_token_store(
    split: CorpusSplit, tokenizer: Tokenizer, *, listener: Listener = SILENT
) -> TokenStore:
    """Open the store of this corpus, split and tokenizer, building it if it is not there.

    Raises:
        DataError: when it cannot be written.
        CorpusError: when the text cannot be read, or changed since it was split.
    """
    facts = split.facts
    fingerprint = store_fingerprint(
        facts.corpus_fingerprint, facts.split_fingerprint, tokenizer.fingerprint
    )
    folder = cached_store_folder(fingerprint)
    try:
        store = TokenStore.open(folder)
        if store.fingerprint == fingerprint:
            store.verify()  # no dearer than reading the corpus was
            listener.notice(f"tokens: reused from {folder}")
            return store
    except DataError as error:
        if folder.exists():
            listener.notice(f"tokens: built anew, because {error}")
    return build_token_store(split, tokenizer, folder, listener=listener)


def cached_store_folder(fingerprint: str) -> Path:
    """Where the store with this fingerprint lies in the cache, if it is there."""
    return cache_folder() / "tokens" / fingerprint[:32]


def build_token_store(
    split: CorpusSplit, tokenizer: Tokenizer, folder: Path, *, listener: Listener = SILENT
) -> TokenStore:
    """Encode both sides of ``split`` into a new store at ``folder``, whole or not at all.

    Raises:
        DataError: when the folder cannot be written or the disk is full.
        CorpusError: when the text cannot be read.
    """
    facts = split.facts
    sources = {
        "corpus": facts.corpus_fingerprint,
        "split": facts.split_fingerprint,
        "tokenizer": tokenizer.fingerprint,
    }
    remove_unfinished(folder.parent, idle_seconds=ABANDONED_AFTER)
    total = facts.training.bytes + facts.validation.bytes
    if total >= MUCH_TEXT:
        tokenizer.prepare(listener)
    cores = usable_cores()
    end = np.array([tokenizer.end_id], dtype=np.uint32)
    try:
        with (
            durable_folder(folder) as aside,
            TokenStoreWriter(aside, tokenizer.vocab_size) as writer,
            listener.progress("encoding", total=total, unit="B") as progress,
        ):
            for batch in read_ahead(_batches(split, BATCH * cores), waiting=1):
                contents = [content for _, content, _ in batch]
                short = sum(map(len, contents)) < WORTH_A_THREAD * len(contents)
                encoded = tokenizer.encode_batch_arrays(contents, threads=1 if short else cores)
                for (side, content, complete), ids in zip(batch, encoded, strict=True):
                    writer.add(side, ids, len(content))
                    if complete:
                        writer.add(side, end)
                        writer.end_document(side)
                    progress.advance(len(content))
            writer.close(fingerprint=store_fingerprint(*sources.values()), sources=sources)
    except OSError as error:
        needed = f"about {total // 2 >> 20:,} MiB" if total > 1 << 21 else "a few MiB"
        raise DataError(
            f"The tokens could not be written to {folder.parent}: {error.strerror or error}. "
            f"{needed} are needed; set HORNBOOK_CACHE to a folder with room."
        ) from error
    return TokenStore.open(folder)


def _batches(split: CorpusSplit, size: int) -> Iterator[list[_Content]]:
    """Gather the documents of a split, in their order, to at least ``size`` bytes of text."""
    batch: list[_Content] = []
    gathered = 0
    for side, document in split.assigned():
        content = document.text.encode("utf-8")
        batch.append((side, content, document.complete))
        gathered += len(content)
        if gathered >= size:
            yield batch
            batch, gathered = [], 0
    if batch:
        yield batch
