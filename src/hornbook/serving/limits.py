"""How much a server takes on. Whatever is more is refused, with the number that it was."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a server.

    Attributes:
        rows: texts that are written at the same time.
        waiting: texts that may wait for their turn; beyond, a request is told to come again.
        choices: texts of one request: its prompts times ``n``.
        tokens: tokens of a prompt and what is added to it, together.
        body: size of a request [bytes].
        alternatives: the largest ``logprobs``.
        patience: how long a request may take to arrive [seconds].
        farewell: how long texts that are being written may take once the server is told to end
            [seconds].
    """

    rows: int = 64
    waiting: int = 512
    choices: int = 128
    tokens: int = 8192
    body: int = 1 << 20
    alternatives: int = 20
    patience: float = 30.0
    farewell: float = 30.0
