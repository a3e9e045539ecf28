"""From ids to bytes: look up where each token's bytes stand, and copy them.

Tokens are short, so 16 bytes are copied at once, whatever the length: the next token overwrites
what was too much. Only longer tokens need a loop.
"""

from __future__ import annotations

import numpy as np

from hornbook.kernels import kernel
from hornbook.tokenizers.engine.machine import Int, load_i64, load_u32, load_u64, store_u64


@kernel
def decoded_size(ids: Int, count: Int, ends: Int, vocab_size: Int) -> Int:
    """Return how many bytes ids stand for; if an id is unknown or unused, its place from -1 down.

    Args:
        ids: address of uint32 [count].
        ends: address of int64 [vocab_size + 1]: 0, then where each token's bytes end.
    """
    size = np.int64(0)
    for place in range(count):
        token_id = np.int64(load_u32(ids + 4 * place))
        if token_id >= vocab_size:
            return -1 - place
        length = load_i64(ends + 8 * token_id + 8) - load_i64(ends + 8 * token_id)
        if length == 0:
            return -1 - place
        size += length
    return size


@kernel
def decode(ids: Int, count: Int, ends: Int, content: Int, out: Int) -> None:
    """Write the bytes that ids stand for, and up to 15 bytes more.

    Args:
        content: address of all tokens' bytes, with 16 more behind them.
        out: address of as many bytes as ``decoded_size`` says, with 16 more behind them.
    """
    for place in range(count):
        token_id = np.int64(load_u32(ids + 4 * place))
        start = load_i64(ends + 8 * token_id)
        size = load_i64(ends + 8 * token_id + 8) - start
        begin = content + start
        store_u64(out, load_u64(begin))
        store_u64(out + 8, load_u64(begin + 8))
        for further in range(16, size, 8):
            store_u64(out + further, load_u64(begin + further))
        out += size
