"""The count of FLOPs against PyTorch's own counter, which watches what is really multiplied."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accounted_models import MODELS, TRANSFORMERS, named
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hornbook.inspection.accounting.products import forward_flops, training_flops_per_token
from hornbook.inspection.accounting.sizes import Sizes
from hornbook.models import LanguageModel, build_model
from hornbook.runs.resolution import preset_names, resolve

pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration")


def counted_by_torch(model: LanguageModel, time: int, *, backward: bool = False) -> int:
    # What runs in one opaque kernel is not seen by the counter.
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.mkldnn.flags(enabled=False, allow_tf32=False),
        FlopCounterMode(display=False) as counter,
    ):
        logits, _ = model(torch.zeros(1, time, dtype=torch.long))
        if backward:
            logits.sum().backward()
    return counter.get_total_flops()


def counted(model: LanguageModel, time: int) -> int:
    return forward_flops(Sizes.of_model(model, context_length=time))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_counted_as_torch_counts_it(name: str) -> None:
    config = resolve(preset=name)
    small: dict[str, Any] = {}
    if config.model.kind == "transformer" and config.model.d_model > 256:  # the form, not the size
        small = {"layers": 2, "d_model": 16 * config.model.heads, "d_ff": 0}
    settings = config.model.model_copy(update=small)
    model = build_model(settings, vocab_size=300, context_length=48, seed=1).eval()
    assert counted(model, 48) == counted_by_torch(model, 48) > 0
    assert training_flops_per_token(model, 48) == 3 * counted(model, 48) / 48


@pytest.mark.parametrize("config", MODELS, ids=named)
def test_every_choice_is_counted_as_torch_counts_it(config: Any) -> None:
    model = build_model(config, vocab_size=77, context_length=12, seed=1).eval()
    assert counted(model, 12) == counted_by_torch(model, 12)


@pytest.mark.parametrize("config", TRANSFORMERS[::4], ids=named)
def test_a_backward_pass_is_worth_two_forward_passes(config: Any) -> None:
    model = build_model(config, vocab_size=77, context_length=12, seed=1).eval()
    assert counted_by_torch(model, 12, backward=True) == 3 * counted(model, 12)
