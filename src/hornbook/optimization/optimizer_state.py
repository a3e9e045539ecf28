"""An optimizer's state as plain named tensors, the same for every kind.

    token_embedding.weight/exp_avg            AdamW: mean of the gradients
    token_embedding.weight/exp_avg_sq                and of their squares
    token_embedding.weight/step                      how many there were
    blocks.0.attention.qkv.weight/momentum    Muon
    blocks.0.attention.qkv.weight/momentum_buffer  SGD

Names are the model's own, so that state finds its parameter whatever group that is in.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

ENTRIES = {
    "adamw": {"exp_avg", "exp_avg_sq", "step"},
    "sgd": {"momentum_buffer"},
    "muon": {"momentum"},
}
"""What each rule keeps of a parameter."""


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, model: nn.Module
) -> dict[str, torch.Tensor]:
    """The optimizer's state by name, ``parameter/entry``, such as ``head.weight/exp_avg``."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        f"{names[id(parameter)]}/{entry}": value
        for parameter, state in optimizer.state.items()
        for entry, value in state.items()
        if isinstance(value, torch.Tensor)  # SGD without momentum keeps a None
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


def fitting_tensors(
    optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """What of another optimizer's state serves this one, which may have other rules or weights.

    Args:
        optimizer: built by ``build_optimizer`` for ``model``.
        model: whose names ``tensors`` has.
        tensors: the state of an optimizer of any kind.

    Returns:
        the entries of parameters that are trained here, by the rule that made them.
    """
    rules = {id(p): group["rule"] for group in optimizer.param_groups for p in group["params"]}
    kept = {name: ENTRIES[rules[id(p)]] for name, p in model.named_parameters() if id(p) in rules}
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name.rpartition("/")[2] in kept.get(name.rpartition("/")[0], ())
    }
