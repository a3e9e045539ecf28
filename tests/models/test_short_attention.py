"""Attention by products in bfloat16, against a softmax written out in float64."""

from __future__ import annotations

import math

import pytest
import torch

from hornbook.models.dot_product import dot_product_attention
from hornbook.models.short_attention import LONGEST_ROW, short_attention, takes_products

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


def assert_alike(
    parts: list[torch.Tensor], mask: torch.Tensor | None, added: torch.Tensor
) -> None:
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
        assert float((ours.double() - exact).norm() / exact.norm()) < 4 * ROUNDING


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
    assert not for_key[:, :, 6:].any() and not for_value[:, :, 6:].any()


def test_a_row_that_sees_nothing_is_finite() -> None:
    parts = heads(1, 2, 2, 4)
    seen = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    found = short_attention(parts[0], parts[1], parts[2], seen)
    assert found.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(found.sum(), parts))


def test_it_is_taken_in_bfloat16_for_rows_that_are_not_long() -> None:
    query, key, value = heads(1, 2, 1, 8)
    assert not takes_products(query, key)
    plain = dot_product_attention(query, key, value, causal=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert takes_products(query, key)
        long = query.expand(1, 2, 8, 16).repeat(1, 1, LONGEST_ROW // 8 + 1, 1)
        assert not takes_products(long, key)
        ours = dot_product_attention(query, key, value, causal=True)
        lone = dot_product_attention(query[:, :, -1:], key, value)
        dropped = dot_product_attention(query, key, value, causal=True, dropout=0.5)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), plain, rtol=0, atol=0.03)
    torch.testing.assert_close(lone.float(), plain[:, :, -1:], rtol=0, atol=0.03)
    assert dropped.shape == plain.shape
