"""The estimated peak of a training step against what PyTorch's allocator was asked for in one.

Resident memory would measure the interpreter, libraries and what the allocator of C keeps. So every
allocation and release of a tensor inside a real step is added up instead: by PyTorch's profiler on
a CPU, by its allocator's own account on CUDA.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from hornbook.data import Batch
from hornbook.inspection.accounting.account import Account, account_of
from hornbook.inspection.accounting.peak import TOLERANCE, largest_batch, training_memory
from hornbook.models import TransformerConfig, build_model
from hornbook.optimization import optimizer_tensors
from hornbook.runs.assembly import make_optimizer
from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import resolve
from hornbook.training.equipment import choose_equipment, make_step, spread_out


def a_step(config: RunConfig, vocab_size: int) -> tuple[Callable[[], None], int]:
    """A step of training that has been taken twice already, and what stands in memory before it."""
    equipment, plan, length = choose_equipment(config), config.training, config.context_length
    settings = config.model
    if isinstance(settings, TransformerConfig):
        settings = settings.model_copy(update={"position_count": config.position_count})
    model = build_model(settings, vocab_size=vocab_size, context_length=length, seed=1)
    spread = spread_out(config, equipment, model)
    optimizer = make_optimizer(config, model.train())
    step = make_step(config, equipment, model, optimizer, spread=spread)
    size = plan.micro_batch_size or plan.batch_size
    ids = torch.randint(0, vocab_size, (plan.batch_size, length))
    parts = [Batch(p, p.clone(), p.numel()).to(equipment.device) for p in ids.split(size)]

    def take() -> None:
        with equipment.in_use():
            step(parts, learning_rate=1e-4, dropout_seed=1, measuring=True)

    for _ in range(2):
        take()
    optimizer.zero_grad(set_to_none=True)
    tensors = [*model.parameters(), *model.buffers(), *optimizer_tensors(optimizer, model).values()]
    tensors += [tensor for part in parts for tensor in (part.tokens, part.targets)]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return take, sum(storages.values())


def peak_on_cpu(config: RunConfig, vocab_size: int) -> int:
    take, standing = a_step(config, vocab_size)
    gc.collect()  # what an earlier test left would be released in this step
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        take()
    events = [e for e in watched.profiler.kineto_results.events() if e.name() == "[memory]"]  # pyright: ignore
    now = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()  # pyright: ignore
        highest = max(highest, now)
    return standing + highest


def estimated(config: RunConfig, vocab_size: int) -> Account:
    return account_of(config, vocab_size=vocab_size, device=config.training.device)


SMALL = [
    "training.device=cpu",
    "training.threads=1",
    "training.batch_size=4",
    "model.layers=2",
]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("vocab_size", "changes"),
    [
        (512, []),
        (8192, ["training.batch_size=9"]),  # logits in chunks
        (512, ["model.dropout=0", "training.micro_batch_size=2"]),
        (256, ["training.activation_checkpointing=true", "model.layers=4"]),
        (256, ["model.positions=learned", "model.norm=layernorm", "model.feedforward=gelu"]),
        (256, ["model.attention=mla", "model.bias=true"]),
        (256, ["model.attention_dropout=0.1", "context_length=256", "training.batch_size=2"]),
        (256, ["context_length=512", "training.batch_size=1"]),
        (256, ["model.kind=lstm"]),
        (256, ["model.kind=gru", "context_length=32"]),
        (256, ["model.kind=rnn", "context_length=32"]),
        (256, ["model.kind=bigram"]),
        (256, ["model.d_model=192", "context_length=16", "training.batch_size=1"]),
        (256, ["model.d_model=192", "context_length=16", "training.optimizer.kind=muon"]),
        (256, ["model.d_model=192", "context_length=16", "training.optimizer.kind=sgd"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_the_peak_is_that_of_a_step_on_a_cpu(
    vocab_size: int, changes: list[str], precision: str
) -> None:
    small = SMALL if "model.kind=bigram" not in changes else SMALL[:-1]  # it has no layers
    words = [*small, f"training.precision={precision}", *changes]
    config = resolve(preset="small", overrides=words)
    found = estimated(config, vocab_size).memory.peak
    assert found == pytest.approx(peak_on_cpu(config, vocab_size), rel=TOLERANCE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["model.attention=mla"],
        ["model.positions=learned", "model.norm=layernorm", "model.feedforward=gelu"],
        ["training.activation_checkpointing=true"],
        ["context_length=16", "training.optimizer.kind=muon"],
    ],
    ids=" ".join,
)
def test_the_peak_is_that_of_a_step_on_cuda(changes: list[str], precision: str) -> None:
    words = ["training.device=cuda", "model.d_model=512", "training.compile=false"]
    words += ["training.batch_size=32", "context_length=256", f"training.precision={precision}"]
    config = resolve(preset="small", overrides=[*words, *changes])
    take, _ = a_step(config, 2048)
    torch.cuda.reset_peak_memory_stats()
    take()
    found = estimated(config, 2048).memory.peak
    assert found == pytest.approx(torch.cuda.max_memory_allocated(), rel=TOLERANCE)


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    plan = estimated(resolve(preset="small", overrides=SMALL), 512).plan
    for memory in (20_000_000, 500_000_000, 10**11):
        fits = largest_batch(plan, memory)
        assert training_memory(plan.with_batch(fits or 1)).peak <= memory or not fits
        assert training_memory(plan.with_batch(fits + 1)).peak > memory
    assert largest_batch(plan, 1000) == 0


@pytest.mark.parametrize("name", ["gpt2", "gpt2-xl-swiglu", "small"])
def test_checkpointing_and_micro_batches_take_less(name: str) -> None:
    def peak(*words: Any) -> int:
        config = resolve(preset=name, overrides=["training.device=cpu", *words])
        return estimated(config, 2048).memory.peak

    plain = "training.activation_checkpointing=false"
    batches = "training.batch_size=24", "training.micro_batch_size=24"
    assert peak(*batches, "training.activation_checkpointing=true") < peak(*batches, plain)
    assert peak("training.batch_size=24", "training.micro_batch_size=2", plain) < peak(
        *batches, plain
    )
