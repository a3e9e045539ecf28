"""Parameters in groups by role, each with its share of the learning rate and its decay.

    role        rule    tensors   numbers   rate      decay
    embeddings  adamw         1   262,144   1.2e-02       0
    matrices    muon         24   786,432   3e-03       0.1
    gains       adamw         9     1,152   3e-03         0

A group is a dictionary as PyTorch's optimizers want it; ours hold ``role`` and ``rate`` as well,
and ``rule`` where one optimizer has several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hornbook.optimization.roles import ROLES, Role, roles_of


def parameter_groups(
    model: nn.Module, *, rates: Mapping[Role, float], decays: Mapping[Role, float]
) -> list[dict[str, Any]]:
    """The trainable parameters of ``model`` by role; a role without any has no group.

    Args:
        model: any module.
        rates: what the learning rate is multiplied with, for each role.
        decays: the weight decay of each role.

    Returns:
        groups for a PyTorch optimizer: ``role``, ``params``, ``rate``, ``weight_decay``.
    """
    parameters = dict(model.named_parameters())
    roles = roles_of(model)
    groups = []
    for role in ROLES:
        members = [
            parameters[name]
            for name, its_role in roles.items()
            if its_role == role and parameters[name].requires_grad
        ]
        if members:
            groups.append(
                {
                    "role": role,
                    "params": members,
                    "rate": rates[role],
                    "weight_decay": decays[role],
                }
            )
    return groups


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group its share of this step's learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("rate", 1.0)


def group_facts(optimizer: torch.optim.Optimizer, learning_rate: float) -> list[dict[str, Any]]:
    """What a person should know of each group: a row of the table in this module's docstring.

    Args:
        optimizer: built by ``build_optimizer``.
        learning_rate: the largest one of the run.

    Returns:
        a dictionary a group: ``role``, ``rule``, ``tensors``, ``numbers``, ``learning_rate``
        (the largest) and ``weight_decay``.
    """
    return [
        {
            "role": group["role"],
            "rule": group["rule"],
            "tensors": len(group["params"]),
            "numbers": sum(parameter.numel() for parameter in group["params"]),
            "learning_rate": learning_rate * group["rate"],
            "weight_decay": group["weight_decay"],
        }
        for group in optimizer.param_groups
    ]
