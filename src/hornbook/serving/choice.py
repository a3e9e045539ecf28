"""Pieces of text into the ``choices`` of an answer, with ``logprobs`` as OpenAI writes them.

    Piece(text="né", tokens=(n, \\xc3, \\xa9))   ─►   "text":        "né"
                                                   "tokens":      ["n", "bytes:\\\\xc3", …]
                                                   "text_offset": [0, 1, 1]

``text_offset`` counts characters from the beginning of the answer's text. A token that is no whole
characters is written as its bytes. The end token, and tokens that lie in a stop text, stand for
nothing of the text and are left out.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hornbook.generation import Piece
from hornbook.generation.decoder import Token
from hornbook.generation.scoring import TokenScores
from hornbook.serving.order import Prompt
from hornbook.tokenizers import Tokenizer

REASONS = {"length": "length"}
"""Why a text ends, as clients expect it; all other endings are a ``stop``."""
LEAST_LOG = -9999.0
"""Stands for the logarithm of nothing, which JSON cannot write."""


class Choice:
    """One text of an answer, as it grows.

    Args:
        index: its number in the answer.
        tokenizer: what its tokens are of.
        logprobs: how many alternatives to tell; ``None`` tells nothing of tokens.
    """

    def __init__(self, index: int, tokenizer: Tokenizer, logprobs: int | None) -> None:
        self._index, self._tokenizer, self._logprobs = index, tokenizer, logprobs
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._spelled = 0
        self._written = 0

    def echo(self, prompt: Prompt, scores: TokenScores | None) -> dict[str, Any]:
        """The prompt, as the first part of the text; its first token has no probability."""
        facts = None
        if scores is not None:
            rows = _Facts()
            silent = self._tokenizer.byte_lengths() == 0
            for place, token in enumerate(prompt.ids):
                found: tuple[float, Mapping[str, float]] | None = None
                if place:
                    found = self._of_scores(scores, place - 1, token)
                rows.add(self._name(token), self._spelled, found)
                # A start token stands before a text, and is no part of it.
                if not (silent[token] and not prompt.text.startswith(self._name(token))):
                    self._spell(token)
            facts = rows.as_object()
        self._written = self._spelled = len(prompt.text)
        self._decoder.reset()
        return self._part(prompt.text, facts, None)

    def take(self, piece: Piece) -> dict[str, Any]:
        """What a piece adds: the object that an event of a stream holds."""
        self._written += len(piece.text)
        facts = None
        if self._logprobs is not None:
            rows, tokens = _Facts(), piece.tokens
            if piece.ending == "end":
                tokens = tokens[:-1]
            for token in tokens:
                offset = self._spelled
                self._spell(token.id)
                if piece.ending != "stop" or offset < self._written:
                    rows.add(self._name(token.id), offset, self._of_token(token))
            facts = rows.as_object()
        reason = None if piece.ending is None else REASONS.get(piece.ending, "stop")
        return self._part(piece.text, facts, reason)

    def _part(self, text: str, facts: dict[str, Any] | None, reason: str | None) -> dict[str, Any]:
        return {"index": self._index, "text": text, "logprobs": facts, "finish_reason": reason}

    def _spell(self, token: int) -> None:
        self._spelled += len(self._decoder.decode(self._tokenizer.token_bytes(token)))

    def _name(self, token: int) -> str:
        return token_name(self._tokenizer.token_bytes(token))

    def _of_token(self, token: Token) -> tuple[float, dict[str, float]]:
        beside = ((other.id, other.log_probability) for other in token.alternatives)
        return self._told(token.id, token.log_probability, beside)

    def _of_scores(
        self, scores: TokenScores, place: int, token: int
    ) -> tuple[float, dict[str, float]]:
        beside = zip(
            scores.alternatives[place].tolist(),
            scores.alternative_log_probabilities[place].tolist(),
            strict=True,
        )
        return self._told(token, float(scores.log_probabilities[place]), beside)

    def _told(
        self, token: int, log: float, beside: Iterable[tuple[int, float]]
    ) -> tuple[float, dict[str, float]]:
        """A token's own logarithm, and those of the likeliest with it among them."""
        top = {self._name(other): max(value, LEAST_LOG) for other, value in beside}
        if top:
            top.setdefault(self._name(token), max(log, LEAST_LOG))
        return max(log, LEAST_LOG), top


class _Facts:
    """The four lists that ``logprobs`` is."""

    def __init__(self) -> None:
        self._lists: dict[str, list[Any]] = {
            "tokens": [],
            "token_logprobs": [],
            "top_logprobs": [],
            "text_offset": [],
        }

    def add(self, name: str, offset: int, found: tuple[float, Mapping[str, float]] | None) -> None:
        log, top = (None, None) if found is None else (found[0], dict(found[1]))
        for key, value in zip(self._lists, (name, log, top, offset), strict=True):
            self._lists[key].append(value)

    def as_object(self) -> dict[str, Any]:
        return dict(self._lists)


def token_name(content: bytes) -> str:
    """A token as text, or as its bytes where it is no whole characters.

    >>> token_name(b" a"), token_name(b"\\xc3")
    (' a', 'bytes:\\\\xc3')
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)


def put_together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The parts of one choice as a whole.

    >>> part = {"index": 0, "text": "a", "logprobs": {"tokens": ["a"]}, "finish_reason": None}
    >>> put_together([part, {**part, "finish_reason": "length"}])
    {'index': 0, 'text': 'aa', 'logprobs': {'tokens': ['a', 'a']}, 'finish_reason': 'length'}
    """
    facts: dict[str, list[Any]] | None = None
    for part in parts:
        if part["logprobs"] is not None:
            facts = facts or {}
            for key, values in part["logprobs"].items():
                facts.setdefault(key, []).extend(values)
    return {
        "index": parts[-1]["index"],
        "text": "".join(part["text"] for part in parts),
        "logprobs": facts,
        "finish_reason": parts[-1]["finish_reason"],
    }
