"""The cache hands out what may be seen, whatever the sizes of the pieces, in little memory."""

from __future__ import annotations

import random

import pytest
import torch

from hornbook.models.kv_cache import KVCache, LatentCache, Shelf

CPU, CAPACITY = torch.device("cpu"), 40


@pytest.mark.parametrize("window", [0, 1, 2, 5, 19, 20, 39, 60])
@pytest.mark.parametrize("seed", range(6))
def test_pieces_see_what_a_slow_list_says(window: int, seed: int) -> None:
    draw = random.Random(seed)
    shelf = Shelf(2, 3, CAPACITY, 4, window=window, device=CPU, dtype=torch.float32)
    every = torch.randn(2, 3, CAPACITY, 4, generator=torch.Generator().manual_seed(seed))
    seen = 0
    while seen < CAPACITY:
        time = min(CAPACITY - seen, draw.choice([1, 1, 1, 2, 7, 25]))
        found = shelf.extend(every[:, :, seen : seen + time], seen)
        first = max(0, seen - window + 1) if window else 0
        assert torch.equal(found, every[:, :, first : seen + time])
        seen += time


def test_a_window_needs_room_for_two_of_it_only() -> None:
    sizes = {"batch_size": 2, "capacity": CAPACITY, "device": CPU, "dtype": torch.float32}
    full = KVCache(windows=[0] * 4, kv_heads=3, head_size=4, **sizes)  # type: ignore[arg-type]
    cut = KVCache(kv_heads=3, head_size=4, windows=[5, 0, 5, 0], **sizes)  # type: ignore[arg-type]
    assert full.nbytes == 2 * 4 * 2 * 3 * 4 * CAPACITY * 4
    assert cut.nbytes == full.nbytes // 2 + full.nbytes // 2 * 10 // CAPACITY
    latent = LatentCache(windows=[0] * 4, width=6, **sizes)  # type: ignore[arg-type]
    assert latent.nbytes == 4 * 2 * 6 * CAPACITY * 4


def test_more_than_the_capacity_is_refused() -> None:
    cache = LatentCache(
        windows=[0], batch_size=1, capacity=4, width=2, device=CPU, dtype=torch.float32
    )
    cache.extend(0, torch.zeros(1, 1, 3, 2))
    cache.advance(3)
    with pytest.raises(AssertionError, match="5 tokens do not fit into a cache of 4"):
        cache.extend(0, torch.zeros(1, 1, 2, 2))
