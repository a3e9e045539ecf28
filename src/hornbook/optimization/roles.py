"""What each parameter is for: the roles that optimizers tell apart.

    embeddings   a row for each id or position        token_embedding.weight
    matrices     a product with the activations       blocks.0.attention.qkv.weight
    head         the last product, onto the logits    output_head.weight
    gains        one number a channel, and biases     blocks.0.attention_norm.weight

The role follows from how a parameter is used, not from how it is called: tables are what
``nn.Embedding`` modules hold, the head is the model's module ``output_head``, matrices are
whatever else has two dimensions. A head that is tied to the embedding is the embedding.

A module that keeps several matrices in one, because a single product is faster, says so:
``joint_rows = {"qkv.weight": (128, 64, 64)}`` are three matrices that share their input.
Optimizers that look at a matrix as a whole (Muon) then treat each by itself.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Role = Literal["embeddings", "matrices", "head", "gains"]
ROLES: tuple[Role, ...] = ("embeddings", "matrices", "head", "gains")


def roles_of(model: nn.Module) -> dict[str, Role]:
    """The role of every parameter by name; a shared one stands under its first name.

    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.LayerNorm(4), nn.Linear(4, 4, bias=False))
    >>> roles_of(model)
    {'0.weight': 'embeddings', '1.weight': 'gains', '1.bias': 'gains', '2.weight': 'matrices'}
    """
    tables = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for parameter in module.parameters(recurse=False)
    }
    head = getattr(model, "output_head", None)
    last = {id(parameter) for parameter in head.parameters()} if head is not None else set()
    roles: dict[str, Role] = {}
    for name, parameter in model.named_parameters():
        if id(parameter) in tables:
            roles[name] = "embeddings"
        elif parameter.ndim < 2:
            roles[name] = "gains"
        else:
            roles[name] = "head" if id(parameter) in last else "matrices"
    return roles


def joint_rows_of(model: nn.Module) -> dict[torch.Tensor, tuple[int, ...]]:
    """For every parameter that several matrices share: the rows of each, from the top.

    >>> joint = nn.Linear(4, 6)
    >>> joint.joint_rows = {"weight": (4, 2)}
    >>> joint_rows_of(nn.Sequential(joint))[joint.weight]
    (4, 2)
    """
    found: dict[torch.Tensor, tuple[int, ...]] = {}
    for module in model.modules():
        for name, rows in getattr(module, "joint_rows", {}).items():
            parameter = module.get_parameter(name)
            assert sum(rows) == len(parameter), f"{name} has {len(parameter)} rows, not {rows}"
            found[parameter] = tuple(rows)
    return found
