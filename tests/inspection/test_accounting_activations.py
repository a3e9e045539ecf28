"""What the forward pass keeps, against what PyTorch's graph holds on to for the backward pass."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from accounted_models import MODELS, named

from hornbook.inspection.accounting.activations import activations, bytes_of
from hornbook.inspection.accounting.execution import Execution
from hornbook.inspection.accounting.sizes import Sizes
from hornbook.models import build_model
from hornbook.training.batch_loss import BatchLoss, Count

VOCAB, ROWS = 50, 3
CLOSE = 0.002
"""What may differ for a scalar here and there."""
LESS_CLOSE = {"lstm": 0.05, "rnn": 0.02}
"""Recurrent kernels begin with a vector of zeros, and an LSTM's has a room of its own."""


def kept_by_torch(config: Any, time: int, short: bool, segments: torch.Tensor | None) -> int:
    """Bytes of everything that the graph keeps, but for weights, tables and the batch itself."""
    model = build_model(config, vocab_size=VOCAB, context_length=time, seed=1).train()
    tokens, targets = (torch.randint(0, VOCAB, (ROWS, time)) for _ in range(2))
    there = [*model.parameters(), *model.buffers(), tokens, targets]
    known = {tensor.untyped_storage().data_ptr() for tensor in there}
    kept: dict[int, int] = {}
    alive: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)  # or its memory would be used again
        return tensor

    precision = torch.autocast("cpu", dtype=torch.bfloat16) if short else contextlib.nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), precision:
        BatchLoss(model)(tokens, targets, Count(tokens.numel()), None, None, segments)
    return sum(kept.values())


@pytest.mark.parametrize("short", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("config", MODELS[:-1], ids=named)
def test_what_is_kept_is_what_the_graph_keeps(config: Any, short: bool) -> None:
    sizes = Sizes.of(config, vocab_size=VOCAB, context_length=32, batch=ROWS)
    found = bytes_of(activations(sizes, Execution(short=short)))
    real = kept_by_torch(config, 32, short, None)
    assert found == pytest.approx(real, rel=LESS_CLOSE.get(config.kind, CLOSE))


@pytest.mark.parametrize("short", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(
    "config",
    [
        c
        for c in MODELS
        if c.kind == "transformer" and (c.window or c.positions in ("alibi", "none"))
    ],
    ids=named,
)
def test_longer_rows_go_by_windows_and_without_the_short_kernel(config: Any, short: bool) -> None:
    sizes = Sizes.of(config, vocab_size=VOCAB, context_length=160, batch=ROWS)
    found = bytes_of(activations(sizes, Execution(short=short)))
    assert found == pytest.approx(kept_by_torch(config, 160, short, None), rel=0.01)


@pytest.mark.parametrize("short", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(("time", "close"), [(48, CLOSE), (320, 0.06)])
def test_packed_rows_keep_masks_or_stand_beside_each_other(
    short: bool, time: int, close: float
) -> None:
    config = MODELS[0]
    documents = (torch.arange(time) // (time // 2))[None].expand(ROWS, time).contiguous()
    sizes = Sizes.of(config, vocab_size=VOCAB, context_length=time, batch=ROWS)
    found = bytes_of(activations(sizes, Execution(short=short, segmented=True)))
    assert found == pytest.approx(kept_by_torch(config, time, short, documents), rel=close)


def test_materialised_scores_are_one_matrix_a_head_more() -> None:
    sizes = Sizes.of(MODELS[0], vocab_size=VOCAB, context_length=128, batch=ROWS)
    fused, written_out = (
        activations(sizes, Execution(attention=attention))
        for attention in ("fused", "materialised")
    )
    weights = [count for count in written_out if count.what == "weights"]
    assert weights[0].amount.value == 3 * ROWS * 4 * 128 * 128 * 4
    assert bytes_of(written_out) > bytes_of(fused)
    assert not [count for count in fused if count.what == "weights"]
