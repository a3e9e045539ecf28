"""Why a text ends, and what it says then: asked of all its tokens at once.

``Writer`` finds the same a token at a time; here a search asks for texts that it may yet give up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hornbook.generation.sampling_config import SamplingConfig
from hornbook.tokenizers import Tokenizer

Ending = Literal["end", "stop", "length", "complete", "stuck", "broken"]
"""Why a text ends: the end token came, a stop text came, it is as long as it may be, it is all that
``pattern`` or ``allowed`` asked for, the rules left no token that could come next, or the model has
gone wrong and none can be drawn; ``generate`` and ``stream`` raise where a text is broken."""


def text_of(tokenizer: Tokenizer, config: SamplingConfig, written: Sequence[int]) -> str:
    """The text of the tokens behind a prompt, without an end token, up to a stop text.

    >>> from hornbook.tokenizers import ByteTokenizer
    >>> text_of(ByteTokenizer(), SamplingConfig(stop=("d", "cd")), b"abcde")
    'ab'
    """
    text = tokenizer.decode(_without_end(tokenizer, config, written))
    found = [place for place in map(text.find, config.stop) if place >= 0]
    return text[: min(found)] if found else text


def ending_of(
    tokenizer: Tokenizer, config: SamplingConfig, written: Sequence[int]
) -> Ending | None:
    """Whether the newest of the tokens behind a prompt ends the text: ``end``, ``stop`` or not.

    >>> from hornbook.tokenizers import ByteTokenizer
    >>> config = SamplingConfig(stop=("cd",))
    >>> ending_of(ByteTokenizer(), config, b"abc"), ending_of(ByteTokenizer(), config, b"abcd")
    (None, 'stop')
    """
    shown = _without_end(tokenizer, config, written)
    if len(shown) < len(written):
        return "end"
    if config.stop and any(stop in tokenizer.decode(shown) for stop in config.stop):
        return "stop"
    return None


def _without_end(
    tokenizer: Tokenizer, config: SamplingConfig, written: Sequence[int]
) -> Sequence[int]:
    ended = config.stop_at_end and len(written) > 0 and written[-1] == tokenizer.end_id
    return written[:-1] if ended else written
