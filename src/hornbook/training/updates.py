"""How far a step moves the weights: the length of the update over the length of the weights.

About 1 in 1,000 is usual for a matrix in the middle of a run; 1 in 10 is a step that forgets what
was learned, and 1 in 1,000,000 is none. Each role of the optimizer has a ratio of its own:

    group              weights        after the step       moved by        ratio
    matrices           (3, 4)         (3.003, 3.996)       0.005           0.001

It needs a copy of the weights for the time of a step, so it is only done where a line of metrics
is due. Of weights that are spread over ranks each rank copies its part, and ``norms`` adds up what
the parts have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch

from hornbook.optimization.sharding import part_of
from hornbook.training.gradients import gradient_norms

Norms = Callable[[Sequence[torch.Tensor]], torch.Tensor]
Snapshot = list[list[torch.Tensor]]
"""The weights of each group of an optimizer."""


@torch.no_grad()
def snapshot(optimizer: torch.optim.Optimizer) -> Snapshot:
    """Copies of the weights that ``optimizer`` moves."""
    return [
        [part_of(p.detach()).clone() for p in group["params"]] for group in optimizer.param_groups
    ]


@torch.no_grad()
def update_ratios(
    optimizer: torch.optim.Optimizer, before: Snapshot, norms: Norms = gradient_norms
) -> torch.Tensor:
    """The ratio of each group: [groups] ``float32``, infinite where weights were zero.

    Args:
        optimizer: after its step.
        before: what ``snapshot`` gave before it; used up.
        norms: the length of each of several tensors, of which ranks may hold parts.
    """
    ratios = []
    for group, weights in zip(optimizer.param_groups, before, strict=True):
        length = torch.linalg.vector_norm(norms(weights))
        torch._foreach_sub_(weights, [part_of(p.detach()) for p in group["params"]])
        ratios.append(torch.linalg.vector_norm(norms(weights)) / length)
    return torch.stack(ratios)


def by_role(optimizer: torch.optim.Optimizer, ratios: torch.Tensor) -> Mapping[str, float | None]:
    """The ratios by the name of each group; ``None`` where there is none, such as for zeros."""
    names = [str(g.get("role", number)) for number, g in enumerate(optimizer.param_groups)]
    return {
        name: ratio if math.isfinite(ratio) else None
        for name, ratio in zip(names, ratios.tolist(), strict=True)
    }
