"""Everything that describes a run, once: the rooms' settings and the run's own plan.

``RunConfig`` holds one group of settings a room, each declared beside the code that reads
it. ``context_length`` stands here because windows and model both receive it. How a preset, a
file and ``key=value`` words become a ``RunConfig`` is told in ``resolution``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator

from hornbook.corpora import CorpusConfig
from hornbook.data import DataConfig
from hornbook.errors import Problem
from hornbook.generation import SamplingConfig
from hornbook.models import ModelConfig, RecurrentConfig, TransformerConfig
from hornbook.optimization import (
    BatchRampConfig,
    ObjectiveConfig,
    OptimizerConfig,
    RateScaling,
    ScheduleConfig,
    batch_size_at,
    learning_rate_at,
    rescaled,
)
from hornbook.settings import Settings
from hornbook.tokenizers import BPETokenizerConfig, TokenizerConfig

LARGEST_TABLE = 1 << 28
"""Entries that a bigram's table may have: a gibibyte of float32."""

FURTHER_POSITIONS = 4
"""Contexts of positions that a model knows when they may lie beyond the window."""


NO_FLOAT16_ON_CPU = (
    "is slower than float32 on a CPU, which has no units for it, and would only lose range; use "
    "auto, bfloat16 or float32"
)


class TrainingConfig(Settings):
    """The run's plan: how long, how large a step, how often to look and to keep."""

    steps: int = Field(default=1000, ge=1, le=10**12)
    """How long the run is [optimizer steps]."""

    batch_size: int = Field(default=16, ge=1, le=1 << 20)
    """Examples in one optimizer step [windows]."""

    micro_batch_size: int = Field(default=0, ge=0)
    """Examples that go through the model at once, when a whole batch does not fit into memory;
    the gradient is the same. 0 means the whole batch [windows]."""

    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    """The largest learning rate, reached when the warm-up ends."""

    learning_rate_scaling: RateScaling = "none"
    """How learning_rate, which is then the one for a batch of base_batch_size, changes with the
    batch of a step: linear, by the root (sqrt), or not at all (none)."""

    base_batch_size: int = Field(default=0, ge=0)
    """The batch that learning_rate is for; only read with learning_rate_scaling [windows]."""

    batch_ramp: BatchRampConfig = BatchRampConfig()
    """How the batch grows at the beginning."""

    freeze: tuple[str, ...] = ()
    """Names of tensors that are not trained; * stands for anything, as in token_embedding*."""

    init_from: str = ""
    """A run, RUN or RUN@STEP, whose weights a new run begins with wherever they fit; empty
    begins with drawn ones."""

    carry_state: bool = False
    """Whether the hidden state of a recurrent model goes on from window to window, as in truncated
    back-propagation: each row of the batch reads its own stretch of the text from front to back,
    and the state starts afresh where a document ends. Measurements start afresh at every window
    all the same. Needs data.windows=stream."""

    gradient_clip: float = Field(default=1.0, ge=0)
    """Gradients longer than this are shortened to it; 0 never shortens [norm]."""

    objective: ObjectiveConfig = ObjectiveConfig()
    """What is minimised."""

    optimizer: OptimizerConfig = OptimizerConfig()
    """How gradients move the weights."""

    schedule: ScheduleConfig = ScheduleConfig()
    """How the learning rate changes over the run."""

    log_every: int = Field(default=10, ge=1)
    """Write a line to metrics.jsonl after every so many steps [steps]."""

    evaluate_every: int = Field(default=100, ge=0)
    """Measure the validation loss after every so many steps, and at the end; 0 only at the
    end [steps]."""

    evaluation_windows: int = Field(default=0, ge=0)
    """How many validation windows a measurement uses, the same ones each time; 0 means the
    whole validation side [windows]."""

    checkpoint_every: int = Field(default=200, ge=0)
    """Keep a checkpoint after every so many steps, and at the end; 0 only at the end and
    where the validation loss is best [steps]."""

    keep_checkpoints: int = Field(default=2, ge=1)
    """How many of the newest checkpoints stay on disk; the best one always stays as well."""

    sample_every: int = Field(default=250, ge=0)
    """Let the model write a sample after every so many steps, and at the end; 0 never
    [steps]."""

    sample_prompt: str = ""
    """What those samples go on from; empty means the start of a document."""

    log_to: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Tools that are shown the same numbers and samples, and the settings: tensorboard, wandb or
    both. Their files lie in the run's folder. wandb sends nothing unless the environment says
    WANDB_MODE=online."""

    device: str = "auto"
    """Where to train: auto (an accelerator if there is one), cpu, cuda, cuda:1, mps. Started by
    torchrun, each process takes a CUDA device of its own."""

    parallel: Literal["auto", "ddp", "fsdp"] = "auto"
    """How processes that torchrun started share the model: ddp (each has all of it), fsdp (each
    has a part of every weight, which saves memory and sends more) or auto (fsdp where weights and
    the optimizer's state would fill a device). One process reads nothing of it."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """In which numbers products are computed; weights, gradients and sums stay float32. auto: the
    fastest that is right on the device, which is told when training begins. bfloat16: half the
    bits and the whole range. float16: half the bits and a small range, so the loss is scaled and
    steps that overflow are skipped; not on a CPU."""

    tf32: bool = False
    """Whether products of float32 on CUDA devices may round their inputs to TF32, which keeps 10
    of 23 bits and is several times faster on cards since 2020."""

    compile: bool | Literal["auto"] = False
    """Whether the forward and backward pass are compiled before the first step, which takes up to
    a minute. auto: where it is known to pay. If compiling fails, training goes on without, and
    says why."""

    activation_checkpointing: bool = False
    """Whether each block keeps its input alone and computes the rest again for the backward pass:
    the same gradients from far less memory, for about a third more time. Needs
    model.kind=transformer."""

    threads: int = Field(default=0, ge=0, le=4096)
    """Threads that compute on a CPU; 0 means OMP_NUM_THREADS where that is set, else one for each
    physical core that hornbook may use. Processes that torchrun started share the cores."""

    @field_validator("compile", mode="plain")
    @classmethod
    def _known_compile(cls, value: Any) -> bool | str:
        known = {"auto": "auto", "true": True, "false": False}
        if str(value).lower() not in known:
            raise ValueError("should be auto, true or false")
        return known[str(value).lower()]

    @field_validator("log_to")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
            raise ValueError("should be auto, cpu, mps, cuda, or cuda:N for the N-th card")
        return device

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem for each pair of values that do not fit together."""
        for problem in self.batch_ramp.conflicts_with_run(
            batch_size=self.batch_size, steps=self.steps
        ):
            yield _within("batch_ramp", problem)
        if self.batch_ramp.start and self.carry_state:
            yield Problem(
                "batch_ramp.start",
                "needs batches that grow, and under training.carry_state=true every row of the "
                "batch reads on from step to step; use 0, or carry_state=false",
                str(self.batch_ramp.start),
            )
        if self.learning_rate_scaling != "none" and not self.base_batch_size:
            yield Problem(
                "base_batch_size",
                f"must say for which batch learning_rate={self.learning_rate:g} is, or "
                f"learning_rate_scaling={self.learning_rate_scaling} cannot change it for another",
                "0",
            )
        for problem in self.optimizer.conflicts():
            yield _within("optimizer", problem)
        for problem in (
            *self.schedule.conflicts(),
            *self.schedule.conflicts_with_steps(self.steps),
        ):
            yield _within("schedule", problem)
        if self.micro_batch_size > self.batch_size:
            yield Problem(
                "micro_batch_size",
                f"is larger than training.batch_size={self.batch_size}; "
                f"use 1 to {self.batch_size}, or 0 for the whole batch",
                str(self.micro_batch_size),
            )
        if self.precision == "float16" and self.device == "cpu":
            yield Problem("precision", NO_FLOAT16_ON_CPU, "float16")

    @property
    def peak_learning_rate(self) -> float:
        """The largest learning rate of the whole batch, rescaled if asked for."""
        return self._rescaled(self.batch_size)

    def batch_size_at(self, step: int) -> int:
        """Examples in optimizer step ``step``, counted from 0."""
        return batch_size_at(step, whole=self.batch_size, ramp=self.batch_ramp)

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of optimizer step ``step``, counted from 0."""
        peak = self._rescaled(self.batch_size_at(step))
        return learning_rate_at(step, steps=self.steps, peak=peak, schedule=self.schedule)

    def _rescaled(self, batch_size: int) -> float:
        return rescaled(
            self.learning_rate,
            self.learning_rate_scaling,
            batch_size=batch_size,
            base=self.base_batch_size,
        )


class RunConfig(Settings):
    """The whole description of a run."""

    seed: int = Field(default=1, ge=0, lt=1 << 63)
    """The seed of every random choice: initial weights, order of examples, dropout, splits."""

    context_length: int = Field(default=128, ge=1, le=1 << 20)
    """The most tokens that the model sees at once; the length of a window [tokens]."""

    corpus: CorpusConfig = CorpusConfig()
    """Which text, how it is cut into documents, and what is held back for validation."""

    tokenizer: TokenizerConfig = BPETokenizerConfig()
    """How text becomes token ids."""

    data: DataConfig = DataConfig()
    """How token ids become examples."""

    model: ModelConfig = TransformerConfig()
    """Which model."""

    training: TrainingConfig = TrainingConfig()
    """How long and how it is trained, measured and kept."""

    sampling: SamplingConfig = SamplingConfig()
    """How samples are drawn, in training and by default afterwards."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield every pair of values, in or between rooms, that do not fit together."""
        for room in ("corpus", "tokenizer", "data", "model", "training", "sampling"):
            settings: Settings = getattr(self, room)
            for problem in settings.conflicts():
                yield _within(room, problem)
        for problem in self.data.conflicts_with_context(self.context_length):
            yield _within("data", problem)
        yield from self._conflicts_of_positions()
        yield from self._conflicts_of_overflow()
        if self.training.carry_state:
            yield from self._conflicts_of_carried_state()
        if self.training.activation_checkpointing and self.model.kind != "transformer":
            yield Problem(
                "training.activation_checkpointing",
                f"works on the blocks of a transformer, and model.kind={self.model.kind} has none; "
                "use false, or model.kind=transformer",
                "true",
            )
        if self.data.split == "window" and self.model.kind == "bigram_counts":
            yield Problem(
                "data.split",
                "needs a model that learns from windows, and model.kind=bigram_counts counts the "
                "whole text; use data.split=text, or model.kind=bigram",
                "window",
            )
        if self.model.kind == "bigram_counts":
            for key, value in (
                ("freeze", self.training.freeze),
                ("init_from", self.training.init_from),
            ):
                if value:
                    yield Problem(
                        f"training.{key}",
                        "is for models trained by gradients, and model.kind=bigram_counts counts; "
                        "leave it out, or use model.kind=bigram",
                        str(value),
                    )
        vocab_size = getattr(self.tokenizer, "vocab_size", 0)
        if self.model.kind.startswith("bigram") and vocab_size**2 > LARGEST_TABLE:
            yield Problem(
                "tokenizer.vocab_size",
                f"makes a bigram's table of {vocab_size**2:,} numbers; use at most "
                f"{int(LARGEST_TABLE**0.5):,} entries, or model.kind=transformer",
                str(vocab_size),
            )

    @property
    def stride(self) -> int:
        """Tokens from one training window's start to the next, with 0 resolved."""
        return self.data.stride_for(self.context_length)

    @property
    def position_count(self) -> int:
        """How many positions the model knows, with 0 resolved."""
        chosen: int = getattr(self.model, "position_count", 0)
        further = 1 if self.data.positions == "window" else FURTHER_POSITIONS
        return chosen or self.context_length * further

    def _conflicts_of_carried_state(self) -> Iterator[Problem]:
        key = "training.carry_state"
        if self.data.windows != "stream":
            yield Problem(
                key,
                f"needs windows that follow each other, and those of data.windows="
                f"{self.data.windows} do not; use data.windows=stream, or carry_state=false",
                "true",
            )
        elif self.stride != self.context_length:
            yield Problem(
                key,
                f"needs windows that touch, and data.stride={self.stride} lets them overlap; use "
                "data.stride=0, or carry_state=false",
                "true",
            )
        if self.data.recut:
            yield Problem(
                key,
                "goes on in the next epoch where the one before cut, and data.recut=true cuts "
                "elsewhere; use data.recut=false, or carry_state=false",
                "true",
            )
        if self.data.split == "window":
            yield Problem(
                key,
                "reads the text from front to back, and data.split=window takes windows out of it; "
                "use data.split=text, or carry_state=false",
                "true",
            )
        if not isinstance(self.model, RecurrentConfig):
            yield Problem(
                key,
                f"needs a model with a hidden state, and model.kind={self.model.kind} has none; "
                "use model.kind=rnn, gru or lstm, or carry_state=false",
                "true",
            )

    def _conflicts_of_overflow(self) -> Iterator[Problem]:
        model = self.model
        if (
            self.sampling.overflow == "slide"
            and isinstance(model, TransformerConfig)
            and not model.order_is_relative
        ):
            yield Problem(
                "sampling.overflow",
                "needs a model that knows tokens by their distance, and with model.positions="
                f"{model.positions} it knows them by their places; use restart or stop",
                "slide",
            )

    def _conflicts_of_positions(self) -> Iterator[Problem]:
        meaning, chosen = self.data.positions, getattr(self.model, "position_count", None)
        if chosen is None and meaning != "window":
            yield Problem(
                "data.positions",
                f"needs a model that knows positions, and {self.model.kind} knows none; use "
                "window, or model.kind=transformer",
                meaning,
            )
        elif (
            isinstance(self.model, TransformerConfig)
            and meaning != "window"
            and not self.model.counts_positions
        ):
            yield Problem(
                "data.positions",
                "needs a model that reads position numbers, and model.positions="
                f"{self.model.positions} does not; use window, or model.positions=rotary, learned "
                "or sinusoidal",
                meaning,
            )
        elif chosen and chosen < self.context_length:
            yield Problem(
                "model.position_count",
                f"is less than context_length ({self.context_length}), so a window's last tokens "
                f"would have no position; use {self.context_length} or more, or 0",
                str(chosen),
            )
        elif chosen and meaning != "window" and chosen == self.context_length:
            yield Problem(
                "model.position_count",
                f"leaves no position beyond the context, which data.positions={meaning} needs; "
                f"use {self.context_length + 1} or more, or 0",
                str(chosen),
            )


def _within(room: str, problem: Problem) -> Problem:
    return Problem(f"{room}.{problem.key}", problem.message, problem.value, problem.nearest)
