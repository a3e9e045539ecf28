"""Gradients written out by hand, against the chains of simple steps that they replace."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from hornbook.models import RMSNorm
from hornbook.models.feedforward import relu2
from hornbook.models.hand_gradients import mixed, relu_squared, rms_norm, shifted
from hornbook.models.input_skip import InputSkip
from hornbook.models.previous_token import TokenBefore, TokenShift

Part = Callable[..., torch.Tensor]
DRAW = torch.Generator().manual_seed(7)


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=DRAW)


def plain_norm(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, (x.shape[-1],), gain, 1e-5)


def plain_shift(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x + weight * F.pad(x[:, :-1], (0, 0, 1, 0))


def plain_mix(shares: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return shares[0] * x + shares[1] * y


PARTS: dict[str, tuple[Part, Part, tuple[tuple[int, ...], ...]]] = {
    "rms_norm": (lambda x, g: rms_norm(x, g, 1e-5), plain_norm, ((3, 5, 8), (8,))),
    "without gain": (
        lambda x: rms_norm(x, None, 1e-5), lambda x: F.rms_norm(x, (8,), None, 1e-5), ((3, 8),)
    ),
    "shifted": (shifted, plain_shift, ((3, 5, 8), (8,))),
    "a lone token": (shifted, plain_shift, ((3, 1, 8), (8,))),
    "relu_squared": (relu_squared, lambda x: F.relu(x).square(), ((3, 5, 8),)),
    "mixed": (mixed, plain_mix, ((2,), (3, 5, 8), (3, 5, 8))),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_it_is_the_plain_part_with_its_gradient(name: str) -> None:
    ours, plain, shapes = PARTS[name]
    inputs = [numbers(*shape).requires_grad_() for shape in shapes]
    found, right = ours(*inputs), plain(*inputs)
    torch.testing.assert_close(found, right, atol=1e-6, rtol=1e-5)
    weights = numbers(*right.shape)
    pairs = zip(
        torch.autograd.grad(found, inputs, weights),
        torch.autograd.grad(right, inputs, weights),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["rms_norm", "without gain", "shifted", "relu_squared"])
def test_bfloat16_goes_in_and_its_gradient_comes_out(name: str) -> None:
    ours, plain, shapes = PARTS[name]
    first, *rest = (numbers(*shape) for shape in shapes)
    inputs = [first.bfloat16().requires_grad_(), *rest]
    exact = [inputs[0].detach().float().requires_grad_(), *rest]
    found, right = ours(*inputs), plain(*exact)
    torch.testing.assert_close(found.float(), right, atol=1e-6, rtol=2**-8)
    (gradient,) = torch.autograd.grad(found.float().sum(), inputs[0])
    (expected,) = torch.autograd.grad(right.sum(), exact[0])
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(gradient.float(), expected, atol=0.02, rtol=2**-6)


@pytest.mark.parametrize(
    "part",
    [RMSNorm(8), RMSNorm(8, gain=False), relu2, lambda x: TokenShift(8)(x, TokenBefore()),
     lambda x: InputSkip()(x, 2 * x)],
    ids=["norm", "gainless", "relu2", "shift", "skip"],
)  # fmt: skip
def test_modules_take_it_in_bfloat16_and_stay_plain_in_float32(part: Part) -> None:
    x = numbers(2, 5, 8).requires_grad_()
    plain = part(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = part(x)

    def names(result: torch.Tensor) -> set[str]:
        kept, nodes = set(), [result.grad_fn]
        while nodes:
            node = nodes.pop()
            if node is not None:
                kept.add(node.name())
                nodes += [before for before, _ in node.next_functions]
        return kept

    ours = {"_RMSNormBackward", "_ShiftedBackward", "_ReluSquaredBackward", "_MixedBackward"}
    assert names(found) & ours
    assert not names(plain) & ours
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)
    ones = torch.ones_like(plain)
    (one,), (other,) = (torch.autograd.grad(y, x, ones) for y in (found, plain))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_across_documents_and_with_a_state_the_shift_stays_the_plain_one() -> None:
    shift, x = TokenShift(8), numbers(1, 4, 8)
    with torch.no_grad():
        shift.weight.fill_(0.5)
    starts = torch.tensor([[True, False, True, False]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = shift(x, TokenBefore(starts))
    torch.testing.assert_close(found, shift(x, TokenBefore(starts)))
    assert torch.equal(found[:, 2], x[:, 2])
