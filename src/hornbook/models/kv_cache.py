"""The transformer's state: the keys and values of the tokens it has seen.

Memory is reserved once for the whole context, one pair of tensors a layer; each call writes
its new tokens behind the old ones and reads everything up to there. Nothing is copied.
"""

from __future__ import annotations

import torch


class KVCache:
    """Keys and values of every layer, for ``batch_size`` rows of up to ``capacity`` tokens.

    Attributes:
        length: tokens held so far, the same in every row.
        capacity: the most it can hold.
    """

    def __init__(
        self,
        *,
        layers: int,
        batch_size: int,
        kv_heads: int,
        capacity: int,
        head_size: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        shape = (batch_size, kv_heads, capacity, head_size)
        self.capacity = capacity
        self.length = 0
        self._keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(layers)]
        self._values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(layers)]

    def extend(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write a layer's new keys and values, and return all of that layer's so far.

        Args:
            layer: which layer.
            keys: [batch, kv_heads, time, head_size] of the new tokens.
            values: the same shape.

        Returns:
            views [batch, kv_heads, length + time, head_size] of keys and values.
        """
        stop = self.length + keys.shape[2]
        assert stop <= self.capacity, f"{stop} tokens do not fit into a cache of {self.capacity}"
        self._keys[layer][:, :, self.length : stop] = keys
        self._values[layer][:, :, self.length : stop] = values
        return self._keys[layer][:, :, :stop], self._values[layer][:, :, :stop]

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` as held, once every layer has written them."""
        self.length += tokens
