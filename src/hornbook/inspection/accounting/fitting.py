"""What to say of a step before it is taken: will it fit into memory, and if not, what would?

a step needs about 19.4 GB (±10%) and there are 16.0 GB. What would fit:
  training.micro_batch_size=9
  training.activation_checkpointing=true
  context_length=512
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hornbook.inspection.accounting.peak import TOLERANCE, Plan, largest_batch, training_memory
from hornbook.inspection.accounting.sizes import Sizes
from hornbook.models import BigramCountsConfig, TransformerConfig

SHORTEST_CONTEXT = 16
"""Shorter ones are no remedy [tokens]."""


def may_not_fit(plan: Plan, memory: int) -> bool:
    """Whether a step of ``plan`` may need more than ``memory`` [bytes], within the tolerance."""
    return training_memory(plan).peak * (1 + TOLERANCE) > memory


def step_cannot_fit(plan: Plan, memory: int) -> bool:
    """Whether a step of ``plan`` needs more than ``memory`` [bytes], whatever the tolerance."""
    return training_memory(plan).peak * (1 - TOLERANCE) > memory


def cannot_fit(plan: Plan, memory: int) -> bool:
    """Whether not even weights, gradients and the optimizer's state have room: that is certain."""
    found = training_memory(plan)
    return found.weights + found.gradients + found.optimizer > memory


def remedies(plan: Plan, memory: int) -> Iterator[str]:
    """Settings under which a step fits into ``memory`` [bytes], those that change least first."""
    safe = int(memory / (1 + TOLERANCE))
    if isinstance(plan.sizes.config, BigramCountsConfig):
        return
    accumulating = replace(plan, accumulates=True)
    windows = plan.sizes.B.value
    fits = min(largest_batch(accumulating, safe), windows)
    if 0 < fits < windows:
        yield f"training.micro_batch_size={fits}"
    recomputing = replace(accumulating, checkpointing=True)
    if isinstance(plan.sizes.config, TransformerConfig) and not plan.checkpointing:
        fits = min(largest_batch(recomputing, safe), windows)
        with_fewer = f" training.micro_batch_size={fits}" if fits < windows else ""
        if fits:
            yield f"training.activation_checkpointing=true{with_fewer}"
    shorter = _shorter_context(plan, safe)
    if shorter:
        yield f"context_length={shorter}"


def _shorter_context(plan: Plan, memory: int) -> int:
    """The longest half, quarter, … of the context whose step fits; 0 if none does."""
    sizes = plan.sizes
    length = sizes.T.value // 2
    while length >= SHORTEST_CONTEXT:
        shorter = Sizes.of(
            sizes.config, vocab_size=sizes.V.value, context_length=length, batch=sizes.B.value
        )
        if training_memory(replace(plan, sizes=shorter)).peak <= memory:
            return length
        length //= 2
    return 0
