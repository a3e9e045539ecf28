"""Attention by products in bfloat16, against a softmax written out in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from hornbook.models.dot_product import dot_product_attention
from hornbook.models.short_attention import LONGEST_ROW, short_attention

ROUNDING = 2.0**-8


def heads(
    batch: int, count: int, kv_heads: int, time: int, size: int = 16, value_size: int = 16
) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(3)
    shapes = (batch, count, time, size), (batch, kv_heads, time, size)
    shapes = (*shapes, (batch, kv_heads, time, value_size))
    return [torch.randn(shape, generator=stream).requires_grad_() for shape in shapes]


def exactly(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, added: torch.Tensor
) -> torch.Tensor:
    """Attention in float64, head by head; ``added`` is broadcast to the scores."""
    sharing = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(sharing, dim=1) for t in (key, value))
    scores = query @ key.mT / math.sqrt(query.shape[-1]) + added
    return scores.softmax(-1) @ value


def assert_alike(parts: list[torch.Tensor], mask: torch.Tensor | None, added: torch.Tensor) -> None:
    found = short_attention(parts[0], parts[1], parts[2], mask)
    doubles = [part.detach().double().requires_grad_() for part in parts]
    right = exactly(doubles[0], doubles[1], doubles[2], added)
    weights = torch.randn(right.shape, generator=torch.Generator().manual_seed(4))
    pairs = [(found, right)]
    pairs += zip(
        torch.autograd.grad(found, parts, weights.to(found.dtype)),
        torch.autograd.grad(right, doubles, weights.double()),
        strict=True,
    )
    for ours, exact in pairs:
        error = (ours.detach().double() - exact.detach()).norm()
        assert float(error / exact.detach().norm()) < 4 * ROUNDING


def future(time: int) -> torch.Tensor:
    return torch.full((time, time), -torch.inf, dtype=torch.float64).triu(1)


@pytest.mark.parametrize(("count", "kv_heads"), [(4, 4), (4, 2), (4, 1), (1, 1)])
def test_rows_in_order(count: int, kv_heads: int) -> None:
    assert_alike(heads(3, count, kv_heads, 21), None, future(21))


def test_values_of_another_size_than_keys() -> None:
    assert_alike(heads(2, 4, 2, 9, value_size=24), None, future(9))


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_a_mask_of_each_row_and_a_bias_of_each_head(kv_heads: int) -> None:
    parts = heads(3, 4, kv_heads, 12)
    seen = torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(5)) < 0.5
    seen |= torch.eye(12, dtype=torch.bool)
    assert_alike(parts, seen, torch.zeros(seen.shape).double().masked_fill(~seen, -torch.inf))
    bias = torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(6))
    bias = bias.bfloat16().float() + future(12).float()
    assert_alike(parts, bias, bias.double())


def test_what_is_not_seen_changes_no_bit_and_gets_no_gradient() -> None:
    query, key, value = heads(1, 2, 2, 10)
    before = short_attention(query, key, value)
    with torch.no_grad():
        changed_key, changed_value = key.clone(), value.clone()
        changed_key[:, :, 6:] += 1000
        changed_value[:, :, 6:] -= 1000
    after = short_attention(query, changed_key, changed_value)
    assert torch.equal(before[:, :, :6], after[:, :, :6])
    for_key, for_value = torch.autograd.grad(before[:, :, :6].sum(), [key, value])
    assert not for_key[:, :, 6:].any()
    assert not for_value[:, :, 6:].any()


def test_a_row_that_sees_nothing_is_finite() -> None:
    parts = heads(1, 2, 2, 4)
    seen = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    found = short_attention(parts[0], parts[1], parts[2], seen)
    assert found.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(found.sum(), parts))


@pytest.mark.parametrize("time", [8, LONGEST_ROW + 8])
@pytest.mark.parametrize("kind", ["causal", "mask", "bias", "dropped", "lone"])
def test_every_way_in_bfloat16_is_near_the_plain_one(time: int, kind: str) -> None:
    query, key, value = heads(1, 2, 1, time)
    mask = torch.ones(time, time, dtype=torch.bool).tril()
    how: dict[str, Any] = {"causal": True}
    if kind == "mask":
        how = {"mask": mask}
    elif kind == "bias":
        how = {"mask": torch.zeros(time, time).masked_fill(~mask, -torch.inf)}
    elif kind == "lone":
        how, query = {}, query[:, :, -1:]
    plain = dot_product_attention(query, key, value, **how)
    if kind == "dropped":
        how["dropout"] = 1e-9
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = dot_product_attention(query, key, value, **how)
    short = kind in ("causal", "mask", "bias") and time <= LONGEST_ROW
    assert found.dtype == (torch.bfloat16 if short else torch.float32)
    torch.testing.assert_close(found.float(), plain, rtol=0, atol=0.03 if short else 1e-5)
    for one in torch.autograd.grad(found.float().sum(), [query, key, value]):
        assert one.isfinite().all()
