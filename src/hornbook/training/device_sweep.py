"""Batch sizes 1, 2, 4 … on each device of this machine: time, throughput, memory and power.

    batch size     expected memory        time left
        1          fits                   enough        measured
        2          fits                   enough        measured, and so on
      512          fits                   too little    ends here: "…"
    65536          too much                             is never tried

Nothing is tried that should not fit: not by the account of the settings, and not when it took as
many times the memory of the batch before as it has windows.
"""

from __future__ import annotations

import gc
import math
import platform
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hornbook.data.token_store import TokenStore
from hornbook.errors import ConfigError, Problem, RunError
from hornbook.inspection.accounting.account import plan_of
from hornbook.inspection.accounting.peak import TOLERANCE, largest_batch, training_memory
from hornbook.listener import SILENT, Listener, Progress
from hornbook.optimization import BatchRampConfig
from hornbook.runs.assembly import make_batches
from hornbook.runs.config import RunConfig
from hornbook.runs.memory import is_out_of_memory
from hornbook.tokenizers import Tokenizer
from hornbook.training.device_speed import (
    BatchSpeed,
    DeviceSpeed,
    batch_sizes,
    thread_counts,
    time_of,
)
from hornbook.training.devices import choose_device
from hornbook.training.equipment import Equipment, choose_equipment
from hornbook.training.free_memory import SAFE, free_memory
from hornbook.training.fresh_steps import fresh_steps
from hornbook.training.power import PowerReading, watched_power
from hornbook.training.preflight_machine import (
    MemoryReading,
    in_bytes,
    in_words,
    watched_memory,
)
from hornbook.training.threads import physical_cores, usable_cpus

STEPS = 10
WINDOWS = 256
SECONDS = 60.0
WARMING = 2
"""Steps before those that are measured."""
FEWEST = 2
"""Steps that are measured at least, unless even these take too long."""
LEAST_SECONDS = 1.0
"""Each batch size is measured for so long, or power could not be read, and a pause of the system
would count for too much [seconds]."""
UNKNOWN_MEMORY = 2 * 10**9
"""What counts as free where the system says nothing [bytes]."""
FOR_THREADS = 0.3
"""The share of the time that numbers of threads get."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What to measure, and for how long.

    Attributes:
        config: the run's settings; their batch size is not read.
        tokenizer: its tokenizer.
        store: its tokens.
        steps: the fixed number of steps.
        windows: the fixed number of windows.
        seconds: all devices together may take about so long.
        listener: who watches.
    """

    config: RunConfig
    tokenizer: Tokenizer
    store: TokenStore
    steps: int = STEPS
    windows: int = WINDOWS
    seconds: float = SECONDS
    listener: Listener = SILENT


def measure_devices(sweep: Sweep) -> list[DeviceSpeed]:
    """Measure the CPU and each accelerator, or only the device that the settings name.

    Raises:
        ConfigError: when the model is not trained by gradients, or no device can do what the
            settings ask for.
        DataError: when the text is too short for a single window.
        RunError: when not a single window fits into memory.
    """
    if sweep.config.model.kind == "bigram_counts":
        message = "takes no steps: it is counted, not trained; use model.kind=bigram"
        raise ConfigError([Problem("model.kind", message, sweep.config.model.kind)])
    chosen = _equipments(sweep)
    share = sweep.seconds / len(chosen)
    with sweep.listener.progress("measuring", total=None, unit="batch sizes") as progress:
        return [
            _measured(sweep, config, equipment, share, len(chosen) == 1, progress)
            for config, equipment in chosen
        ]


