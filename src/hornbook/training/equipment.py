"""What a run is trained with: device, ranks, precision, compiler, threads. Chosen once, and told.

    cpu with 2 threads, float32 (auto: …), not compiled (as asked for)
    2 ranks, each on cpu with 1 thread, float32 (as asked for), not compiled (as asked for)

Everything that is ``auto`` in the settings is decided here; everything that had to be set for the
whole process is put back when training ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch

from hornbook.compiled_call import CompiledCall, compiler_in_use
from hornbook.listener import SILENT, Listener
from hornbook.models import LanguageModel, Transformer
from hornbook.runs.config import RunConfig
from hornbook.training.allocation import memory_kept
from hornbook.training.batch_loss import BatchLoss
from hornbook.training.compiling import CompileChoice, choose_compile
from hornbook.training.devices import choose_device, memory_of
from hornbook.training.precision import Precision, choose_precision
from hornbook.training.ranks import ALONE, Ranks
from hornbook.training.recomputation import recompute_blocks
from hornbook.training.spread import Spread, choose_parallel, spread_model
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
        ranks: who trains it together.
    """

    device: torch.device
    precision: Precision
    compiling: CompileChoice
    threads: int
    ranks: Ranks = ALONE

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it the process is set up for training; afterwards it is as it was before."""
        with (
            threads_in_use(self.threads),
            memory_kept() if self.device.type == "cpu" else nullcontext(),
            self.precision.in_use(),
            compiler_in_use(compiled=self.compiling.compiled),
        ):
            yield

    def facts(self) -> dict[str, str]:
        """What a run's manifest says of each session."""
        facts = {"precision": str(self.precision), "compiler": str(self.compiling)}
        return facts | ({"ranks": str(self.ranks.count)} if self.ranks.count > 1 else {})

    def __str__(self) -> str:
        """One line for a person."""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        facts = f"{self.device} with {threads}, {self.precision}, {self.compiling}"
        count = self.ranks.count
        return facts if count == 1 else f"{count} ranks, each on {facts}".replace("cuda:0", "cuda")


def choose_equipment(config: RunConfig, ranks: Ranks = ALONE) -> Equipment:
    """Decide everything that the settings leave open.

    Args:
        config: the settings of the run.
        ranks: who trains it together.

    Raises:
        ConfigError: when the device that was asked for is not there, or cannot do what was asked.
    """
    plan = config.training
    device = choose_device(plan.device, ranks)
    return Equipment(
        device,
        choose_precision(plan.precision, device, tf32=plan.tf32),
        choose_compile(config, device),
        choose_threads(plan.threads, ranks.local_count),
        ranks,
    )


def spread_out(
    config: RunConfig, equipment: Equipment, model: LanguageModel, listener: Listener = SILENT
) -> Spread:
    """Bring the model to its device, or to those of all ranks, in the way that was asked for.

    Args:
        config: the settings of the run.
        equipment: what it is trained with.
        model: on the CPU, with the weights to begin with; the optimizer is built afterwards.
        listener: told how several ranks share it.
    """
    plan, ranks = config.training, equipment.ranks
    parallel, reason = choose_parallel(
        plan.parallel,
        parameters=model.parameter_count(),
        device_bytes=ranks.smallest(memory_of(equipment.device)),
    )
    if ranks.count > 1:
        share = len(ranks.rows(plan.batch_size))
        listener.notice(
            f"each of {ranks.count} ranks takes {share} of {plan.batch_size} windows; "
            f"{parallel} ({reason})"
        )
    return spread_model(BatchLoss(model, plan.objective), model, ranks, equipment.device, parallel)


def make_step(
    config: RunConfig,
    equipment: Equipment,
    model: LanguageModel,
    optimizer: torch.optim.Optimizer,
    listener: Listener = SILENT,
    spread: Spread | None = None,
) -> TrainingStep:
    """The step of a run. Here, and in ``spread_out``, is the model wrapped, and nowhere else.

    Args:
        config: its settings.
        equipment: what it is trained with.
        model: on the device, in training mode; from now on its blocks compute their inside again,
            if the settings say so.
        optimizer: over the model's weights.
        listener: told when compiling fails.
        spread: how the model is spread over ranks, where ``spread_out`` did so.
    """
    plan = config.training
    spread = spread or Spread(BatchLoss(model, plan.objective), model)
    if plan.activation_checkpointing:
        assert isinstance(model, Transformer), "other models are refused with the settings"
        recompute_blocks(model)
    compiled = equipment.compiling.compiled
    return TrainingStep(
        model,
        optimizer,
        CompiledCall(spread.module, compiled=compiled, listener=listener),
        spread=spread,
        precision=equipment.precision,
        gradient_clip=plan.gradient_clip,
    )
