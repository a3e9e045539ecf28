"""What a run is trained with: device, precision, compiler, threads. Chosen once, and told.

    cpu with 2 threads, float32 (auto: …), not compiled (as asked for)

Everything that is ``auto`` in the settings is decided here; everything that had to be set for the
whole process is put back when training ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from hornbook.listener import SILENT, Listener
from hornbook.models import LanguageModel, Transformer
from hornbook.runs.config import RunConfig
from hornbook.training.batch_loss import BatchLoss
from hornbook.training.compiling import CompileChoice, Pass, choose_compile, many_shapes
from hornbook.training.devices import choose_device
from hornbook.training.precision import Precision, choose_precision
from hornbook.training.recomputation import recompute_blocks
from hornbook.training.step import TrainingStep
from hornbook.training.threads import choose_threads, threads_in_use


@dataclass(frozen=True, slots=True)
class Equipment:
    """What was chosen; see ``choose_equipment``.

    Attributes:
        device: where to train.
        precision: of products.
        compiling: whether the pass is compiled.
        threads: how many compute on a CPU.
    """

    device: torch.device
    precision: Precision
    compiling: CompileChoice
    threads: int

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it the process is set up for training; afterwards it is as it was before."""
        with (
            threads_in_use(self.threads),
            self.precision.in_use(),
            many_shapes(compiled=self.compiling.compiled),
        ):
            yield

    def facts(self) -> dict[str, str]:
        """What a run's manifest says of each session."""
        return {"precision": str(self.precision), "compiler": str(self.compiling)}

    def __str__(self) -> str:
        """One line for a person."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.device} with {threads}, {self.precision}, {self.compiling}"


def choose_equipment(config: RunConfig) -> Equipment:
    """Decide everything that the settings leave open.

    Raises:
        ConfigError: when the device that was asked for is not there, or cannot do what was asked.
    """
    plan = config.training
    device = choose_device(plan.device)
    return Equipment(
        device,
        choose_precision(plan.precision, device, tf32=plan.tf32),
        choose_compile(config, device),
        choose_threads(plan.threads),
    )


def make_step(
    config: RunConfig,
    equipment: Equipment,
    model: LanguageModel,
    optimizer: torch.optim.Optimizer,
    listener: Listener = SILENT,
) -> TrainingStep:
    """The step of a run. Here, and only here, is the model wrapped into anything.

    Args:
        config: its settings.
        equipment: what it is trained with.
        model: on the device, in training mode; from now on its blocks compute their inside again,
            if the settings say so.
        optimizer: over the model's weights.
        listener: told when compiling fails.
    """
    plan = config.training
    if plan.activation_checkpointing:
        assert isinstance(model, Transformer), "other models are refused with the settings"
        recompute_blocks(model)
    compiled = equipment.compiling.compiled
    return TrainingStep(
        model,
        optimizer,
        Pass(BatchLoss(model), compiled=compiled, listener=listener),
        precision=equipment.precision,
        gradient_clip=plan.gradient_clip,
    )
