"""Products in bfloat16 on a CPU: what they compute, against PyTorch's autocast and float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hornbook.models import Linear
from hornbook.models.products import product, short_on_cpu

ROUNDING = 2.0**-8
"""bfloat16 keeps eight bits of a number, the first of which is not written."""


def short() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def tensors(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=stream, requires_grad=True) for shape in shapes]


def gradients(y: torch.Tensor, *of: torch.Tensor) -> list[torch.Tensor]:
    stream = torch.Generator().manual_seed(2)
    return list(torch.autograd.grad(y, of, torch.randn(y.shape, generator=stream).to(y.dtype)))


def far(found: torch.Tensor, exact: torch.Tensor) -> float:
    """The length of the error as a share of the length of what is right."""
    return float((found.detach().double() - exact.detach()).norm() / exact.detach().norm())


@pytest.mark.parametrize("shape", [(64, 48, 80), (1, 8, 8), (7, 3, 5)])
def test_all_three_products_are_within_their_rounding_of_exact_ones(
    shape: tuple[int, int, int],
) -> None:
    rows, inputs, outputs = shape
    x, weight, bias = tensors((2, rows, inputs), (outputs, inputs), (outputs,))
    with short():
        y = product(x, weight, bias)
    assert y.dtype == torch.bfloat16
    exact_inputs = [t.detach().double().requires_grad_() for t in (x, weight, bias)]
    exact = F.linear(*exact_inputs)
    # Two rounded factors and one rounded sum; errors of many terms mostly cancel.
    assert far(y, exact) < 2 * ROUNDING
    pairs = zip(gradients(y, x, weight, bias), gradients(exact, *exact_inputs), strict=True)
    for found, right in pairs:
        assert found.dtype == torch.float32
        assert far(found, right) < 2 * ROUNDING


def test_it_gives_what_autocast_gives_to_the_bit() -> None:
    x, weight = tensors((2, 33, 24), (40, 24))
    with short():
        ours, theirs = product(x, weight), F.linear(x, weight)
    assert torch.equal(ours, theirs)
    for found, right in zip(gradients(ours, x, weight), gradients(theirs, x, weight), strict=True):
        torch.testing.assert_close(found, right, rtol=2 * ROUNDING, atol=1e-3)


def test_frozen_weights_and_inputs_without_gradient_get_none() -> None:
    x, weight, bias = tensors((3, 8), (4, 8), (4,))
    with short():
        product(x.detach(), weight, bias.detach()).sum().backward()
        assert weight.grad is not None
        assert x.grad is None
        assert bias.grad is None
        weight.requires_grad_(False)
        product(x, weight, None).sum().backward()
    assert x.grad is not None


def test_float32_stays_plain_float32() -> None:
    x, weight, bias = tensors((5, 8), (4, 8), (4,))
    assert torch.equal(product(x, weight, bias), F.linear(x, weight, bias))
    assert not short_on_cpu(x)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
        assert not short_on_cpu(x)
    with torch.autocast("cpu", dtype=torch.float16):
        assert not short_on_cpu(x)


def test_the_linear_map_uses_it_and_keeps_float32_weights() -> None:
    linear = Linear(8, 4, bias=True)
    with short():
        y = linear(torch.ones(2, 8))
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert linear.weight.grad is not None
    assert linear.weight.grad.dtype == torch.float32


def test_the_same_twice_is_the_same_to_the_bit() -> None:
    x, weight = tensors((300, 64), (96, 64))
    with short():
        found = [gradients(product(x, weight), x, weight) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
