"""Objective, schedules and optimizer against formulas written out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hornbook.models import TransformerConfig, build_model
from hornbook.optimization import (
    OptimizerConfig,
    ScheduleConfig,
    build_optimizer,
    cross_entropy_sum,
    learning_rate_at,
    load_optimizer_tensors,
    loss_per_token,
    optimizer_tensors,
    parameter_groups,
)
from hornbook.targets import IGNORED_TARGET


def test_cross_entropy_counts_only_real_targets() -> None:
    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(1))
    targets = torch.randint(0, 7, (2, 5))
    targets[0, 2:] = IGNORED_TARGET
    by_hand = -sum(
        logits[r, t].log_softmax(-1)[targets[r, t]]
        for r in range(2)
        for t in range(5)
        if targets[r, t] != IGNORED_TARGET
    )
    torch.testing.assert_close(cross_entropy_sum(logits, targets), torch.as_tensor(by_hand))
    each = loss_per_token(logits, targets)
    assert each.shape == (2, 5)
    assert (each[0, 2:] == 0).all()
    torch.testing.assert_close(each.sum(), torch.as_tensor(by_hand))


@given(
    kind=st.sampled_from(["cosine", "linear", "constant"]),
    steps=st.integers(1, 400),
    warmup_share=st.floats(0, 0.99),
    final=st.floats(0, 1),
)
def test_schedule_rises_to_the_peak_and_never_leaves_its_range(
    kind: str, steps: int, warmup_share: float, final: float
) -> None:
    warmup = min(int(steps * warmup_share), steps - 1)
    schedule = ScheduleConfig(kind=kind, warmup_steps=warmup, final_fraction=final)  # type: ignore[arg-type]
    rates = [learning_rate_at(s, steps=steps, peak=2.0, schedule=schedule) for s in range(steps)]
    assert all(0 <= rate <= 2.0 + 1e-12 for rate in rates)
    assert all(later >= earlier for earlier, later in itertools.pairwise(rates[:warmup]))
    falling = rates[warmup:]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(falling))
    if warmup:
        assert math.isclose(max(rates), 2.0)
    if kind == "constant":
        assert set(falling) == {2.0}
    elif len(falling) > 1:
        assert math.isclose(falling[-1], 2.0 * final, abs_tol=1e-12)


def test_only_matrices_decay() -> None:
    model = build_model(
        TransformerConfig(layers=1, d_model=16, positions="learned", bias=True, norm="layernorm"),
        vocab_size=10, context_length=8, seed=1,
    )  # fmt: skip
    names = {id(p): name for name, p in model.named_parameters()}
    groups = {
        g["weight_decay"]: {names[id(p)] for p in g["params"]} for g in parameter_groups(model, 0.1)
    }
    assert groups[0.1] == {
        "blocks.0.attention.qkv.weight",
        "blocks.0.attention.output.weight",
        "blocks.0.feedforward.up.weight",
        "blocks.0.feedforward.down.weight",
    }
    assert {"token_embedding.weight", "position_embedding.weight"} <= groups[0.0]
    assert groups[0.0] | groups[0.1] == set(names.values())


def test_an_untied_head_decays() -> None:
    model = build_model(
        TransformerConfig(layers=1, d_model=16, tied_head=False),
        vocab_size=10,
        context_length=8,
        seed=1,
    )
    decaying = parameter_groups(model, 0.1)[0]["params"]
    assert any(p is model.output_head.weight for p in decaying)  # type: ignore[attr-defined]


def test_adamw_step_equals_the_paper() -> None:
    layer = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0]]))
    config = OptimizerConfig(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1)
    optimizer = build_optimizer(layer, config, 0.01)
    layer.weight.grad = torch.tensor([[0.5, -1.0]])
    optimizer.step()
    expected = []
    for weight, gradient in ((1.0, 0.5), (-2.0, -1.0)):
        mean = 0.1 * gradient / (1 - 0.9)
        square = 0.05 * gradient**2 / (1 - 0.95)
        expected.append(weight - 0.01 * 0.1 * weight - 0.01 * mean / (math.sqrt(square) + 1e-8))
    torch.testing.assert_close(layer.weight.detach()[0], torch.tensor(expected))


def test_optimizer_state_comes_back_by_name() -> None:
    def trained(steps: int, tensors: dict[str, torch.Tensor] | None = None) -> tuple:
        torch.manual_seed(0)
        layer = nn.Linear(3, 2)
        optimizer = build_optimizer(layer, OptimizerConfig(), 0.1)
        if tensors:
            load_optimizer_tensors(optimizer, layer, tensors)
        for step in range(steps):
            layer.weight.grad = torch.full((2, 3), float(step + 1))
            layer.bias.grad = torch.ones(2)
            optimizer.step()
        return layer, optimizer

    layer, optimizer = trained(3)
    tensors = {name: t.clone() for name, t in optimizer_tensors(optimizer, layer).items()}
    assert set(tensors) == {
        f"{p}/{e}" for p in ("weight", "bias") for e in ("step", "exp_avg", "exp_avg_sq")
    }
    fresh, other = trained(0, tensors)
    assert all(torch.equal(t, tensors[n]) for n, t in optimizer_tensors(other, fresh).items())
    with pytest.raises(ValueError, match="shape"):
        load_optimizer_tensors(other, fresh, {"weight/exp_avg": torch.zeros(5, 5)})
    with pytest.raises(KeyError):
        load_optimizer_tensors(other, fresh, {"nothing/exp_avg": torch.zeros(2)})
