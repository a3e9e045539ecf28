"""Bytes in, text out, as soon as it is certain and not a moment earlier.

Two things can make the newest bytes uncertain: a UTF-8 character that is not complete yet,
and a beginning that may grow into a stop text. Both are held back until they are decided.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """Collects the bytes of one sample and gives out text piece by piece.

    Attributes:
        stopped: whether a stop text was met; everything after it is dropped.

    >>> stream = TextStream(stop=["END"])
    >>> stream.feed("né".encode()[:2]), stream.feed("né".encode()[2:]), stream.feed(b" EN")
    ('n', 'é', ' ')
    >>> stream.feed(b"D and more"), stream.stopped
    ('', True)
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def feed(self, new: bytes) -> str:
        """Take the bytes of the next token; return the text that has become certain."""
        return self._release(self._decoder.decode(new), final=False)

    def finish(self) -> str:
        """No more bytes will come: return what was held back (a cut character becomes U+FFFD)."""
        return self._release(self._decoder.decode(b"", final=True), final=True)

    def _release(self, new: str, *, final: bool) -> str:
        if self.stopped:
            return ""
        text = self._held + new
        found = [place for place in (text.find(stop) for stop in self._stop) if place >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = 0 if final else _longest_beginning(text, self._stop)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _longest_beginning(text: str, stops: Sequence[str]) -> int:
    """Length of the longest end of ``text`` that begins one of ``stops``.

    >>> _longest_beginning("an EN", ["END", "N"]), _longest_beginning("an", ["END"])
    (2, 0)
    """
    longest = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:length]):
                longest = length
                break
    return longest
