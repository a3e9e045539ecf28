"""Muon against slow plain twins: a singular value decomposition, loops, and PyTorch's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hornbook.optimization import OptimizerConfig, build_optimizer, optimizer_tensors
from hornbook.optimization.muon import Muon, update_scale
from hornbook.optimization.newton_schulz import COEFFICIENTS, fast_dtype, orthogonalised


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain_iteration(matrix: torch.Tensor, steps: int) -> torch.Tensor:
    """The same polynomial on singular values, in float64, by decomposition."""
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.square().sum().sqrt()
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return u @ s.diag() @ v


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(1, 7), st.integers(0, 999))
def test_it_is_the_polynomial_of_the_singular_values(
    rows: int, more: int, steps: int, seed: int
) -> None:
    batch = drawn(3, rows, rows + more, seed=seed)
    found = orthogonalised(batch, steps=steps, dtype=torch.float32)
    assert found.shape == batch.shape
    for one, matrix in zip(found, batch, strict=True):
        expected = plain_iteration(matrix, steps)
        torch.testing.assert_close(one.double(), expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(16, 16), (24, 96), (5, 400)])
def test_five_steps_come_near_the_nearest_orthogonal_matrix(
    dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    matrix = drawn(*shape, seed=4)
    found = orthogonalised(matrix, steps=5, dtype=dtype)
    assert found.dtype == dtype
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    inside = u.mT @ found.double() @ v.mT  # singular values, in the coordinates of U and V
    assert (s.max() / s.min() > 1.2) or shape[0] == 5
    crooked = inside - inside.diag().diag()
    assert crooked.abs().max() < (1e-4 if dtype == torch.float32 else 0.06)
    assert inside.diag().min() > 0.3
    assert inside.diag().max() < 1.25
    angle = (found.double() * (u @ v)).sum() / (found.double().norm() * (u @ v).norm())
    assert angle > 0.97


def test_zero_stays_zero_and_length_does_not_matter() -> None:
    assert (orthogonalised(torch.zeros(2, 3, 4), steps=5, dtype=torch.float32) == 0).all()
    matrix = drawn(4, 6)
    small, large = (
        orthogonalised(matrix * factor, steps=5, dtype=torch.float32) for factor in (1e-5, 1e5)
    )
    torch.testing.assert_close(small, large, atol=1e-4, rtol=1e-4)


def test_the_fast_type_is_one_that_the_device_has() -> None:
    assert fast_dtype(torch.device("cpu")) in {torch.float32, torch.bfloat16}
    assert fast_dtype(torch.device("mps")) == torch.float32


class Parts(nn.Module):
    """Matrices of several shapes, one of them joint, and what is no matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.joint = nn.Linear(6, 10)
        self.joint_rows = {"joint.weight": (6, 2, 2)}
        self.wide, self.tall = nn.Linear(12, 6), nn.Linear(6, 12)
        self.square = nn.Linear(6, 6, bias=False)
        self.table = nn.Embedding(7, 6)
        for number, parameter in enumerate(self.parameters()):
            parameter.data = drawn(*parameter.shape, seed=number)

    def give_gradients(self, seed: int) -> None:
        for number, parameter in enumerate(self.parameters()):
            parameter.grad = drawn(*parameter.shape, seed=100 * seed + number)


def twin_of_muon(
    weight: list[list[float]],
    gradients: list[list[list[float]]],
    *,
    rate: float,
    momentum: float,
    nesterov: bool,
    steps: int,
    decay: float,
    cautious: bool,
    scale: float,
) -> torch.Tensor:
    """The update of one matrix in float64, number by number except for the decomposition."""
    rows, columns = len(weight), len(weight[0])
    mean = [[0.0] * columns for _ in range(rows)]
    for gradient in gradients:
        look = [[0.0] * columns for _ in range(rows)]
        for i in range(rows):
            for j in range(columns):
                mean[i][j] = momentum * mean[i][j] + (1 - momentum) * gradient[i][j]
                ahead = momentum * mean[i][j] + (1 - momentum) * gradient[i][j]
                look[i][j] = ahead if nesterov else mean[i][j]
        step = (plain_iteration(torch.tensor(look), steps) * scale).tolist()
        for i in range(rows):
            for j in range(columns):
                pulled = not cautious or weight[i][j] * step[i][j] > 0
                weight[i][j] -= rate * (decay * weight[i][j] if pulled else 0) + rate * step[i][j]
    return torch.tensor(weight)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize(("decay", "cautious"), [(0.0, False), (0.4, False), (0.4, True)])
