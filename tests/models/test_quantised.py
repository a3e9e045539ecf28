"""Weights in fewer bits: what is computed, how far it is off, and what stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hornbook.errors import GenerationError
from hornbook.models import (
    BigramConfig,
    LSTMConfig,
    TransformerConfig,
    WeightKind,
    build_model,
    quantise,
    quantised,
)
from hornbook.models.one_row import float_row
from hornbook.models.quantised import make_product
from hornbook.processor import processor_features

DRAW = torch.Generator().manual_seed(3)
WEIGHT = torch.randn(24, 40, generator=DRAW) * torch.logspace(-3, 1, 24)[:, None]
BIAS = torch.randn(24, generator=DRAW)
X = torch.randn(2, 3, 40, generator=DRAW) * torch.tensor([1e-3, 1.0, 50.0])[None, :, None]


def rounded_weight(weight: torch.Tensor) -> torch.Tensor:
    """Each output's weights in steps of the largest over 127."""
    size = weight.abs().amax(-1, keepdim=True) / 127
    return (weight / size).round() * size


def rounded_input(x: torch.Tensor) -> torch.Tensor:
    """From -1 to 1 in 255 steps; the 127th is nothing."""
    largest = x.abs().amax(-1, keepdim=True)
    return ((x / largest * 127.5 + 127).round().clamp(0, 255) - 127) / 127.5 * largest


@pytest.mark.parametrize("bias", [BIAS, None])
def test_int8_is_the_product_of_rounded_numbers(bias: torch.Tensor | None) -> None:
    found = make_product(WEIGHT, bias, "int8")(X)
    scale = X.norm(dim=-1, keepdim=True) * WEIGHT.norm(dim=-1)
    exact = F.linear(X, WEIGHT, bias)
    assert ((found - exact).abs() / scale).max() < 6e-3
    if not quantised._whole_numbers() or not processor_features().get("avx512_vnni"):
        pytest.skip("this processor rounds otherwise")
    expected = F.linear(rounded_input(X), rounded_weight(WEIGHT), bias)
    assert ((found - expected).abs() / scale).max() < 1e-5


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("bias", [BIAS, None])
def test_every_way_of_a_kind_agrees(kind: WeightKind, bias: torch.Tensor | None) -> None:
    usual = make_product(WEIGHT, bias, kind)(X)
    if kind == "int8":
        elsewhere = quantised._int8(WEIGHT, bias)(X)
    else:
        elsewhere = quantised._plain(WEIGHT.to(getattr(torch, kind)), bias)(X)
    scale = X.norm(dim=-1, keepdim=True) * WEIGHT.norm(dim=-1)
    assert ((usual - elsewhere).abs() / scale).max() < {"float32": 1e-6}.get(kind, 6e-3)
    assert usual.dtype == elsewhere.dtype == torch.float32


def test_a_row_in_int8_does_not_depend_on_its_neighbours() -> None:
    product = make_product(WEIGHT, BIAS, "int8")
    together = product(X)
    for row in range(2):
        for place in range(3):
            alone = product(X[row : row + 1, place : place + 1])
            assert torch.equal(alone[0, 0], together[row, place])


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
def test_one_row_alone_is_what_it_is_among_others(kind: WeightKind) -> None:
    draw = torch.Generator().manual_seed(4)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # with more, PyTorch's own products share the reading
    try:
        for inputs, outputs in ((1, 1), (7, 3), (64, 33), (770, 129), (1024, 8)):
            weight = torch.randn(outputs, inputs, generator=draw)
            rows = torch.randn(5, inputs, generator=draw) * torch.logspace(-3, 3, 5)[:, None]
            for bias in (None, torch.randn(outputs, generator=draw)):
                product = make_product(weight, bias, kind)
                together, alone = product(rows), [product(row[None]) for row in rows]
                assert all(row.dtype == torch.float32 for row in alone)
                if kind == "int8":
                    assert torch.equal(torch.cat(alone), together)
                    continue
                scale = rows.norm(dim=-1, keepdim=True) * weight.norm(dim=-1) + 1e-30
                close = {"float32": 1e-6, "bfloat16": 2**-8}[kind]
                offset = 0 if bias is None else bias.abs()
                error = (torch.cat(alone) - together).abs()
                assert (error <= close * (scale + offset)).all()
    finally:
        torch.set_num_threads(before)


def test_what_is_not_finite_stays_so_in_one_row() -> None:
    row, weight = torch.tensor([1.0, 2.0]), torch.tensor([[float("inf"), 1.0], [float("nan"), 1.0]])
    out = np.zeros(2, dtype=np.float32)
    float_row(row.numpy(), weight.numpy(), np.zeros(2, dtype=np.float32), out)
    assert np.isinf(out[0])
    assert np.isnan(out[1])


def test_nothing_at_all_stays_nothing() -> None:
    assert torch.equal(make_product(WEIGHT, None, "int8")(torch.zeros(1, 40)), torch.zeros(1, 24))
    empty = make_product(torch.zeros(3, 40), None, "int8")(X)
    assert torch.equal(empty, torch.zeros(2, 3, 3))


@pytest.mark.parametrize(
    "config",
    [
        TransformerConfig(layers=2, d_model=64, heads=4, bias=True, tied_head=True),
        TransformerConfig(layers=2, d_model=64, heads=4, attention="mla", output_softcap=9.0),
        TransformerConfig(layers=2, d_model=64, heads=4, vocab_multiple=16, feedforward="gelu"),
    ],
)
def test_a_model_in_fewer_bits_is_close_and_leaves_the_first_one_alone(
    config: TransformerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised, "SMALLEST", 1)
    model = build_model(config, vocab_size=50, context_length=16, seed=4).eval()
    tokens = torch.randint(0, 50, (3, 9), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        exact, _ = model(tokens)
        off = {}
        for kind in ("float32", "bfloat16", "int8"):
            copy = quantise(model, kind)
            logits, _ = copy(tokens)
            off[kind] = float((logits - exact).norm() / exact.norm())
            state = copy.init_state(3)
            _, state = copy(tokens[:, :8], state)
            stepped, _ = copy(tokens[:, 8:], state)
            assert float((stepped[:, 0] - exact[:, 8]).norm() / exact[:, 8].norm()) < 0.06
            assert copy.vocab_size == 50
        assert off["float32"] < 1e-6 < off["bfloat16"] < 0.02
        assert off["bfloat16"] < off["int8"] < 0.06
        assert torch.equal(model(tokens)[0], exact)


def test_models_without_matrices_say_so() -> None:
    for config in (BigramConfig(), LSTMConfig(d_model=8)):
        model = build_model(config, vocab_size=5, context_length=4, seed=1)
        with pytest.raises(GenerationError, match="only a transformer"):
            quantise(model, "int8")
        assert torch.equal(
            quantise(model, "float32")(torch.tensor([[1]]))[0], model(torch.tensor([[1]]))[0]
        )
    with pytest.raises(GenerationError, match="float32, bfloat16, int8"):
        quantise(build_model(BigramConfig(), vocab_size=5, context_length=4, seed=1), "int4")  # type: ignore[arg-type]