def devices_here() -> list[torch.device]:
    """The CPU, and every accelerator that this PyTorch can use."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cards = [torch.device("cuda", number) for number in range(count)]
    apple = [torch.device("mps")] if torch.backends.mps.is_available() else []
    return [torch.device("cpu"), *cards, *apple]


def _equipments(sweep: Sweep) -> list[tuple[RunConfig, Equipment]]:
    """The settings for each device that can do what they ask for, with what was chosen for it."""
    plan = sweep.config.training
    devices = devices_here() if plan.device == "auto" else [choose_device(plan.device)]
    found: list[tuple[RunConfig, Equipment]] = []
    problems: list[Problem] = []
    for device in devices:
        changes = {
            "device": str(device),
            # Every shape is compiled for itself, a minute each: only where it is asked for.
            "compile": plan.compile is True,
            "micro_batch_size": 0,
            "batch_ramp": BatchRampConfig(),
            "learning_rate_scaling": "none",
        }
        config = _changed(sweep.config, **changes)
        try:
            found.append((config, choose_equipment(config)))
        except ConfigError as error:
            problems += error.problems
            if len(devices) > 1:
                sweep.listener.notice(f"{device} is left out: {error.problems[0]}")
    if not found:
        raise ConfigError(problems)
    return found


def _measured(
    sweep: Sweep,
    config: RunConfig,
    equipment: Equipment,
    seconds: float,
    alone: bool,
    progress: Progress,
) -> DeviceSpeed:
    """One device: all batch sizes, and on a CPU that has no accelerator beside it all threads."""
    threads_too = alone and equipment.device.type == "cpu"
    bench = _Bench(sweep, config, equipment, progress)
    deadline = time.perf_counter() + seconds * (1 - FOR_THREADS * threads_too)
    batches, ended = bench.sweep_batches(deadline)
    if not batches:
        raise RunError(f"Nothing could be measured on {equipment.device}: {ended}.")
    found = DeviceSpeed(
        device=str(equipment.device),
        name=_name(equipment.device),
        equipment=str(equipment),
        batches=tuple(batches),
        ended=ended,
        fits=bench.fits,
        free_memory=bench.free,
        threads=(),
        power=bench.power,
    )
    if not threads_too:
        return found
    deadline = time.perf_counter() + seconds * FOR_THREADS
    return replace(found, threads=tuple(bench.sweep_threads(found.batch_to_try, deadline)))


class _Bench:
    """Measures batches on one device."""

    def __init__(
        self, sweep: Sweep, config: RunConfig, equipment: Equipment, progress: Progress
    ) -> None:
        self._sweep, self._config, self._equipment = sweep, config, equipment
        self._progress = progress
        self._device = equipment.device
        short = equipment.precision.name != "float32"
        self._plan = plan_of(
            config, sweep.tokenizer.vocab_size, device=self._device.type, short=short, batch=1
        )
        self.free = free_memory(self._device)
        self.safe = int(SAFE * (UNKNOWN_MEMORY if self.free is None else self.free))
        self.fits = largest_batch(self._plan, int(self.safe / (1 + TOLERANCE)))
        self.power = ""

    def sweep_batches(self, deadline: float) -> tuple[list[BatchSpeed], str]:
        """A row for each batch size, and why no larger one follows."""
        windows = make_batches(_of_batch(self._config, 1), self._sweep.store).training.order.count
        sizes = batch_sizes(min(self.fits, windows))
        found: list[BatchSpeed] = []
        around = 0.0  # what a batch size took beside its steps
        for size in sizes:
            refusal = self._refusal(size, found, around, deadline)
            if refusal:
                return found, refusal
            began = time.perf_counter()
            try:
                found.append(self.measure(size, self._equipment.threads, deadline))
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                return found, (
                    f"{_windows(size)} did not fit into memory, though they should have taken "
                    f"{in_bytes(self._expected(size))}"
                )
            last = found[-1]
            steps_alone = last.step_seconds * (last.steps + WARMING)
            around = max(0.0, time.perf_counter() - began - steps_alone)
        if self.fits < windows:
            too_many = _windows(self.fits + 1)
            return found, f"{too_many} would take more than {SAFE:.0%} of {self._free_in_words()}"
        return found, f"the text has no more than {_windows(windows)}"

    def sweep_threads(self, batch: int, deadline: float) -> Iterator[BatchSpeed]:
        """One batch size with each number of threads; from the most down, until time is up."""
        counts = thread_counts(physical_cores(), usable_cpus(), self._equipment.threads)
        found: dict[int, BatchSpeed] = {}
        for number, count in enumerate(reversed(counts)):
            now = time.perf_counter()
            share = (deadline - now) / (len(counts) - number)
            # With half as many threads a step takes up to twice as long.
            slowest = max((2 * speed.step_seconds for speed in found.values()), default=0.0)
            if found and slowest * (WARMING + 1) > deadline - now:
                break
            found[count] = self.measure(batch, count, now + share, whole=False)
        yield from (found[count] for count in sorted(found))

    def measure(
        self, batch: int, threads: int, deadline: float, *, whole: bool = True
    ) -> BatchSpeed:
        """Steps of one batch size, as many as are wanted, or as there is time for.

        Args:
            batch: windows in a step.
            threads: that compute on a CPU.
            deadline: by when all batch sizes should be done [seconds of ``perf_counter``].
            whole: whether larger batches are to come, which need most of the time.
        """
        self._tidy()
        equipment = replace(self._equipment, threads=threads)
        sweep, config = self._sweep, _of_batch(self._config, batch)
        now = time.perf_counter()
        until = now + max(0.0, deadline - now) / (6 if whole else 1)
        wanted = max(sweep.steps, math.ceil(sweep.windows / batch)) if whole else FEWEST
        with (
            watched_memory(self._device) as memory,
            fresh_steps(config, equipment, sweep.tokenizer, sweep.store, sweep.listener) as fresh,
        ):
            for _ in range(WARMING):
                if fresh.take().seconds > until - time.perf_counter() and batch > 1:
                    break
            with watched_power(self._device) as power:
                seconds: list[float] = []
                while not _enough(seconds, wanted, until):
                    seconds.append(fresh.take().seconds)
        self._remember(power)
        self._progress.advance(1)
        return BatchSpeed(
            batch=batch,
            threads=threads,
            steps=len(seconds),
            step_seconds=statistics.median(seconds),
            seconds_for_steps=time_of(seconds, sweep.steps),
            seconds_for_windows=time_of(seconds, sweep.windows / batch),
            steps_projected=len(seconds) < sweep.steps,
            windows_projected=len(seconds) * batch < sweep.windows,
            memory=_taken(memory),
            expected_memory=self._expected(batch),
            watts=power.watts,
        )

    def _refusal(self, size: int, found: list[BatchSpeed], around: float, deadline: float) -> str:
        """Why a batch size is not tried; empty if nothing speaks against it."""
        if not found:
            return ""
        last = found[-1]
        times = size / last.batch
        memory = max(self._expected(size), int(times * (last.memory or 0)))
        if memory > self.safe:
            return (
                f"{_windows(size)} could take {in_bytes(memory)}, more than {SAFE:.0%} of "
                f"{self._free_in_words()}"
            )
        needed = around + (WARMING + FEWEST) * times * last.step_seconds
        left = max(0.0, deadline - time.perf_counter())
        if needed > left:
            return f"{_windows(size)} would take {in_words(needed)}, and {in_words(left)} were left"
        return ""

    def _expected(self, batch: int) -> int:
        return training_memory(self._plan.with_batch(batch)).peak

    def _free_in_words(self) -> str:
        if self.free is None:
            return f"{in_bytes(UNKNOWN_MEMORY)}, which is assumed, for the system does not say"
        return f"the {in_bytes(self.free)} that are free"

    def _remember(self, power: PowerReading) -> None:
        """Who told the power; a reason why nobody did counts as long as nobody does."""
        if power.watts is not None or not self.power:
            self.power = power.source

    def _tidy(self) -> None:
        """Let the memory of what was measured before go."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        elif self._device.type == "mps":
            torch.mps.empty_cache()


def _enough(seconds: list[float], wanted: int, until: float) -> bool:
    """Whether so many steps do."""
    if not seconds:
        return False
    if time.perf_counter() >= until:
        return len(seconds) >= FEWEST or seconds[-1] > LEAST_SECONDS
    return len(seconds) >= wanted and sum(seconds) >= LEAST_SECONDS


def _taken(memory: MemoryReading) -> int | None:
    """What was taken beyond what was there before [bytes]; ``None`` where nobody says."""
    if memory.peak is None or memory.before is None:
        return None
    return max(0, memory.peak - memory.before)


def _of_batch(config: RunConfig, batch: int) -> RunConfig:
    return _changed(config, batch_size=batch)


def _changed(config: RunConfig, **changes: object) -> RunConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def _windows(count: int) -> str:
    return f"{count:,} window{'' if count == 1 else 's'}"


def _name(device: torch.device) -> str:
    """What the maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            lines = []
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(named, platform.processor() or platform.machine())
    return platform.processor() or platform.machine()
