"""Weights that stay as they are, picked by the names of tensors.

    training.freeze=["token_embedding*", "blocks.0.*"]

``*`` stands for anything, ``?`` for one character, ``[01]`` for one of these. A tensor that two
parts share has two names; either picks it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from hornbook.errors import ConfigError, Problem
from hornbook.settings import as_written

_KEY = "training.freeze"


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Stop gradients at every parameter whose name fits a pattern; the rest goes on learning.

    Args:
        model: any module.
        patterns: see the module's docstring.

    Returns:
        the names of what is frozen, each tensor under its first name.

    Raises:
        ConfigError: when a pattern fits no name, or nothing is left to train.

    >>> freeze(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), ["0.*"])
    ['0.weight', '0.bias']
    """
    names = dict(model.named_parameters(remove_duplicate=False))
    chosen: set[int] = set()
    problems = []
    for pattern in patterns:
        fitting = [id(p) for name, p in names.items() if fnmatchcase(name, pattern)]
        if not fitting:
            problems.append(Problem(_KEY, _no_such_tensor(pattern, list(names)), pattern))
        chosen.update(fitting)
    frozen = [name for name, p in model.named_parameters() if id(p) in chosen]
    if frozen and len(frozen) == len(list(model.parameters())):
        problems.append(
            Problem(_KEY, "leaves nothing to train; name fewer tensors", as_written(list(patterns)))
        )
    if problems:
        raise ConfigError(problems)
    for name in frozen:
        names[name].requires_grad_(False)
    return frozen


def _no_such_tensor(pattern: str, names: list[str]) -> str:
    """Say that nothing fits, with the names that come closest.

    >>> _no_such_tensor("tokenembedding*", ["token_embedding.weight", "final_norm.weight"])
    'fits the name of no tensor; near it are token_embedding.weight'
    """
    plain = pattern.strip("*")
    near = difflib.get_close_matches(plain, names, n=3, cutoff=0.5) or names[:3]
    return f"fits the name of no tensor; near it are {', '.join(near)}"
