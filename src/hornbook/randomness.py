"""Named random streams: every random choice is a pure function of (seed, name, place).

Nothing is remembered between draws, so nothing has to be saved to resume exactly. The
streams that exist: ``init`` (weights), ``data`` (order of examples), ``split``,
``dropout`` (by step and micro-batch), ``evaluation`` (which windows are a fixed sample),
``sampling`` (by sample), ``positions`` (where random position numbers begin), ``packing``
(which documents share a row).
"""

from __future__ import annotations

import hashlib


def stream_seed(seed: int, name: str, *place: int) -> int:
    """Derive a 63-bit seed for one place in a named stream.

    Different names or places give unrelated seeds; the same ones give the same seed on
    every machine and in every version.

    >>> stream_seed(1, "dropout", 7) == stream_seed(1, "dropout", 7)
    True
    >>> stream_seed(1, "dropout", 7) == stream_seed(1, "dropout", 8)
    False
    """
    text = "/".join([str(seed), name, *map(str, place)])
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
