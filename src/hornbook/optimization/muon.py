"""Muon for matrices, AdamW for the rest.

A gradient of a matrix is mostly a few directions; Muon gives all of them the same say. What it
takes off a matrix is its momentum made orthogonal (Jordan et al., 2024, "Muon: An optimizer for
hidden layers in neural networks"):

    B  ←  m B + (1 - m) G                     momentum
    U  =  m B + (1 - m) G                     a look ahead (Nesterov), or U = B
    W  ←  W - η d W - η s orthogonal(U)       decoupled decay, then the step

How long the step is, s, depends on the matrix's shape (outputs x inputs):

    adamw      0.2 sqrt(max(outputs, inputs))    entries move as much as under AdamW, so its
                                                 learning rates serve (Liu et al., 2025, "Muon
                                                 is Scalable for LLM Training")
    spectral   sqrt(max(1, outputs / inputs))    Jordan's: what the matrix does to a vector
                                                 changes by as much whatever its shape
    none       1

Cautious decay pulls only those weights to zero which the step moves that way too (Chen et al.,
2025, "Cautious Weight Decay").

Embeddings, head, gains and biases are no matrices that a vector is multiplied with, or are better
served by AdamW, as Jordan found; so they have groups with the rule ``adamw``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch.optim.adamw import adamw

from hornbook.optimization.newton_schulz import fast_dtype, orthogonalised
from hornbook.optimization.sharding import part_like, part_of, whole_like

UpdateScale = Literal["adamw", "spectral", "none"]


def update_scale(rule: UpdateScale, rows: int, columns: int) -> float:
    """What an orthogonal step of a [rows, columns] matrix is multiplied with.

    >>> update_scale("adamw", 100, 25), update_scale("spectral", 100, 25)
    (2.0, 2.0)
    """
    if rule == "adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1.0, rows / columns)) if rule == "spectral" else 1.0


class Muon(torch.optim.Optimizer):
    """Moves groups whose ``rule`` is ``muon`` as the module says, and the others by AdamW.

    Args:
        groups: parameter groups with ``rule`` and ``weight_decay``; the parameters of a muon
            group have at least two dimensions, and those beyond the second count as inputs.
        learning_rate: until the groups' ``lr`` is set anew.
        momentum: share of the old momentum that stays.
        nesterov: whether to look ahead.
        steps: of the Newton-Schulz iteration.
        dtype: what it is computed in; ``None`` picks the fastest for the device.
        scale: the length of a step by shape.
        cautious: whether decay leaves weights alone that the step moves away from zero.
        betas, epsilon: AdamW's.
        joint_rows: the rows of the matrices that share a parameter; each is made orthogonal by
            itself, because query, key and value differ in size and purpose.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        learning_rate: float,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        steps: int = 5,
        dtype: torch.dtype | None = None,
        scale: UpdateScale = "adamw",
        cautious: bool = False,
        betas: tuple[float, float] = (0.9, 0.95),
        epsilon: float = 1e-8,
        joint_rows: Mapping[torch.Tensor, tuple[int, ...]] | None = None,
    ) -> None:
        super().__init__(groups, {"lr": learning_rate})
        self.momentum, self.nesterov = momentum, nesterov
        self.steps, self.dtype, self.cautious = steps, dtype, cautious
        self.scale: UpdateScale = scale
        self.betas, self.epsilon = betas, epsilon
        self._joint_rows = dict(joint_rows or {})

    _step_supports_amp_scaling = True

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Move every weight that has a gradient, once.

        Args:
            closure: never given; PyTorch's interface has it.
        """
        assert closure is None, "no closure is needed: gradients are there"
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not moved:
                continue
            if group["rule"] == "muon":
                self._step_matrices(moved, group["lr"], group["weight_decay"])
            else:
                self._step_rest(moved, group["lr"], group["weight_decay"])

    def _step_matrices(
        self, matrices: list[torch.Tensor], learning_rate: float, decay: float
    ) -> None:
        # All but the orthogonal step is done entry by entry, so a rank does it for its part.
        parameters = [part_of(matrix) for matrix in matrices]
        gradients = [part_of(matrix.grad) for matrix in matrices if matrix.grad is not None]
        momenta = [part_of(self._momentum(matrix)) for matrix in matrices]
        skipped = self._skipped
        before = None if skipped is None else [momentum.clone() for momentum in momenta]
        torch._foreach_lerp_(momenta, gradients, 1 - self.momentum)
        if self.nesterov:
            updates = list(torch._foreach_lerp(gradients, momenta, self.momentum))
        else:
            updates = [momentum.clone() for momentum in momenta]
        updates = self._orthogonalised(matrices, updates)
        if skipped is not None and before is not None:
            for momentum, old, update in zip(momenta, before, updates, strict=True):
                momentum.copy_(torch.where(skipped, old, momentum))
                update.masked_fill_(skipped, 0.0)
        if decay and self.cautious:
            for parameter, update in zip(parameters, updates, strict=True):
                agreeing = (parameter * update > 0).to(parameter.dtype)
                parameter.addcmul_(parameter, agreeing, value=-learning_rate * decay)
        elif decay:
            kept: Any = 1 - learning_rate * decay
            torch._foreach_mul_(parameters, kept if skipped is None else kept ** (~skipped).float())
        torch._foreach_add_(parameters, updates, alpha=-learning_rate)

    @property
    def _skipped(self) -> torch.Tensor | None:
        """[] bool on the device, whether this step is to change nothing; ``None`` if it must.

        PyTorch's agreement with optimizers that need not wait for the device to learn whether a
        gradient was finite: ``found_inf`` is set before the step.
        """
        found: torch.Tensor | None = getattr(self, "found_inf", None)
        assert getattr(self, "grad_scale", None) is None, "gradients come without a scale"
        return None if found is None else found > 0

    def _momentum(self, parameter: torch.Tensor) -> torch.Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]

    def _orthogonalised(
        self, parameters: list[torch.Tensor], updates: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Every matrix in ``updates`` orthogonal and as long as its shape asks; may be in place.

        Matrices of one shape (or its transpose) go through the iteration as one batch. Of a
        sharded matrix every rank computes the whole.
        """
        wholes = [whole_like(update, p) for p, update in zip(parameters, updates, strict=True)]
        alike: dict[Any, list[torch.Tensor]] = defaultdict(list)
        for parameter, update in zip(parameters, wholes, strict=True):
            flat = update if update.ndim == 2 else update.view(len(update), -1)
            rows = self._joint_rows.get(parameter, (len(flat),))
            for matrix in flat.split(list(rows)):
                wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
                alike[wide.shape, wide.device].append(matrix)
        for (shape, device), matrices in alike.items():
            wide = [m if m.shape == shape else m.mT for m in matrices]
            found = orthogonalised(
                torch.stack(wide), steps=self.steps, dtype=self.dtype or fast_dtype(device)
            )
            for matrix, its, orthogonal in zip(matrices, wide, found, strict=True):
                its.copy_(orthogonal)
                scale = update_scale(self.scale, *matrix.shape)
                if scale != 1:
                    matrix.mul_(scale)
        return [part_of(part_like(u, p)) for p, u in zip(parameters, wholes, strict=True)]

    def _step_rest(
        self, parameters: list[torch.Tensor], learning_rate: float, decay: float
    ) -> None:
        states = [self._moments(parameter) for parameter in parameters]
        adamw(
            [part_of(parameter) for parameter in parameters],
            [part_of(parameter.grad) for parameter in parameters if parameter.grad is not None],
            [part_of(state["exp_avg"]) for state in states],
            [part_of(state["exp_avg_sq"]) for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            found_inf=getattr(self, "found_inf", None),
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=learning_rate,
            weight_decay=decay,
            eps=self.epsilon,
            maximize=False,
        )

    def _moments(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        """AdamW's state of a parameter, under the names that PyTorch's own AdamW gives it."""
        state = self.state[parameter]
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state
