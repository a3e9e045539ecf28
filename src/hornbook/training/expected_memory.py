"""Before anything is built: will a step fit into the memory that there is?

It is a formula's answer (``inspection.accounting``), right within a tenth:

    estimate less a tenth  ≤  memory there  <  estimate and a tenth     told, and tried
    memory there  <  estimate less a tenth                              refused

A CPU's system promises memory that it does not have, and kills who then uses it: nothing is raised
that could be explained, so such a step must not even be tried. CUDA and MPS raise an error instead,
and what fits is then tried out. There a run is refused only where not even weights, gradients and
optimizer have room.
"""

from __future__ import annotations

from hornbook.errors import RunError
from hornbook.inspection.accounting.account import plan_of
from hornbook.inspection.accounting.fitting import (
    cannot_fit,
    may_not_fit,
    remedies,
    step_cannot_fit,
)
from hornbook.inspection.accounting.peak import TOLERANCE, Plan, training_memory
from hornbook.listener import Listener
from hornbook.runs.config import RunConfig
from hornbook.training.equipment import Equipment
from hornbook.training.free_memory import SAFE, free_memory
from hornbook.training.memory_there import memory_there
from hornbook.training.preflight_machine import in_bytes


def expect_memory(
    config: RunConfig,
    equipment: Equipment,
    vocab_size: int,
    listener: Listener,
    *,
    rehearsed: bool = False,
) -> None:
    """Tell ``listener`` where a step may not fit, and what would.

    Args:
        config: the run's settings.
        equipment: what it is trained with. Several ranks may share weights among them, so only a
            run of one process is looked at.
        vocab_size: entries of its vocabulary.
        listener: who watches.
        rehearsed: whether a step that cannot fit is told by ``lacking_memory``, not refused here.

    Raises:
        RunError: when the run cannot fit.
    """
    there = memory_there(equipment.device)
    if equipment.ranks.count > 1 or there is None:
        return
    plan = expected_plan(config, equipment, vocab_size)
    if not may_not_fit(plan, there):
        return
    words, lacking = in_words(plan, there, equipment), _step_is_lethal(plan, there, equipment)
    if cannot_fit(plan, there) or (lacking and not rehearsed):
        raise RunError(f"The run does not fit into memory: {words}")
    if not lacking:
        listener.notice(f"this may not fit into memory: {words}")


def lacking_memory(config: RunConfig, equipment: Equipment, vocab_size: int) -> str:
    """Why no step of a run may be tried, and what would fit; nothing where one may.

    The arguments are those of ``expect_memory``.
    """
    there = memory_there(equipment.device)
    plan = expected_plan(config, equipment, vocab_size)
    if equipment.ranks.count > 1 or there is None or not _step_is_lethal(plan, there, equipment):
        return ""
    return in_words(plan, there, equipment)


def _step_is_lethal(plan: Plan, there: int, equipment: Equipment) -> bool:
    """Whether the system would kill who tries a step, in place of refusing the memory."""
    return equipment.device.type == "cpu" and step_cannot_fit(plan, there)


def expected_plan(config: RunConfig, equipment: Equipment, vocab_size: int) -> Plan:
    """What of a step of this run memory depends on."""
    short = equipment.precision.name != "float32"
    return plan_of(config, vocab_size, device=equipment.device.type, short=short)


def in_words(plan: Plan, there: int, equipment: Equipment) -> str:
    """How much is needed, how much there is, and what would fit."""
    found = training_memory(plan)
    needed = f"a step takes about {in_bytes(found.peak)} (±{TOLERANCE:.0%})"
    if cannot_fit(plan, there):
        standing = found.weights + found.gradients + found.optimizer
        needed = f"weights, gradients and {plan.optimizer.kind} alone take {in_bytes(standing)}"
    would = list(remedies(plan, _advisable(there, equipment)))
    advice = f"What would fit: {', or '.join(would)}." if would else (
        "Choose less of model.d_model, model.layers or tokenizer.vocab_size."
    )  # fmt: skip
    return f"{needed}, and {equipment.device.type} has {in_bytes(there)}. {advice}"


def _advisable(there: int, equipment: Equipment) -> int:
    """What a step may take that is advised [bytes]: it must fit beside what runs here already."""
    free = free_memory(equipment.device)
    return there if free is None else min(there, int(SAFE * free))
