"""The loss, whole and in chunks, against formulas written out and against PyTorch's gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hornbook.data import Batch
from hornbook.models import BigramConfig, LSTMConfig, TransformerConfig, build_model
from hornbook.models.base import LanguageModel
from hornbook.optimization import (
    LossSum,
    ObjectiveConfig,
    OptimizerConfig,
    build_optimizer,
    cross_entropy_sum,
    loss_per_token,
    model_loss,
    model_loss_sum,
    model_token_losses,
)
from hornbook.optimization.chunked_loss import chunked_loss_sum, head_weights
from hornbook.optimization.objective import loss_sum
from hornbook.runs.resolution import resolve
from hornbook.targets import IGNORED_TARGET
from hornbook.training.equipment import choose_equipment, make_step


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def some_targets(*shape: int, vocab_size: int, ignored: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, vocab_size, shape, generator=generator)
    return targets.masked_fill(torch.rand(shape, generator=generator) < ignored, IGNORED_TARGET)


def allow_logits(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let no more than ``count`` logits, or those of one token, stand in memory at once."""
    monkeypatch.setattr(model_loss, "LOGITS_AT_ONCE", {"cpu": count})
    monkeypatch.setattr(model_loss, "FEWEST_ROWS", 1)


def test_cross_entropy_counts_only_real_targets() -> None:
    logits = drawn(2, 5, 7)
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


def by_hand(logits: torch.Tensor, targets: torch.Tensor, objective: ObjectiveConfig) -> float:
    """The objective in float64, a target at a time."""
    total, smoothing = 0.0, objective.label_smoothing
    for scores, target in zip(logits.double().flatten(0, -2), targets.flatten(), strict=True):
        if target == IGNORED_TARGET:
            continue
        log_z = scores.exp().sum().log()
        log_p = scores - log_z
        total += -(1 - smoothing) * log_p[target] - smoothing * log_p.mean()
        total += objective.z_loss * log_z**2
    return float(total)


OBJECTIVES = [
    ObjectiveConfig(),
    ObjectiveConfig(label_smoothing=0.1),
    ObjectiveConfig(z_loss=0.01),
    ObjectiveConfig(label_smoothing=0.3, z_loss=0.02),
]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_objective_is_its_formula(objective: ObjectiveConfig) -> None:
    logits = 3 * drawn(3, 4, 9)
    targets = some_targets(3, 4, vocab_size=9, ignored=0.3)
    found = loss_sum(logits, targets, objective)
    assert found.objective.item() == pytest.approx(by_hand(logits, targets, objective), rel=1e-5)
    plain = by_hand(logits, targets, ObjectiveConfig())
    assert found.nats.item() == pytest.approx(plain, rel=1e-5)
    assert not found.nats.requires_grad


class Capped(nn.Module):
    """A head with a bias and a soft-cap, over a vocabulary that is padded inside."""

    def __init__(self, width: int, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.inner = nn.Linear(width, vocab_size + 3)
        self.inner.weight.data = drawn(vocab_size + 3, width, seed=5)
        self.unused = nn.Parameter(torch.zeros(3))

    def head(self, features: torch.Tensor) -> torch.Tensor:
        return 4 * torch.tanh(self.inner(features)[..., : self.vocab_size] / 4)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 23), st.integers(1, 30), st.sampled_from(OBJECTIVES), st.integers(0, 9))
def test_chunks_give_the_loss_and_the_gradients_of_the_whole(
    tokens: int, rows: int, objective: ObjectiveConfig, seed: int
) -> None:
    model = Capped(6, 11)
    features = drawn(tokens, 6, seed=seed)
    targets = some_targets(tokens, vocab_size=11, ignored=0, seed=seed)

    def found(make: Callable[[torch.Tensor], LossSum]) -> list[torch.Tensor]:
        inputs = features.clone().requires_grad_()
        model.zero_grad()
        sums = make(inputs)
        (sums.objective / 7).backward()
        assert model.unused.grad is None
        grads = [inputs.grad, model.inner.weight.grad, model.inner.bias.grad]
        assert all(grad is not None for grad in grads)
        return [sums.objective.detach(), sums.nats, *(g.clone() for g in grads if g is not None)]

    whole = found(lambda x: loss_sum(model.head(x), targets, objective))
    parts = found(lambda x: chunked_loss_sum(model.head, x, targets, objective, rows=rows))
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(other, one, atol=2e-5, rtol=2e-5)


MODELS: list[Any] = [
    TransformerConfig(layers=1, d_model=16),
    TransformerConfig(layers=1, d_model=16, tied_head=False),
    LSTMConfig(layers=1, d_model=16),
    BigramConfig(),
]


