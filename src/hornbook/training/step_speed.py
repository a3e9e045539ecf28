"""How fast a step is on this machine, in the way that ``auto`` chooses and in those beside it.

    way                       ms a step    tokens/s    data forward backward optimizer
    bfloat16, 2 threads           61.2       50,200       1      35       55         9    chosen
    float32, 2 threads            94.8       32,400       …
    bfloat16, 1 thread           104.1       29,500       …

What is chosen is decided by what the processor or the card can do, before anything is measured: see
``precision``, ``compiling`` and ``threads``. This says whether the choice was right here.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hornbook.data.token_store import TokenStore
from hornbook.errors import ConfigError, Problem
from hornbook.listener import SILENT, Listener
from hornbook.processor import bfloat16_unit
from hornbook.runs.config import RunConfig
from hornbook.runs.memory import explained_memory
from hornbook.tokenizers import Tokenizer
from hornbook.training.allocation import can_keep_memory
from hornbook.training.equipment import Equipment, choose_equipment
from hornbook.training.expected_memory import expect_memory
from hornbook.training.fresh_steps import fresh_steps
from hornbook.training.step_time import Part

STEPS = 20
WARMING = 3
"""Steps before those that are measured; compiling happens in the first."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to take a step.

    Attributes:
        precision: of the products.
        threads: that compute on a CPU.
        compiled: whether the pass is.
    """

    precision: str
    threads: int
    compiled: bool

    def __str__(self) -> str:
        """For a person.

        >>> str(Way("float32", 1, True))
        'float32, 1 thread, compiled'
        """
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.precision}, {threads}{', compiled' if self.compiled else ''}"


@dataclass(frozen=True, slots=True)
class StepSpeed:
    """What was measured of one way.

    Attributes:
        way: which one.
        chosen: whether it is what the settings lead to.
        seconds: a step, the median.
        parts: the mean time of each part of a step [seconds].
        tokens: real targets in a step, the mean.
        loss: after the last step; much the same in all ways [nats per token].
    """

    way: Way
    chosen: bool
    seconds: float
    parts: Mapping[Part, float]
    tokens: float
    loss: float

    @property
    def tokens_per_second(self) -> float:
        """Real targets in a second."""
        return self.tokens / self.seconds


def measure_steps(
    config: RunConfig,
    tokenizer: Tokenizer,
    store: TokenStore,
    *,
    steps: int = STEPS,
    compiled: bool = False,
    listener: Listener = SILENT,
) -> list[StepSpeed]:
    """Take the first steps of a run in several ways, each from the same weights.

    Args:
        config: the run's settings.
        tokenizer: its tokenizer.
        store: its tokens.
        steps: how many are measured of each way.
        compiled: whether to measure compiled passes too, which takes a minute each.
        listener: who watches.

    Returns:
        the chosen way, then those beside it.

    Raises:
        ConfigError: when the model is not trained by gradients, or the device is not there.
        RunError: when a step does not fit into memory.
    """
    if config.model.kind == "bigram_counts":
        message = "takes no steps: it is counted, not trained; use model.kind=bigram"
        raise ConfigError([Problem("model.kind", message, config.model.kind)])
    ways = list(_ways(config, compiled))
    speeds = []
    with listener.progress("taking steps", total=len(ways) * steps, unit="steps") as progress:
        for number, way in enumerate(ways):
            following = _following(config, way)
            speeds.append(_measured(following, way, number == 0, tokenizer, store, steps, listener))
            progress.advance(steps)
    return speeds


def fast_paths(equipment: Equipment) -> list[str]:
    """What is quicker here than PyTorch's usual way, and why; for a person."""
    paths = []
    if equipment.device.type == "cpu":
        if equipment.precision.name == "bfloat16":
            unit = bfloat16_unit() or "no unit for it was found, so it is slow"
            paths += [
                f"products in bfloat16, one node forwards and backwards ({unit})",
                "attention of short rows as products; norms, shifts and relu2 with gradients "
                "written out",
            ]
        if can_keep_memory():
            paths.append("memory that a step frees is kept for the next one")
    if equipment.compiling.compiled:
        paths.append("the pass is compiled")
    return paths


def _ways(config: RunConfig, compiled: bool) -> Iterator[Way]:
    """The chosen way, and those that differ from it in one thing."""
    equipment = choose_equipment(config)
    device, threads = equipment.device, equipment.threads
    chosen = Way(equipment.precision.name, threads, equipment.compiling.compiled)
    precisions = {"cuda": ("bfloat16", "float16", "float32"), "cpu": ("bfloat16", "float32")}
    beside = [
        Way(name, threads, chosen.compiled) for name in precisions.get(device.type, ("float32",))
    ]
    if device.type == "cpu":
        beside.append(Way(chosen.precision, 1, chosen.compiled))
    if compiled or chosen.compiled:
        beside.append(Way(chosen.precision, threads, not chosen.compiled))
    yield chosen
    yield from (way for way in dict.fromkeys(beside) if way != chosen)


def _following(config: RunConfig, way: Way) -> RunConfig:
    changes = {"precision": way.precision, "threads": way.threads, "compile": way.compiled}
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def _measured(
    config: RunConfig,
    way: Way,
    chosen: bool,
    tokenizer: Tokenizer,
    store: TokenStore,
    steps: int,
    listener: Listener,
) -> StepSpeed:
    equipment = choose_equipment(config)
    expect_memory(config, equipment, tokenizer.vocab_size, listener)
    remedy = "Set training.micro_batch_size to less."
    with (
        explained_memory(f"A step in {way}", remedy),
        fresh_steps(config, equipment, tokenizer, store, listener) as fresh,
    ):
        for _ in range(WARMING):
            fresh.take()
        fresh.clock.read()
        taken = [fresh.take() for _ in range(steps)]
        parts = fresh.clock.read() or {}
    return StepSpeed(
        way,
        chosen,
        statistics.median(step.seconds for step in taken),
        parts,
        statistics.fmean(step.tokens for step in taken),
        taken[-1].loss,
    )
