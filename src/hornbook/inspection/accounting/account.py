"""The whole account of a run: what it learns, computes and needs, before anything is built.

    account = account_of(resolve(preset="small"), vocab_size=2048)
    account.weights                   1_053_824
    account.memory.peak               178_500_000 or so, on a CPU in bfloat16
    account.tokens_per_second(...)

Everything is a formula of the settings; nothing is built, allocated or tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch

from hornbook.inspection.accounting.activations import activations, bytes_of
from hornbook.inspection.accounting.devices import (
    Card,
    card_called,
    card_of_word,
    peak_of,
    precisions,
)
from hornbook.inspection.accounting.execution import LONG, Execution
from hornbook.inspection.accounting.parameters import Count, parameters
from hornbook.inspection.accounting.peak import Memory, Plan, training_memory
from hornbook.inspection.accounting.products import BACKWARD_PASSES, forward_flops, products
from hornbook.inspection.accounting.quantity import symbol
from hornbook.inspection.accounting.sizes import Sizes
from hornbook.inspection.accounting.standing import counting, optimizer_state, tables, weight_count
from hornbook.models import BigramCountsConfig, TransformerConfig, build_model
from hornbook.models.undrawn import undrawn
from hornbook.optimization import freeze
from hornbook.processor import bfloat16_unit
from hornbook.runs.config import RunConfig

ASSUMED_CHARACTERS = 100
"""Entries of a vocabulary of characters, which the text alone decides: English has about so many
with its digits and signs."""

SEVERAL_BYTES = 257
"""Entries of a vocabulary of bytes: 256, and the end of a text."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a run learns, computes and needs.

    Attributes:
        config: its settings.
        plan: of a training step.
        precision: of its products: float32, bfloat16 or float16.
        card: the device, where it is a known one.
        parameters: what it learns, by part.
        products: FLOPs of one window's forward pass, by product.
        kept: bytes that the forward pass keeps, by part.
        standing: bytes that stand there all the time beside weights and gradients.
        memory: what a training step takes.
    """

    config: RunConfig
    plan: Plan
    precision: str
    card: Card | None
    parameters: list[Count]
    products: list[Count]
    kept: list[Count]
    standing: list[Count]
    memory: Memory

    @property
    def sizes(self) -> Sizes:
        """The symbols of its formulas."""
        return self.plan.sizes

    @property
    def weights(self) -> int:
        """How many numbers it learns."""
        return weight_count(self.sizes)

    @property
    def forward_flops(self) -> int:
        """FLOPs of one window's forward pass."""
        return forward_flops(self.sizes)

    @property
    def training_flops(self) -> int:
        """FLOPs of one window in training, forward and backward."""
        return (1 + BACKWARD_PASSES) * self.forward_flops

    @property
    def peak_flops(self) -> float | None:
        """What the device could do at best [FLOP a second]; ``None`` where unknown."""
        if self.card is None:
            return None
        return peak_of(self.card, self.precision, tf32=self.config.training.tf32)

    @property
    def planned_tokens(self) -> int:
        """Tokens that the settings train on, in whole windows."""
        plan = self.config.training
        return plan.steps * plan.batch_size * self.config.context_length

    def tokens_per_second(self, flops_per_second: float) -> float | None:
        """How many tokens are trained on at so many FLOP a second; ``None`` without products."""
        if not self.training_flops:
            return None
        return flops_per_second * self.sizes.T.value / self.training_flops

    def kept_otherwise(self) -> dict[str, int]:
        """Bytes that the forward pass would keep if attention or blocks were computed otherwise."""
        how, sizes, config = self.plan.how, self.sizes, self.sizes.config
        if not isinstance(config, TransformerConfig):
            return {}

        def kept(attention: Literal["fused", "materialised"]) -> int:
            return bytes_of(activations(sizes, replace(how, attention=attention)))

        found = {}
        if not (config.attention_softcap or (config.attention_dropout and how.device != "cuda")):
            found["with attention in a fused kernel (SDPA)"] = kept("fused")
        found["with the scores of attention materialised"] = kept("materialised")
        recomputing = replace(self.plan, checkpointing=True)
        found["with activation checkpointing"] = training_memory(recomputing).kept
        return found


