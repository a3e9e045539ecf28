"""Checks of the data: how much there is, whether it suffices, whether it is still the text.

    text "the cat"  ->  ids 5 9 2  ->  bytes "the cat"     compared with the text, byte by byte

What is decoded are the very tokens that will train, so a damaged store is found as well as a
tokenizer that loses something.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from hornbook.corpora import CorpusSplit, Document
from hornbook.data import TokenSequence, TokenStore
from hornbook.data.token_store import SIDES, Side
from hornbook.errors import TokenizerError
from hornbook.tokenizers import Tokenizer
from hornbook.training.preflight_check import Check

COMPUTE_OPTIMAL = 20
"""Tokens for each parameter at which a large model reaches the lowest loss for its compute, where
no token is seen twice (Hoffmann et al., 2022, "Training Compute-Optimal Large Language Models")."""
GOOD_REPEATS = 4
"""So often can text be read before it teaches clearly less than new text would (Muennighoff et
al., 2023, "Scaling Data-Constrained Language Models")."""

WHOLE_UP_TO = 1 << 26
"""Text that is decoded and compared; of more, a sample of documents is [bytes]."""
DOCUMENTS_UP_TO = 100_000
READ_UP_TO = 1 << 30
"""Of a larger corpus only the beginning is read again [bytes]."""
COUNTED_UP_TO = 1 << 24
"""Tokens that are counted in a moment."""
_AT_ONCE = 1 << 20


def counted_data(
    store: TokenStore,
    *,
    windows: int,
    validation_windows: int | None,
    examples: int,
    batch_size: int,
    vocab_size: int,
) -> Check:
    """How many tokens and examples each side has, and whether they can be what they say.

    Args:
        store: the tokens.
        windows: training examples in an epoch.
        validation_windows: how many a measurement uses; ``None`` if nothing is held back.
        examples: how many the run uses, over all steps.
        batch_size: the largest batch.
        vocab_size: ids must be below it.
    """
    counts = {side: len(store.side(side)) for side in SIDES}
    documents = {side: len(store.side(side).document_ends) for side in SIDES}
    rounds = examples / max(windows, 1)
    numbers = {
        "training_tokens": counts["training"],
        "validation_tokens": counts["validation"],
        "training_documents": documents["training"],
        "validation_documents": documents["validation"],
        "training_examples": windows,
        "validation_examples": validation_windows or 0,
        "epochs": rounds,
    }
    wrong = _wrong_tokens(store, vocab_size)
    if windows < 1:
        wrong = "there is no training example"
    if validation_windows == 0:
        wrong = "a measurement would use no window"
    if wrong:
        return Check("data", "fail", wrong, numbers, grave=True)
    held = f"{validation_windows:,} to validate" if validation_windows else "none to validate"
    reason = (
        f"{counts['training']:,} tokens to train on and {counts['validation']:,} held back, in "
        f"{documents['training']:,} and {documents['validation']:,} documents; {windows:,} "
        f"windows to train and {held}; each is used {rounds:.3g} times"
    )
    if batch_size > windows:
        reason += f"; a batch of {batch_size:,} holds some of them more than once"
    return Check("data", "pass", reason, numbers)


def _wrong_tokens(store: TokenStore, vocab_size: int) -> str:
    """What is wrong with the ids or with the ends of documents, or nothing."""
    for side in SIDES:
        sequence = store.side(side)
        ends = sequence.document_ends
        if len(ends) and int(ends[-1]) != len(sequence):
            return f"the last {side} document ends at {int(ends[-1]):,} of {len(sequence):,} tokens"
        largest = max((int(part.max(initial=0)) for part in _pieces(sequence)), default=0)
        if largest >= vocab_size:
            return f"a {side} token has the id {largest:,}, and the vocabulary {vocab_size:,} ids"
    return ""


def _pieces(sequence: TokenSequence, upto: int = COUNTED_UP_TO) -> Iterator[np.ndarray]:
    """The tokens of a side in pieces, ``upto`` so many: by default what takes no time."""
    left = upto
    for shard, _ in sequence.shards():
        for first in range(0, min(len(shard), left), _AT_ONCE):
            yield shard[first : min(first + _AT_ONCE, left)]
        left -= len(shard)
        if left <= 0:
            return


def tokens_for_each_parameter(seen: int, distinct: int, parameters: int) -> Check:
    """Whether the text suffices for the model, as far as that can be told beforehand.

    Args:
        seen: tokens that the run trains on, with repeats.
        distinct: how many of them differ in their place in the text.
        parameters: trained numbers.

    >>> tokens_for_each_parameter(2_000_000, 1_000_000, 100_000).verdict
    'pass'
    >>> tokens_for_each_parameter(2_000_000, 10_000, 100_000).verdict
    'skip'
    """
    each, repeats = seen / max(parameters, 1), seen / max(distinct, 1)
    numbers = {
        "parameters": parameters,
        "tokens_seen": seen,
        "tokens_for_each_parameter": each,
        "distinct_for_each_parameter": distinct / max(parameters, 1),
    }
    fact = f"{each:.3g} for each of {parameters:,} parameters"
    if repeats > 1.005:
        fact += f" ({numbers['distinct_for_each_parameter']:.3g} different ones)"
    reference = f"large models make the most of their compute near {COMPUTE_OPTIMAL}"
    if repeats > GOOD_REPEATS:
        meaning = (
            f"text read {repeats:.3g} times teaches less than new text: watch the validation loss"
        )
        return Check("tokens", "skip", f"{fact}; {meaning}", numbers)
    if each < COMPUTE_OPTIMAL:
        meaning = "fewer suit a short trial or a model that is already trained"
        return Check("tokens", "skip", f"{fact}; {reference}; {meaning}", numbers)
    return Check("tokens", "pass", f"{fact}; {reference}", numbers)


def bytes_are_kept(store: TokenStore, tokenizer: Tokenizer) -> Check:
    """Whether all tokens together stand for as many bytes as the text had; takes a moment.

    It is found without the text: ``round_trip`` needs it, and compares the bytes themselves.
    """
    name = "round trip"
    tokens = sum(len(store.side(side)) for side in SIDES)
    if tokens > COUNTED_UP_TO:
        return Check(name, "skip", f"{tokens:,} tokens are too many to count in a moment")
    unknown = unknown_tokens(store, tokenizer)
    if unknown is not None:
        return unknown
    lengths = tokenizer.byte_lengths()
    for side in SIDES:
        had = store.description["sides"][side].get("text_bytes")
        try:
            have = sum(int(lengths[part].sum()) for part in _pieces(store.side(side)))
        except IndexError:
            return Check(name, "fail", "tokens have ids outside the vocabulary", grave=True)
        if had is not None and have != had:
            reason = f"the {side} text has {had:,} bytes, and its tokens stand for {have:,}"
            return Check(name, "fail", reason, {"text_bytes": had, "token_bytes": have}, grave=True)
    return Check(name, "pass", f"{tokens:,} tokens stand for as many bytes as the text has")


def round_trip(split: CorpusSplit, store: TokenStore, tokenizer: Tokenizer) -> Check:
    """Decode the tokens and compare them with the text: whole, or every so many documents.

    Args:
        split: the text.
        store: the tokens that were made of it.
        tokenizer: which made them.

    Raises:
        CorpusError: when the text cannot be read any more.
    """
    unknown = unknown_tokens(store, tokenizer)
    if unknown is not None:
        return unknown
    facts = split.facts
    total = facts.training.bytes + facts.validation.bytes
    documents = facts.training.documents + facts.validation.documents
    every = max(
        math.ceil(min(total, READ_UP_TO) / WHOLE_UP_TO), math.ceil(documents / DOCUMENTS_UP_TO), 1
    )
    decoded = {side: _Decoded(store.side(side), tokenizer) for side in SIDES}
    compared, read, checked = 0, 0, 0
    try:
        for number, (side, document, content) in _numbered(split):
            read += len(content)
            if number % every == 0:
                place = decoded[side].differs_at(content, complete=document.complete)
                if place is not None:
                    return _lost(document, compared + place)
                compared += len(content)
                checked += document.complete
            elif document.complete:
                decoded[side].pass_over()
            if read >= READ_UP_TO and document.complete:
                break
    except TokenizerError as error:
        return Check("round trip", "fail", f"the tokens cannot be decoded: {error}", grave=True)
    if read == total and any(not each.at_end for each in decoded.values()):
        return Check("round trip", "fail", "there are tokens of more documents than the text has",
                     grave=True)  # fmt: skip
    numbers = {"bytes": compared, "documents": checked, "corpus_bytes": total}
    size = f"{compared:,} bytes of {checked:,} documents come back"
    if every > 1:
        first = "" if read == total else f" of the first {read:,} bytes"
        size += f" (every {every:,}th document{first}; the corpus has {total:,} bytes)"
    elif read < total:
        size += f" (the first of {total:,} bytes)"
    else:
        size = f"all {size}"
    return Check("round trip", "pass", f"{size} as they were", numbers)


def _numbered(split: CorpusSplit) -> Iterator[tuple[int, tuple[Side, Document, bytes]]]:
    """Documents with their number on both sides together; parts of one share it."""
    number = 0
    for side, document in split.assigned():
        yield number, (side, document, document.text.encode("utf-8"))
        number += document.complete


def _lost(document: Document, place: int) -> Check:
    reason = f"{document.id} does not come back: its tokens stand for other bytes than its text"
    return Check("round trip", "fail", reason, {"document": document.id, "byte": place}, grave=True)


def unknown_tokens(store: TokenStore, tokenizer: Tokenizer) -> Check | None:
    """No verdict where text became ``<?>``, as was asked for; ``None`` if none did."""
    if tokenizer.unknown_id is None:
        return None
    tokens = unknowns = 0
    for side in SIDES:
        for part in _pieces(store.side(side), len(store.side(side))):
            tokens += len(part)
            unknowns += tokenizer.unknown_among(part)
    if not unknowns:
        return None
    reason = (
        f"{unknowns:,} of {tokens:,} tokens are <?> for text outside the vocabulary, as "
        "tokenizer.unknown=token asks, so that text does not come back"
    )
    return Check("round trip", "skip", reason, {"unknown_tokens": unknowns, "tokens": tokens})


class _Decoded:
    """The documents of one side as bytes, decoded in the order and in the pieces asked for."""

    def __init__(self, sequence: TokenSequence, tokenizer: Tokenizer) -> None:
        self._sequence, self._tokenizer = sequence, tokenizer
        self._document, self._next, self._held = 0, 0, b""

    @property
    def at_end(self) -> bool:
        """Whether all documents have been passed."""
        return self._document == len(self._sequence.document_ends)

    def differs_at(self, content: bytes, *, complete: bool) -> int | None:
        """Compare the next bytes of the document: the first that differs, or ``None``.

        Args:
            content: what should come next.
            complete: whether the document must then be at its end.
        """
        if self.at_end:
            return 0
        stop = int(self._sequence.document_ends[self._document]) - 1  # before the end token
        pieces, have = [self._held], len(self._held)
        while have < len(content) and self._next < stop:
            upto = min(stop, self._next + len(content) - have)  # no token is shorter than a byte
            pieces.append(self._tokenizer.decode_bytes(self._sequence.slice(self._next, upto)))
            have += len(pieces[-1])
            self._next = upto
        found = b"".join(pieces)
        self._held = found[len(content) :]
        if not found.startswith(content):
            common = zip(found, content, strict=False)
            return next((at for at, (a, b) in enumerate(common) if a != b), len(found))
        if complete:
            if self._held or self._next < stop:
                return len(content)
            self.pass_over()
        return None

    def pass_over(self) -> None:
        """Go on to the next document."""
        self._next = int(self._sequence.document_ends[self._document])
        self._document, self._held = self._document + 1, b""
