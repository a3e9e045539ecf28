"""Checks of the machine: does the device compute, does a step fit, is there room on the disk?

A few real steps are taken, with the run's own optimizer, precision and compiler; what they cost is
measured. They change the model, which must not be trained afterwards.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from hornbook.durable import ASIDE
from hornbook.training.equipment import Equipment
from hornbook.training.memory_there import memory_there
from hornbook.training.peak_memory import peak_memory
from hornbook.training.preflight_check import Check

_SIDE = 64
_UNIT = {"float32": 2.0**-23, "tf32": 2.0**-10, "float16": 2.0**-10, "bfloat16": 2.0**-7}
ROUNDINGS = 4
"""So many units of its precision may a product of matrices be off, on average."""


def device_computes(equipment: Equipment) -> Check:
    """Multiply two small matrices on the device, as a step does, and compare with float64."""
    precision, device = equipment.precision, equipment.device
    draw = torch.Generator().manual_seed(1)
    left, right = (torch.randn(_SIDE, _SIDE, generator=draw) for _ in range(2))
    with precision.products():
        found = (left.to(device) @ right.to(device)).cpu().double()
    exact = left.double() @ right.double()
    error = float((found - exact).abs().mean() / exact.abs().mean())
    rounded = precision.tf32 and device.type == "cuda" and precision.name == "float32"
    unit = _UNIT["tf32" if rounded else precision.name]
    numbers = {"device": str(device), "precision": precision.name, "relative_error": error}
    if not error < ROUNDINGS * unit:  # also if it is not a number
        reason = (
            f"{equipment}: a product of matrices is off by {error:.1e} of its size, and "
            f"{ROUNDINGS * unit:.0e} is the most that {precision.name} may be"
        )
        return Check("device", "fail", reason, numbers, grave=True)
    return Check("device", "pass", f"{equipment}; a product is right to {error:.0e}", numbers)


@dataclass(frozen=True, slots=True)
class MeasuredSteps:
    """What some steps cost.

    Attributes:
        seconds: of each.
        losses: of each [nats per token].
        finite: whether every loss and gradient was, or was skipped as float16 may.
        memory_before, memory_peak: of the device, or of the process on a CPU [bytes]; ``None``
            where the system does not say.
        refused: what did not fit into memory, in words; then there is nothing else.
    """

    seconds: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    finite: bool = True
    memory_before: int | None = None
    memory_peak: int | None = None
    refused: str = ""


def finite_steps(measured: MeasuredSteps) -> Check:
    """Whether the first steps of the run end in numbers."""
    losses = " ".join(f"{loss:.3f}" for loss in measured.losses)
    count = len(measured.losses)
    steps = f"{count} step{'' if count == 1 else 's'}"
    numbers = {"losses": [loss if math.isfinite(loss) else None for loss in measured.losses]}
    if measured.refused:
        return Check("steps", "fail", "no step could be taken; see memory", numbers)
    if not measured.finite:
        reason = f"after {steps} the loss or a gradient is not finite: {losses}"
        return Check("steps", "fail", reason, numbers)
    return Check("steps", "pass", f"{steps} of the run on trial: loss {losses}", numbers)


def memory_needed(measured: MeasuredSteps, device: torch.device, expected: int) -> Check:
    """How much memory a step takes, as measured, beside what it was expected to."""
    there = memory_there(device)
    numbers = {"available_bytes": there, "expected_bytes": expected}
    if measured.refused:
        return Check("memory", "fail", measured.refused, numbers)
    peak, before = measured.memory_peak, measured.memory_before
    if peak is None or before is None:
        return Check("memory", "skip", "the system does not say; the steps fitted")
    peak = max(peak, before)
    numbers = {"peak_bytes": peak, "before_bytes": before, **numbers}
    whose = str(device) if device.type != "cpu" else "this process"
    of = f" of {in_bytes(there)}" if there else ""
    reason = (
        f"{in_bytes(peak)}{of} at the peak of a step, measured on {whose}; "
        f"{in_bytes(before)} before the first; weights and a step should take {in_bytes(expected)}"
    )
    return Check("memory", "pass", reason, numbers)


def time_needed(
    measured: MeasuredSteps, *, steps: int, evaluations: int, evaluation_seconds: float
) -> Check:
    """How long the run will take, from the fastest of the measured steps.

    Args:
        measured: at least one step.
        steps: how many are left, counted in steps of the measured size.
        evaluations: how many measurements on the validation side are left.
        evaluation_seconds: of one.
    """
    if not measured.seconds:
        return Check("time", "skip", "no step could be measured")
    each = min(measured.seconds)
    training, evaluating = each * steps, evaluations * evaluation_seconds
    numbers = {
        "seconds_a_step": each,
        "steps_left": steps,
        "training_seconds": training,
        "evaluation_seconds": evaluating,
    }
    reason = (
        f"about {in_words(training + evaluating)}: {steps:,} steps of {in_words(each)}, "
        f"{evaluations:,} measurements of {in_words(evaluation_seconds)}"
    )
    first = measured.seconds[0]
    if first > 2 * each + 1:
        reason += f"; the first step took {in_words(first)}"
    return Check("time", "pass", reason, numbers)


def place_is_ready(
    place: Path, *, exists: bool, checkpoint_bytes: int, checkpoints: int, estimated: bool = False
) -> Check:
    """Whether the run's folder can be written, and whether its checkpoints will fit.

    Args:
        place: where the run lies or will lie.
        exists: whether it is there already.
        checkpoint_bytes: of one.
        checkpoints: how many will lie there at once, at most.
        estimated: whether the size is a formula's.
    """
    needed = checkpoint_bytes * checkpoints
    above = next(folder for folder in (place.absolute(), *place.absolute().parents)
                 if folder.is_dir())  # fmt: skip
    state = "is there" if exists else "is not there yet"
    numbers = {
        "folder": str(place),
        "exists": exists,
        "checkpoint_bytes": checkpoint_bytes,
        "checkpoints": checkpoints,
        "free_bytes": None,
    }
    refused = _refuses(above)
    if refused:
        reason = f"{place} {state}, and {above} cannot be written: {refused}"
        return Check("place", "fail", reason, numbers)
    try:
        free = shutil.disk_usage(above).free
    except OSError:
        reason = f"{place} {state}; how much room there is cannot be found out"
        return Check("place", "pass", reason, numbers)
    numbers["free_bytes"] = free
    about = "about " if estimated else ""
    need = (
        f"up to {checkpoints} checkpoint{'' if checkpoints == 1 else 's'} of {about}"
        f"{in_bytes(checkpoint_bytes)}"
    )
    if free < needed:
        reason = (
            f"{place} {state}; {need} are {in_bytes(needed)}, and {in_bytes(free)} are free. Set "
            "training.keep_checkpoints to less, or --out to a disk with room"
        )
        return Check("place", "fail", reason, numbers)
    return Check("place", "pass", f"{place} {state}; {need}; {in_bytes(free)} free", numbers)


def _refuses(folder: Path) -> str:
    """Why nothing can be made in a folder, or nothing; it is tried, for rights may mislead."""
    trial = folder / f"{ASIDE}check-{os.getpid()}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        return error.strerror or str(error)
    return ""


@dataclass(slots=True)
class MemoryReading:
    """Memory before and at the peak of a block; filled when it ends [bytes]."""

    before: int | None = None
    peak: int | None = None


@contextlib.contextmanager
def watched_memory(device: torch.device) -> Iterator[MemoryReading]:
    """Measure the peak of memory inside the block."""
    reading = MemoryReading(before=_memory_now(device))
    _forget_peak(device)
    try:
        yield reading
    finally:
        reading.peak = peak_memory(device)
        if device.type == "cpu":
            reading.peak = _of_process("VmHWM") or reading.peak


def _memory_now(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    return _of_process("VmRSS") or peak_memory(device)


def _forget_peak(device: torch.device) -> None:
    """Let the peak begin anew where the system can; elsewhere it is that since the beginning."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _of_process(name: str) -> int | None:
    """A line of Linux's account of this process [bytes]; ``None`` elsewhere."""
    try:
        account = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    for line in account.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    return None


def in_words(seconds: float) -> str:
    """A time for a person.

    >>> in_words(0.0123), in_words(0.0997), in_words(3.21)
    ('12 ms', '100 ms', '3.2 s')
    >>> in_words(754), in_words(9000), in_words(400_000)
    ('13 minutes', '2.5 hours', '4.6 days')
    """
    if seconds < 1:
        return f"{1000 * seconds:.2g} ms" if seconds < 0.0995 else f"{1000 * seconds:.0f} ms"
    for size, name, upto in ((1, "s", 100), (60, "minutes", 100), (3600, "hours", 48)):
        if seconds < upto * size:
            return f"{seconds / size:.0f} {name}" if size == 60 else f"{seconds / size:.1f} {name}"
    return f"{seconds / 86_400:.1f} days"


def in_bytes(size: int) -> str:
    """An amount of memory for a person.

    >>> in_bytes(950), in_bytes(1_234_567), in_bytes(16 * 10**9)
    ('950 B', '1.2 MB', '16.0 GB')
    """
    number, name = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 999.95:
            break
        number, name = number / 1000, larger
    return f"{number:.0f} B" if name == "B" else f"{number:.1f} {name}"


def clock(device: torch.device) -> float:
    """The time now [seconds], after everything that the device was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
