"""From ids to bytes: look up where each token's bytes stand, and copy them.

Tokens are short, so 16 bytes are copied at once, whatever the length: the next token overwrites
what was too much. Only longer tokens need a loop, and the last ones are copied byte by byte.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import kernel
from hornbook.tokenizers.engine.machine import (
    Int,
    load_u8,
    load_u32,
    load_u64,
    store_u8,
    store_u64,
)


@kernel
def decoded_size(ids: Int, count: Int, ends: Int, vocab_size: Int) -> Int:
    """Return how many bytes ids stand for, or -1 if one of them is unknown or unused.

    Looking up eight at once, without a way out of the loop, takes half as long again: a processor
    that can gather does it no faster than one by one.

    Args:
        ids: address of uint32 [count].
        ends: address of uint32 [vocab_size + 1]: 0, then where each token's bytes end.
    """
    size = np.int64(0)
    for place in range(count):
        token_id = np.int64(load_u32(ids + 4 * place))
        if token_id >= vocab_size:
            return np.int64(-1)
        entry = ends + 4 * token_id
        length = np.int64(load_u32(entry + 4)) - np.int64(load_u32(entry))
        if length == 0:
            return np.int64(-1)
        size += length
    return size


@kernel
def decode(ids: Int, count: Int, ends: Int, content: Int, out: Int, stop: Int) -> None:
    """Write the bytes that ids stand for.

    Args:
        ids, ends: as for ``decoded_size``, which found nothing unknown.
        content: address of all tokens' bytes, with 16 more behind them.
        out: address of as many bytes as ``decoded_size`` says.
        stop: address behind the last of these.
    """
    for place in range(count):
        entry = ends + 4 * np.int64(load_u32(ids + 4 * place))
        start = np.int64(load_u32(entry))
        size = np.int64(load_u32(entry + 4)) - start
        begin = content + start
        if out + size + 16 <= stop:
            store_u64(out, load_u64(begin))
            store_u64(out + 8, load_u64(begin + 8))
            for further in range(16, size, 8):
                store_u64(out + further, load_u64(begin + further))
        else:
            for further in range(size):
                store_u8(out + further, load_u8(begin + further))
        out += size
