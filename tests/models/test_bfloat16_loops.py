"""Loops in bfloat16 on one thread, against the same formulas in float64 and the plain path."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hornbook.models import Transformer
from hornbook.models.bfloat16 import choice
from hornbook.models.bfloat16.choice import loops_can_be_made, loops_fit
from hornbook.models.transformer_config import TransformerConfig

ROUNDING = 2.0**-8

pytestmark = pytest.mark.skipif(
    not loops_can_be_made(), reason="this processor has no AVX-512 BF16"
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def assert_near(found: torch.Tensor, exact: torch.Tensor, within: float = 2 * ROUNDING) -> None:
    error = (found.detach().double() - exact.detach().double()).norm()
    assert float(error / exact.detach().norm()) < within


@pytest.mark.parametrize(
    ("batch", "heads", "kv_heads", "time", "size"),
    [(3, 4, 4, 64, 32), (2, 4, 2, 21, 32), (1, 3, 1, 127, 64), (2, 1, 1, 1, 32)],
)
def test_attention_is_that_of_float64(
    batch: int, heads: int, kv_heads: int, time: int, size: int
) -> None:
    from hornbook.models.bfloat16.attention import attention_by_heads

    stream = torch.Generator().manual_seed(3)
    sizes = [count * size for count in (heads, kv_heads, kv_heads)]
    joint = torch.randn(batch, time, sum(sizes), generator=stream).bfloat16()
    parts = [
        part.view(batch, time, -1, size).transpose(1, 2).detach().requires_grad_()
        for part in joint.split(sizes, dim=-1)
    ]
    doubles = [part.detach().double().requires_grad_() for part in parts]
    key, value = (part.repeat_interleave(heads // kv_heads, dim=1) for part in doubles[1:])
    scores = (doubles[0] @ key.mT / math.sqrt(size)).masked_fill(
        torch.ones(time, time, dtype=torch.bool).triu(1), -torch.inf
    )
    exact = scores.softmax(-1) @ value
    found = attention_by_heads(*parts)
    weights = torch.randn(exact.shape, generator=stream).bfloat16()
    assert found.dtype == torch.bfloat16
    assert_near(found, exact)
    ours = torch.autograd.grad(found, parts, weights)
    right = torch.autograd.grad(exact, doubles, weights.double())
    for part, its in zip(ours, right, strict=True):
        if time > 1:  # a lone token's weight is 1 whatever its score
            assert_near(part, its)
    if time == 1:
        assert not ours[0].any()
        assert not ours[1].any()


def test_attention_shows_nothing_of_the_future_and_passes_on_what_is_not_finite() -> None:
    from hornbook.models.bfloat16.attention import attention_by_heads

    stream = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, 2, 40, 32, generator=stream) for _ in range(3))
    before = attention_by_heads(query, key, value)
    key[:, :, 30:], value[:, :, 30:] = 50.0, -7.0
    assert torch.equal(before[:, :, :30], attention_by_heads(query, key, value)[:, :, :30])
    query[0, 0, 5, 3] = torch.nan
    assert attention_by_heads(query, key, value)[0, 0, 5].isnan().all()


@pytest.mark.parametrize(("shape", "inner"), [((3, 64, 128), 512), ((4, 19, 32), 96)])
def test_feed_forward_is_that_of_float64(shape: tuple[int, ...], inner: int) -> None:
    from hornbook.models.bfloat16.feedforward import feed_forward_of

    stream = torch.Generator().manual_seed(5)
    width = shape[-1]
    parts = [
        torch.randn(shape, generator=stream),
        torch.rand(width, generator=stream) + 0.5,
        torch.randn(inner, width, generator=stream) / width**0.5,
        torch.randn(width, inner, generator=stream) / inner**0.5,
    ]
    parts = [part.requires_grad_() for part in parts]
    doubles = [part.detach().double().requires_grad_() for part in parts]
    x, gain, up, down = doubles
    exact = x + F.gelu(F.layer_norm(x, (width,), gain) @ up.T) @ down.T
    found = feed_forward_of(parts[0], parts[1], 1e-5, parts[2], parts[3])
    weights = torch.randn(shape, generator=stream)
    assert_near(found, exact)
    ours = torch.autograd.grad(found, parts, weights, retain_graph=True)
    right = torch.autograd.grad(exact, doubles, weights.double())
    for part, its in zip(ours, right, strict=True):
        assert_near(part, its)
    again = torch.autograd.grad(found, parts, weights)
    assert all(torch.equal(one, two) for one, two in zip(ours, again, strict=True))


def test_gelu_near_and_far() -> None:
    from hornbook.models.bfloat16.feedforward import feed_forward_of

    # With one input to each unit, and each unit's output on its own, the loop is GELU itself.
    width = 32
    numbers = torch.linspace(-12, 12, 4 * width).view(4, width).bfloat16().float()
    for row in numbers:
        x = torch.zeros(4, width)
        x[:, 0] = 1.0
        normed = F.layer_norm(x, (width,))
        up = torch.zeros(width, width)
        up[:, 0] = row
        gain = torch.zeros(width)
        gain[0] = 1 / float(normed[0, 0])
        found = feed_forward_of(x, gain, 1e-5, up, torch.eye(width)) - x
        assert np.allclose(found[0], F.gelu(row), rtol=2 * ROUNDING, atol=1e-4)


def test_a_model_is_trained_as_by_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TransformerConfig(
        layers=2, heads=2, d_model=64, positions="learned", norm="layernorm", feedforward="gelu",
        tied_head=True, bias=False,
    )  # fmt: skip
    model = Transformer(config, vocab_size=65, context_length=32).train()
    model.initialise(torch.Generator().manual_seed(2))
    tokens = torch.randint(65, (4, 32), generator=torch.Generator().manual_seed(1))

    def gradients(by_loops: bool) -> dict[str, torch.Tensor]:
        if not by_loops:
            for room in ("block", "short_attention"):
                monkeypatch.setattr(f"hornbook.models.{room}.loops_suit", lambda: False)
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(tokens)[0]
            F.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten()).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    ours, again, plain = gradients(True), gradients(True), gradients(False)
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    assert any(not torch.equal(ours[name], plain[name]) for name in ours), "the loops were used"
    assert ours.keys() == plain.keys()
    for name in ours:
        assert_near(ours[name], plain[name], 8 * ROUNDING)


def test_the_loops_are_left_alone_where_they_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(1, 8, 64)
    assert loops_fit(x, torch.zeros(96, 64))
    assert not loops_fit(x, torch.zeros(40, 64))
    assert not loops_fit(x[:, :7], torch.zeros(96, 64))
    assert not loops_fit(x.bfloat16(), torch.zeros(96, 64))
    assert choice.loops_suit()
    torch.set_num_threads(2)
    assert not choice.loops_suit()
