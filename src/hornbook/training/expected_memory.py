"""Before anything is built: will a step fit into the memory that there is?

It is a formula's answer (``inspection.accounting``), right within a tenth. So a run is refused only
where not even its weights, gradients and optimizer have room, and told of where a step may not fit.
"""

from __future__ import annotations

from pathlib import Path

from hornbook.errors import RunError
from hornbook.inspection.accounting.account import plan_of
from hornbook.inspection.accounting.fitting import cannot_fit, may_not_fit, remedies
from hornbook.inspection.accounting.peak import TOLERANCE, Plan, training_memory
from hornbook.listener import Listener
from hornbook.runs.config import RunConfig
from hornbook.training.equipment import Equipment
from hornbook.training.preflight_machine import device_memory, in_bytes


def expect_memory(
    config: RunConfig, equipment: Equipment, vocab_size: int, listener: Listener
) -> None:
    """Tell ``listener`` where a step may not fit, and what would.

    Several ranks may share weights among them, so only a run of one process is looked at.

    Raises:
        RunError: when the run cannot fit at all.
    """
    there = memory_there(equipment)
    if equipment.ranks.count > 1 or there is None:
        return
    plan = expected_plan(config, equipment, vocab_size)
    if not may_not_fit(plan, there):
        return
    words = in_words(plan, there, equipment)
    if cannot_fit(plan, there):
        raise RunError(f"The run does not fit into memory: {words}")
    listener.notice(f"this may not fit into memory: {words}")


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
    would = list(remedies(plan, there))
    advice = f"What would fit: {', or '.join(would)}." if would else (
        "Choose less of model.d_model, model.layers or tokenizer.vocab_size."
    )  # fmt: skip
    return f"{needed}, and {equipment.device.type} has {in_bytes(there)}. {advice}"


def memory_there(equipment: Equipment) -> int | None:
    """How much memory the device has at all [bytes], swap included; ``None`` where unknown."""
    total = device_memory(equipment.device)
    if total is None or equipment.device.type == "cuda":
        return total
    return total + _swap()


def _swap() -> int:
    """Bytes that Linux can put aside on a disk; 0 where nothing is known of it."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    found = [line.split()[1] for line in lines if line.startswith("SwapTotal:")]
    return int(found[0]) << 10 if found else 0
