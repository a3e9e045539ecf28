"""Logits and targets in, a loss out; gradients in, better weights out.

Read in this order: ``objective`` (what is minimised), ``schedules`` (the learning rate at a
step), ``optimizers`` (who moves which weights, and how their state is kept).
"""

from hornbook.optimization.objective import cross_entropy_sum, loss_per_token
from hornbook.optimization.optimizers import (
    OptimizerConfig,
    build_optimizer,
    load_optimizer_tensors,
    optimizer_tensors,
    parameter_groups,
)
from hornbook.optimization.schedules import ScheduleConfig, learning_rate_at

__all__ = [
    "OptimizerConfig",
    "ScheduleConfig",
    "build_optimizer",
    "cross_entropy_sum",
    "learning_rate_at",
    "load_optimizer_tensors",
    "loss_per_token",
    "optimizer_tensors",
    "parameter_groups",
]