@pytest.mark.parametrize("rule", ["adamw", "spectral", "none"])
def test_every_matrix_moves_as_its_twin_in_plain_loops(
    nesterov: bool, decay: float, cautious: bool, rule: Any
) -> None:
    model = Parts()
    config = OptimizerConfig(
        kind="muon", momentum=0.7, nesterov=nesterov, newton_schulz_steps=4, update_scale=rule,
        newton_schulz_precision="float32", weight_decay=decay, cautious_decay=cautious,
    )  # fmt: skip
    optimizer = build_optimizer(model, config, 0.05)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    kept: dict[str, list[torch.Tensor]] = {name: [] for name in before}
    for seed in range(1, 4):
        model.give_gradients(seed)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            kept[name].append(parameter.grad.clone())
        optimizer.step()
    after = dict(model.named_parameters())
    for name in ("joint.weight", "wide.weight", "tall.weight", "square.weight"):
        cuts = (6, 2, 2) if name == "joint.weight" else (len(before[name]),)
        expected = []
        for part, *gradients in zip(
            before[name].split(cuts), *(g.split(cuts) for g in kept[name]), strict=True
        ):
            twin = twin_of_muon(
                part.tolist(),
                [g.tolist() for g in gradients],
                rate=0.05,
                momentum=0.7,
                nesterov=nesterov,
                steps=4,
                decay=decay,
                cautious=cautious,
                scale=update_scale(rule, *part.shape),
            )
            expected.append(twin)
        torch.testing.assert_close(after[name].detach(), torch.cat(expected), atol=1e-4, rtol=1e-4)


def test_the_rest_moves_as_under_adamw() -> None:
    ours, theirs = Parts(), Parts()
    optimizer = build_optimizer(ours, OptimizerConfig(kind="muon", embedding_rate=3.0), 0.01)
    table, rest = theirs.table.weight, [p for p in theirs.parameters() if p.ndim < 2]
    adamw = torch.optim.AdamW(
        [{"params": [table], "lr": 0.03}, {"params": rest, "lr": 0.01}],
        betas=(0.9, 0.95), weight_decay=0.0, fused=True,
    )  # fmt: skip
    for seed in range(4):
        for model in (ours, theirs):
            model.give_gradients(seed)
        optimizer.step()
        adamw.step()
    for name, parameter in theirs.named_parameters():
        if parameter.ndim < 2 or name == "table.weight":
            assert torch.equal(parameter, dict(ours.named_parameters())[name]), name


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon")
@pytest.mark.parametrize(
    ("rule", "theirs"), [("spectral", "original"), ("adamw", "match_rms_adamw")]
)
def test_it_agrees_with_pytorchs_own(rule: Any, theirs: str) -> None:
    shapes = [(8, 8), (8, 20), (20, 8)]
    ours = [nn.Parameter(drawn(*shape)) for shape in shapes]
    other = [nn.Parameter(drawn(*shape)) for shape in shapes]
    group = {"params": ours, "rule": "muon", "weight_decay": 0.1}
    muon = Muon([group], 0.02, dtype=torch.bfloat16, scale=rule)
    reference = torch.optim.Muon(
        other, lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn=theirs
    )
    for seed in range(3):
        for parameters in (ours, other):
            for number, parameter in enumerate(parameters):
                parameter.grad = drawn(*parameter.shape, seed=seed * 9 + number)
        muon.step()
        reference.step()
    for one, two in zip(ours, other, strict=True):
        # Theirs rounds to bfloat16 before it normalises, ours after.
        torch.testing.assert_close(one, two, atol=0.02 * 3 * 0.05 * 2, rtol=0.01)


def test_what_has_no_gradient_stays() -> None:
    model = Parts()
    optimizer = build_optimizer(model, OptimizerConfig(kind="muon"), 0.1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer.step()
    model.wide.weight.grad = drawn(6, 12)
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (name != "wide.weight"), name


def test_a_step_that_is_told_to_be_skipped_on_the_device_changes_nothing() -> None:
    model, plain = Parts(), Parts()
    optimizers = [
        build_optimizer(each, OptimizerConfig(kind="muon", weight_decay=0.5, momentum=0.5), 0.1)
        for each in (model, plain)
    ]
    for number in range(4):
        skipped = number in {0, 2}
        model.give_gradients(number)
        plain.give_gradients(number)
        if skipped:
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.grad.view(-1)[0] = math.nan
        optimizers[0].found_inf = torch.tensor(float(skipped))  # type: ignore[attr-defined]
        optimizers[0].step()
        if not skipped:
            optimizers[1].step()
    states = [optimizer_tensors(o, m) for o, m in zip(optimizers, (model, plain), strict=True)]
    assert set(states[0]) == set(states[1])
    for name, tensor in states[1].items():
        torch.testing.assert_close(states[0][name], tensor)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(dict(model.named_parameters())[name], parameter)


def test_scales_by_shape() -> None:
    assert update_scale("none", 5, 7) == 1
    assert update_scale("spectral", 10, 40) == 1
    assert update_scale("spectral", 40, 10) == 2
    assert update_scale("adamw", 10, 40) == update_scale("adamw", 40, 10) == 0.2 * math.sqrt(40)