def account_of(
    config: RunConfig,
    *,
    vocab_size: int,
    batch: int | None = None,
    device: str | None = None,
) -> Account:
    """Account for a run.

    Args:
        config: its settings.
        vocab_size: entries of its vocabulary.
        batch: windows that go through the model at once; those of the settings unless given.
        device: cpu, cuda, mps or a known card; that of the settings, as it is here, unless given.

    Raises:
        HornbookError: when the device is not known.
    """
    kind, card = _device(device or config.training.device)
    precision = _precision(config.training.precision, kind, card)
    short = precision != "float32"
    step = plan_of(config, vocab_size, device=kind, short=short, batch=batch)
    sizes, how = step.sizes, step.how
    counted = isinstance(sizes.config, BigramCountsConfig)  # in one pass, without gradients
    return Account(
        config=config,
        plan=step,
        precision=precision,
        card=card,
        parameters=parameters(sizes),
        products=products(sizes),
        kept=[] if counted else activations(sizes, how),
        standing=counting(sizes) if counted else list(_standing(step)),
        memory=training_memory(step),
    )


def plan_of(
    config: RunConfig, vocab_size: int, *, device: str, short: bool, batch: int | None = None
) -> Plan:
    """What of a run's training step memory depends on.

    Args:
        config: the run's settings.
        vocab_size: entries of its vocabulary.
        device: cpu, cuda or mps.
        short: whether products are computed in bfloat16 or float16.
        batch: windows that go through the model at once; those of the settings unless given.
    """
    plan = config.training
    at_once = batch or plan.micro_batch_size or plan.batch_size
    return Plan(
        sizes_of(config, vocab_size, at_once),
        Execution(device=device, short=short, segmented=config.data.windows != "stream"),
        plan.optimizer,
        checkpointing=plan.activation_checkpointing,
        accumulates=at_once < plan.batch_size,
        trained=_trained(config, vocab_size) if plan.freeze else None,
    )


def sizes_of(config: RunConfig, vocab_size: int, batch: int) -> Sizes:
    """The symbols of a run, with ``position_count`` resolved."""
    model = config.model
    if isinstance(model, TransformerConfig):
        model = model.model_copy(update={"position_count": config.position_count})
    return Sizes.of(model, vocab_size=vocab_size, context_length=config.context_length, batch=batch)


def assumed_vocabulary(config: RunConfig) -> tuple[int, str]:
    """How many entries a vocabulary will have that is not learned yet, and why so many.

    >>> assumed_vocabulary(RunConfig())
    (4096, 'as tokenizer.vocab_size says')
    """
    size: int = getattr(config.tokenizer, "vocab_size", 0)
    if size:
        return size, "as tokenizer.vocab_size says"
    if config.tokenizer.kind == "byte":
        return SEVERAL_BYTES, "the bytes and the end of a text"
    return ASSUMED_CHARACTERS, (
        f"assumed, for tokenizer.kind={config.tokenizer.kind} learns it from the text; "
        "--vocab-size says better"
    )


def _standing(plan: Plan) -> Iterator[Count]:
    """Weights, gradients, what the optimizer remembers, and tables."""
    every = symbol("parameters", weight_count(plan.sizes))
    trained = symbol("trained", plan.trained_weights) if plan.trained is not None else every
    yield Count("other", "weights", every * LONG)
    yield Count("other", "gradients", trained * LONG)
    yield from optimizer_state(plan.sizes, plan.optimizer, plan.trained_weights)
    yield from tables(plan.sizes)


def _device(name: str) -> tuple[str, Card | None]:
    """What kind of device it is, and which card if that is known."""
    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.partition(":")[0].lower()
    if kind in ("cpu", "mps"):
        return kind, None
    if kind == "cuda":
        return "cuda", _card_here()
    return "cuda", card_of_word(name)


def _card_here() -> Card | None:
    return card_called(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def _precision(wanted: str, kind: str, card: Card | None) -> str:
    """What ``training.precision`` comes to on a device that may not be here."""
    if wanted != "auto":
        return wanted
    if kind == "cuda":
        return next(precisions(card), "float32") if card is not None else "bfloat16"
    return "bfloat16" if kind == "cpu" and bfloat16_unit() is not None else "float32"


def _trained(config: RunConfig, vocab_size: int) -> int:
    """Weights that ``training.freeze`` leaves, counted on a model without memory."""
    with torch.device("meta"), undrawn():
        model = build_model(
            config.model, vocab_size=vocab_size, context_length=config.context_length, seed=0
        )
    freeze(model, config.training.freeze)
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
