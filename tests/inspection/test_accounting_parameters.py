"""Counts of parameters and tables against models that PyTorch builds without memory."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import pytest
import torch
from accounted_models import MODELS, named

from hornbook.inspection.accounting.account import assumed_vocabulary, sizes_of
from hornbook.inspection.accounting.activations import bytes_of
from hornbook.inspection.accounting.parameters import parameters
from hornbook.inspection.accounting.products import forward_flops
from hornbook.inspection.accounting.quantity import NOTHING, quantity, symbol
from hornbook.inspection.accounting.sizes import Sizes
from hornbook.inspection.accounting.standing import most_alike, tables, weight_count
from hornbook.models import LanguageModel, build_model
from hornbook.models.undrawn import undrawn
from hornbook.optimization import OptimizerConfig, build_optimizer
from hornbook.optimization.roles import joint_rows_of
from hornbook.runs.resolution import preset_names, resolve


@cache
def built(config: Any, vocab_size: int, context_length: int) -> LanguageModel:
    with torch.device("meta"), undrawn():
        return build_model(config, vocab_size=vocab_size, context_length=context_length, seed=1)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_the_parameters_that_are_counted(name: str) -> None:
    config = resolve(preset=name)
    vocab_size, _ = assumed_vocabulary(config)
    sizes = sizes_of(config, vocab_size, batch=1)
    model: Any = built(cast(Any, sizes.config), vocab_size, config.context_length)
    assert weight_count(sizes) == model.parameter_count()
    assert bytes_of(tables(sizes)) == sum(table.nbytes for table in model.buffers())


@pytest.mark.parametrize("config", MODELS, ids=named)
def test_every_choice_has_the_parameters_that_are_counted(config: Any) -> None:
    sizes = Sizes.of(config, vocab_size=77, context_length=32)
    model = built(config, 77, 32)
    assert weight_count(sizes) == model.parameter_count()
    if model.closed_form:  # its only table is what it learns
        assert bytes_of(tables(sizes)) == 0
    else:
        assert bytes_of(tables(sizes)) == sum(table.nbytes for table in model.buffers())


@pytest.mark.parametrize("config", MODELS, ids=named)
def test_each_part_has_its_own_modules_parameters(config: Any) -> None:
    words = {
        "embedding": ("_embedding.", "_embeddings."),
        "attention": (".attention.",),
        "feed-forward": (".feedforward.",),
        "recurrent": ("layers.",),
        "head": ("output_head", "table"),
        "other": ("shift", "skip"),
    }  # fmt: skip
    expected: dict[str, int] = {}
    for name, weight in built(config, 77, 32).named_parameters():
        part = next((p for p, found in words.items() if any(w in name for w in found)), "norms")
        part = "norms" if "norm" in name else part
        expected[part] = expected.get(part, 0) + weight.numel()
    found: dict[str, int] = {}
    if config.kind != "bigram_counts":
        for part, _, amount in parameters(Sizes.of(config, vocab_size=77, context_length=32)):
            found[part] = found.get(part, 0) + amount.value
    assert found == expected


@pytest.mark.parametrize("config", MODELS[:-2], ids=named)
def test_matrices_of_one_shape_are_those_that_muon_stacks(config: Any) -> None:
    model = built(config, 77, 32)
    muon = build_optimizer(model, OptimizerConfig(kind="muon"), 0.01)
    joint, stacks = joint_rows_of(model), dict[tuple[int, int], int]()
    for group in muon.param_groups:
        for matrix in group["params"] if group["rule"] == "muon" else ():
            for rows in joint.get(matrix, (len(matrix),)):
                shape = min(rows, matrix.shape[1]), max(rows, matrix.shape[1])
                stacks[shape] = stacks.get(shape, 0) + rows * matrix.shape[1]
    found = most_alike(Sizes.of(config, vocab_size=77, context_length=32))
    if config.kind == "transformer" and config.attention == "mla":  # whose shapes are many
        assert 0.5 * max(stacks.values()) < found <= 1.5 * max(stacks.values())
    else:
        assert found == max(stacks.values())


def test_the_published_figures_of_the_large_form() -> None:
    config = resolve(preset="gpt2-xl-swiglu")
    sizes = sizes_of(config, 50_257, batch=1)
    assert weight_count(sizes) == 2_127_057_600
    assert forward_flops(sizes) == 4_513_336_524_800
    longer = resolve(preset="gpt2-xl-swiglu", overrides=["context_length=16384"])
    assert weight_count(sizes_of(longer, 50_257, batch=1)) == 2_127_057_600
    assert forward_flops(sizes_of(longer, 50_257, batch=1)) == 149_522_795_724_800


def test_formulas_are_what_was_computed() -> None:
    a, b, c = symbol("a", 3), symbol("b", 4), symbol("c", 5)
    for made, formula, value in (
        (a * (b + c) * 2, "a × (b + c) × 2", 54),
        (2 * a * b + c * 1, "2 × a × b + c", 29),
        ((a + b) * (a + c) - a, "(a + b) × (a + c) − a", 53),
        (a * (b * c - 2) + NOTHING, "a × (b × c − 2)", 54),
        (a - (b - c), "a − (b − c)", 4),
        (0 * a + b, "b", 4),
        (a - 0, "a", 3),
        (quantity(1) * a, "a", 3),
    ):
        assert (made.formula, made.value) == (formula, value)
