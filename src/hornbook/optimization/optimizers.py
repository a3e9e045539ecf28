"""AdamW over two groups of weights, and its state as plain named tensors.

Weight decay pulls matrices towards zero and leaves alone what has no reason to shrink:
norms, biases and embeddings (Loshchilov and Hutter, 2019, "Decoupled Weight Decay
Regularization"; the grouping is GPT-3's practice). A head tied to the embedding is the
embedding.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from hornbook.settings import Settings


class OptimizerConfig(Settings):
    """How gradients move the weights."""

    kind: Literal["adamw"] = "adamw"
    """Which optimizer."""

    beta1: float = Field(default=0.9, ge=0, lt=1)
    """How slowly the mean of the gradients changes."""

    beta2: float = Field(default=0.95, ge=0, lt=1)
    """How slowly the mean of their squares changes."""

    epsilon: float = Field(default=1e-8, gt=0)
    """Added to the root of the squares, against division by zero."""

    weight_decay: float = Field(default=0.1, ge=0)
    """Pull of matrices towards zero, in shares of the learning rate per step."""


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Split the trainable parameters of ``model`` into those that decay and the rest.

    Returns:
        two groups for a PyTorch optimizer, each with ``name``, ``params``, ``weight_decay``.
    """
    embeddings = {
        id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)
    }
    matrices, rest = [], []
    for parameter in model.parameters():  # each shared parameter comes once
        if parameter.requires_grad:
            decays = parameter.ndim >= 2 and id(parameter) not in embeddings
            (matrices if decays else rest).append(parameter)
    groups = [
        {"name": "matrices", "params": matrices, "weight_decay": weight_decay},
        {"name": "embeddings, norms and biases", "params": rest, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(
    model: nn.Module, config: OptimizerConfig, learning_rate: float
) -> torch.optim.Optimizer:
    """The optimizer for ``model``; its learning rate is set anew before every step."""
    return torch.optim.AdamW(
        parameter_groups(model, config.weight_decay),
        lr=learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        # One kernel over all tensors: about twice as fast as a Python loop over them.
        fused=True,
    )


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, model: nn.Module
) -> dict[str, torch.Tensor]:
    """The optimizer's state by name, ``parameter/entry``, such as ``head.weight/exp_avg``."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        f"{names[id(parameter)]}/{entry}": tensor
        for parameter, state in optimizer.state.items()
        for entry, tensor in state.items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: dict[str, torch.Tensor]
) -> None:
    """Put back what ``optimizer_tensors`` gave, on the device where the weights lie.

    Raises:
        KeyError: when a name belongs to no parameter of ``model``.
        ValueError: when a tensor has another shape than its parameter.
    """
    parameters = dict(model.named_parameters())
    for name, tensor in tensors.items():
        parameter_name, _, entry = name.rpartition("/")
        parameter = parameters[parameter_name]
        if tensor.ndim and tensor.shape != parameter.shape:
            raise ValueError(f"{name} has shape {list(tensor.shape)}, not {list(parameter.shape)}")
        # PyTorch's fused kernel wants its step counter beside the weights as well.
        optimizer.state[parameter][entry] = tensor.to(parameter.device)