@pytest.mark.parametrize("config", MODELS)
@pytest.mark.parametrize("ignored", [0.0, 0.05, 0.6])
@pytest.mark.parametrize("at_once", [1, 150, 1 << 20])
def test_every_model_has_the_same_gradient_however_many_logits_stand_at_once(
    config: Any, ignored: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_model(config, vocab_size=30, context_length=8, seed=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(drawn(*parameter.shape, seed=3) / 10)
    tokens = some_targets(4, 8, vocab_size=30, ignored=0, seed=1)
    targets = some_targets(4, 8, vocab_size=30, ignored=ignored, seed=2)
    objective = ObjectiveConfig(label_smoothing=0.1, z_loss=1e-3)

    def gradients(total: torch.Tensor) -> dict[str, torch.Tensor]:
        model.zero_grad()
        total.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    expected = gradients(loss_sum(model(tokens)[0], targets, objective).objective)
    allow_logits(monkeypatch, at_once)
    for known in (None, int((targets != IGNORED_TARGET).sum())):
        features, _ = model.hidden(tokens)
        found = model_loss_sum(model, features, targets, objective, real_targets=known)
        for name, gradient in gradients(found.objective).items():
            torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-4)
        assert found.nats.item() == pytest.approx(
            cross_entropy_sum(model(tokens)[0], targets).item(), rel=1e-5
        )
    with torch.inference_mode():
        features, _ = model.hidden(tokens)
        real = int((targets != IGNORED_TARGET).sum())
        each = model_token_losses(model, features, targets, real_targets=real)
        torch.testing.assert_close(each, loss_per_token(model(tokens)[0], targets))


class Wide(nn.Module):
    """Counts the logits that it is asked for."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.inner = nn.Linear(2, vocab_size, bias=False)
        self.asked: list[int] = []

    def head(self, features: torch.Tensor) -> torch.Tensor:
        self.asked.append(features.numel() // 2)
        return self.inner(features)


def test_padding_is_left_out_before_the_head_and_chunks_are_no_larger_than_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    targets = torch.full((10, 10), IGNORED_TARGET)
    targets[:, :4] = 3
    model, features = Wide(5), drawn(10, 10, 2)
    model_loss_sum(model, features, targets)
    assert model.asked == [40]
    allow_logits(monkeypatch, 5 * 16)
    model.asked.clear()
    model_loss_sum(model, features, targets)
    assert model.asked == [1, 16, 16, 8]  # the first tells which weights the head has
    model.asked.clear()
    model_token_losses(model, features, targets, real_targets=40)
    assert model.asked == [16, 16, 8]


@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_nothing_real_is_zero_with_zero_gradients(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_logits(monkeypatch, at_once)
    model, features = Wide(5), drawn(2, 3, 2).requires_grad_()
    targets = torch.full((2, 3), IGNORED_TARGET)
    found = model_loss_sum(model, features, targets, ObjectiveConfig(z_loss=1.0), real_targets=0)
    found.objective.backward()
    assert found.objective.item() == found.nats.item() == 0
    assert features.grad is not None
    assert (features.grad == 0).all()
    assert (model_token_losses(model, features.detach(), targets, real_targets=0) == 0).all()


def test_frozen_parts_get_no_gradient_and_the_others_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allow_logits(monkeypatch, 1)
    targets = torch.tensor([[1, 2]])
    model, features = Wide(5), drawn(1, 2, 2)
    model_loss_sum(model, features, targets).objective.backward()
    of_head = model.inner.weight.grad
    assert of_head is not None
    expected = torch.autograd.grad(
        F.cross_entropy(model.head(features)[0], targets[0], reduction="sum"), model.inner.weight
    )[0]
    torch.testing.assert_close(of_head, expected)
    model.inner.requires_grad_(False)
    assert head_weights(model.head, features) == []
    features.requires_grad_()
    model_loss_sum(model, features, targets).objective.backward()
    assert features.grad is not None


@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_bfloat16_under_autocast_trains_the_float32_weights(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow_logits(monkeypatch, at_once)
    config = TransformerConfig(layers=1, d_model=16)
    model = build_model(config, vocab_size=30, context_length=8, seed=2)
    tokens = some_targets(4, 8, vocab_size=30, ignored=0)

    def gradients(enabled: bool) -> dict[str, torch.Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            features, _ = model.hidden(tokens)
            found = model_loss_sum(model, features, tokens)
        assert found.objective.dtype == torch.float32
        found.objective.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    exact, rough = gradients(False), gradients(True)
    for name, gradient in rough.items():
        assert gradient.dtype == torch.float32
        assert (gradient - exact[name]).norm() < 0.05 * exact[name].norm(), name


def test_a_step_shows_the_surprise_and_follows_the_objective() -> None:
    tokens = some_targets(4, 8, vocab_size=30, ignored=0)
    batch = Batch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), 28)

    def after(**objective: float) -> tuple[float, float]:
        config = resolve(preset="tiny", overrides={"training": {"objective": objective}})
        model: LanguageModel = build_model(
            TransformerConfig(layers=1, d_model=16), vocab_size=30, context_length=8, seed=2
        )
        optimizer = build_optimizer(model, OptimizerConfig(), 0.01)
        step = make_step(config, choose_equipment(config), model.train(), optimizer)
        result = step([batch], learning_rate=0.01, dropout_seed=1)
        return result.loss.item(), result.gradient_norm.item()

    plain, smoothed = after(), after(label_smoothing=0.5)
    assert plain[0] == smoothed[0]
    assert plain[1] != smoothed[1]
