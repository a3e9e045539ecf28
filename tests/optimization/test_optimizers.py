"""Roles, groups, and PyTorch's optimizers under our settings, against formulas and PyTorch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from hornbook.errors import ConfigError
from hornbook.models import LSTMConfig, TransformerConfig, build_model
from hornbook.models.base import LanguageModel
from hornbook.optimization import (
    OptimizerConfig,
    build_optimizer,
    group_facts,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from hornbook.optimization.roles import joint_rows_of, roles_of
from hornbook.runs.resolution import resolve

KINDS = ["adamw", "sgd", "muon"]


def small_model(**choices: Any) -> LanguageModel:
    config = TransformerConfig(
        **{"layers": 1, "d_model": 16, "bias": True, "norm": "layernorm", **choices}
    )
    return build_model(config, vocab_size=10, context_length=8, seed=1)


def names_by(optimizer: torch.optim.Optimizer, model: nn.Module, key: str) -> dict[Any, set[str]]:
    names = {id(p): name for name, p in model.named_parameters()}
    found: dict[Any, set[str]] = {}
    for group in optimizer.param_groups:
        found.setdefault(group[key], set()).update(names[id(p)] for p in group["params"])
    return found


def backward(model: LanguageModel, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 10, (3, 8), generator=generator)
    logits, _ = model(tokens)
    model.zero_grad()
    nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()


def test_each_parameter_has_the_role_it_plays() -> None:
    roles = roles_of(small_model(positions="learned", tied_head=False))
    matrices = {f"blocks.0.{part}.weight" for part in (
        "attention.qkv", "attention.output", "feedforward.up", "feedforward.down"
    )}  # fmt: skip
    assert {name for name, role in roles.items() if role == "matrices"} == matrices
    assert {name for name, role in roles.items() if role == "head"} == {"output_head.weight"}
    tables = {"token_embedding.weight", "position_embedding.weight"}
    assert {name for name, role in roles.items() if role == "embeddings"} == tables
    gains = {name for name, role in roles.items() if role == "gains"}
    assert "blocks.0.attention.qkv.bias" in gains
    assert "final_norm.weight" in gains
    assert len(roles) == len(matrices) + len(tables) + 1 + len(gains)
    assert roles_of(small_model(tied_head=True))["token_embedding.weight"] == "embeddings"


def test_only_matrices_and_an_untied_head_decay_unless_told_otherwise() -> None:
    model = small_model(tied_head=False)
    decaying = names_by(build_optimizer(model, OptimizerConfig(), 1e-3), model, "weight_decay")[0.1]
    assert decaying == {n for n, role in roles_of(model).items() if role in {"matrices", "head"}}
    config = OptimizerConfig(decayed=("embeddings",), weight_decay=0.3)
    found = names_by(build_optimizer(model, config, 1e-3), model, "weight_decay")
    assert found[0.3] == {"token_embedding.weight"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_role_has_its_share_of_the_learning_rate(kind: Any) -> None:
    model = small_model(tied_head=False)
    config = OptimizerConfig(
        kind=kind, embedding_rate=4, matrix_rate=0.5, head_rate=0.25, gain_rate=2
    )
    optimizer = build_optimizer(model, config, 0.1)
    shares = {"embeddings": 4, "matrices": 0.5, "head": 0.25, "gains": 2}
    for rate in (0.1, 0.03):
        set_learning_rate(optimizer, rate)
        found = {group["role"]: group["lr"] for group in optimizer.param_groups}
        assert found == pytest.approx({role: rate * share for role, share in shares.items()})
    facts = group_facts(optimizer, 0.1)
    assert [fact["learning_rate"] for fact in facts] == pytest.approx([0.4, 0.05, 0.025, 0.2])
    assert sum(fact["numbers"] for fact in facts) == model.parameter_count()
    rules = {fact["role"]: fact["rule"] for fact in facts}
    other = "adamw" if kind == "muon" else kind
    assert rules == dict.fromkeys(shares, other) | {"matrices": kind}


def test_joint_matrices_are_declared_where_they_are_made() -> None:
    model = small_model(heads=4, kv_heads=2, feedforward="swiglu")
    found = {name: joint_rows_of(model).get(p) for name, p in model.named_parameters()}
    assert found["blocks.0.attention.qkv.weight"] == (16, 8, 8)
    up = found["blocks.0.feedforward.up.weight"]
    assert up is not None
    assert up == (up[0], up[0])
    lstm = build_model(LSTMConfig(d_model=8, layers=2), vocab_size=5, context_length=4, seed=1)
    joint = {n for n, p in lstm.named_parameters() if joint_rows_of(lstm).get(p) == (8,) * 4}
    assert joint == {f"layers.{i}.weight_{w}_l0" for i in (0, 1) for w in ("ih", "hh")}


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


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_moves_as_the_formula_in_plain_loops(nesterov: bool) -> None:
    layer = nn.Linear(2, 2, bias=False)
    weights = [0.5, -1.0, 2.0, 0.25]
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights).view(2, 2))
    config = OptimizerConfig(kind="sgd", momentum=0.8, nesterov=nesterov, weight_decay=0.1)
    optimizer = build_optimizer(layer, config, 0.05)
    sums = [0.0] * 4
    for step in range(4):
        gradients = [0.1 * (step + 1) * sign for sign in (1, -2, 3, -4)]
        layer.weight.grad = torch.tensor(gradients).view(2, 2)
        optimizer.step()
        for i, gradient in enumerate(gradients):
            whole = gradient + 0.1 * weights[i]
            sums[i] = whole if step == 0 else 0.8 * sums[i] + whole
            weights[i] -= 0.05 * (whole + 0.8 * sums[i] if nesterov else sums[i])
    torch.testing.assert_close(layer.weight.detach().flatten(), torch.tensor(weights))


@pytest.mark.parametrize("kind", [*KINDS, "plain sgd"])
def test_state_comes_back_by_name_and_training_goes_on_to_the_bit(kind: str) -> None:
    settings: dict[str, Any] = {"kind": kind}
    if kind == "plain sgd":
        settings = {"kind": "sgd", "momentum": 0.0, "nesterov": False}

    def begun() -> tuple[LanguageModel, torch.optim.Optimizer]:
        model = small_model(tied_head=False)
        return model, build_optimizer(model, OptimizerConfig(**settings), 0.01)

    def steps(model: LanguageModel, optimizer: torch.optim.Optimizer, span: range) -> None:
        for number in span:
            backward(model, seed=number)
            set_learning_rate(optimizer, 0.01 / (number + 1))
            optimizer.step()

    model, optimizer = begun()
    steps(model, optimizer, range(3))
    kept = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer, model).items()}
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    steps(model, optimizer, range(3, 6))

    again, other = begun()
    again.load_state_dict(weights)
    load_optimizer_tensors(other, again, kept)
    steps(again, other, range(3, 6))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    entries = {name.rpartition("/")[2] for name in kept}
    moments = {"step", "exp_avg", "exp_avg_sq"}
    assert (
        entries
        == {
            "adamw": moments,
            "sgd": {"momentum_buffer"},
            "muon": moments | {"momentum"},
            "plain sgd": set(),
        }[kind]
    )


def test_state_that_does_not_fit_is_refused() -> None:
    model = small_model()
    optimizer = build_optimizer(model, OptimizerConfig(), 0.1)
    with pytest.raises(ValueError, match="shape"):
        load_optimizer_tensors(
            optimizer, model, {"token_embedding.weight/exp_avg": torch.zeros(5, 5)}
        )
    with pytest.raises(KeyError):
        load_optimizer_tensors(optimizer, model, {"nothing/exp_avg": torch.zeros(2)})


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["kind=sgd", "momentum=0"], "nesterov"),
        (["cautious_decay=true"], "cautious_decay"),
        (["kind=adam"], "kind"),
        (["embedding_rate=0"], "embedding_rate"),
        (["head_rate=inf"], "head_rate"),
        (["decayed=matrixes"], "decayed"),
        (["newton_schulz_steps=0"], "newton_schulz_steps"),
    ],
)
def test_settings_that_make_no_sense_are_refused(words: list[str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(preset="tiny", overrides=[f"training.optimizer.{word}" for word in words])
    assert [problem.key for problem in caught.value.problems] == [f"training.optimizer.{key}"]
