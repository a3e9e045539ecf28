"""Logits and targets in, a loss out; gradients in, better weights out.

Read in this order: ``objective`` (what is minimised), ``model_loss`` and ``chunked_loss`` (from a
model's features, without all logits at once), ``schedules`` and ``batch_ramp`` (what a step is
like), ``roles`` and ``groups`` (which parameters are treated alike), ``optimizers`` (who moves
them), ``muon`` with ``newton_schulz``, ``optimizer_state`` (what a checkpoint keeps of it),
``freezing``, ``rate_range``.
"""

from hornbook.optimization.batch_ramp import BatchRampConfig, batch_size_at, examples_before
from hornbook.optimization.freezing import freeze
from hornbook.optimization.groups import group_facts, parameter_groups, set_learning_rate
from hornbook.optimization.model_loss import few_logits, model_loss_sum, model_token_losses
from hornbook.optimization.objective import (
    SURPRISE,
    LossSum,
    ObjectiveConfig,
    cross_entropy_sum,
    loss_per_token,
    loss_sum,
)
from hornbook.optimization.optimizer_state import (
    fitting_tensors,
    load_optimizer_tensors,
    optimizer_tensors,
)
from hornbook.optimization.optimizers import OptimizerConfig, build_optimizer
from hornbook.optimization.schedules import (
    RateScaling,
    ScheduleConfig,
    learning_rate_at,
    rescaled,
)

__all__ = [
    "SURPRISE",
    "BatchRampConfig",
    "LossSum",
    "ObjectiveConfig",
    "OptimizerConfig",
    "RateScaling",
    "ScheduleConfig",
    "batch_size_at",
    "build_optimizer",
    "cross_entropy_sum",
    "examples_before",
    "few_logits",
    "fitting_tensors",
    "freeze",
    "group_facts",
    "learning_rate_at",
    "load_optimizer_tensors",
    "loss_per_token",
    "loss_sum",
    "model_loss_sum",
    "model_token_losses",
    "optimizer_tensors",
    "parameter_groups",
    "rescaled",
    "set_learning_rate",
]
