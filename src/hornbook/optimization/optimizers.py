"""Which optimizer a run has, and what its settings are; each is described where it is made.

    adamw   a running mean of gradients over the root of a running mean of their squares, with
            decay apart from both (Loshchilov and Hutter, 2019, "Decoupled Weight Decay
            Regularization"); PyTorch's own
    sgd     the gradient itself, with momentum (Sutskever et al., 2013, "On the importance of
            initialization and momentum in deep learning"); PyTorch's own. Its decay is added to
            the gradient
    muon    orthogonal steps for matrices, AdamW for the rest; see ``muon``

Weight decay pulls matrices and the head towards zero and leaves alone what has no reason to
shrink: gains, biases and embeddings (GPT-3's practice). A head tied to the embedding is the
embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from hornbook.errors import Problem
from hornbook.optimization.groups import parameter_groups
from hornbook.optimization.muon import Muon, UpdateScale
from hornbook.optimization.roles import Role, joint_rows_of
from hornbook.settings import Settings


class OptimizerConfig(Settings):
    """How gradients move the weights."""

    kind: Literal["adamw", "sgd", "muon"] = "adamw"
    """Which optimizer: adamw, sgd, or muon (orthogonal steps for matrices, AdamW for the rest)."""

    beta1: float = Field(default=0.9, ge=0, lt=1)
    """How slowly the mean of the gradients changes; read by adamw, and by muon for the rest."""

    beta2: float = Field(default=0.95, ge=0, lt=1)
    """How slowly the mean of their squares changes; read by adamw, and by muon for the rest."""

    epsilon: float = Field(default=1e-8, gt=0)
    """Added to the root of the squares, against division by zero; read by adamw, and by muon for
    the rest."""

    weight_decay: float = Field(default=0.1, ge=0)
    """Pull towards zero of the roles in decayed, in shares of the learning rate per step."""

    decayed: tuple[Role, ...] = ("matrices", "head")
    """The roles that weight_decay pulls: embeddings, matrices, head, gains (biases are gains)."""

    momentum: float = Field(default=0.95, ge=0, lt=1)
    """How slowly the running mean (muon) or sum (sgd) of gradients changes; read by muon and
    sgd."""

    nesterov: bool = True
    """Whether momentum looks one step ahead (Nesterov, 1983); read by muon and sgd."""

    newton_schulz_steps: int = Field(default=5, ge=1, le=20)
    """How often muon's polynomial is applied to make a matrix orthogonal."""

    newton_schulz_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What it is computed in; auto is bfloat16 where the device has instructions for it."""

    update_scale: UpdateScale = "adamw"
    """How muon's step depends on a matrix's shape: adamw (0.2 of the root of the longer side, so
    that learning rates of AdamW serve), spectral (the root of outputs over inputs, at least 1;
    learning rates are then some ten times larger) or none."""

    cautious_decay: bool = False
    """Whether muon's decay leaves alone the weights that the step moves away from zero."""

    embedding_rate: float = Field(default=1.0, gt=0, le=1e6)
    """What training.learning_rate is multiplied with for embeddings."""

    matrix_rate: float = Field(default=1.0, gt=0, le=1e6)
    """What training.learning_rate is multiplied with for matrices."""

    head_rate: float = Field(default=1.0, gt=0, le=1e6)
    """What training.learning_rate is multiplied with for a head that is not tied."""

    gain_rate: float = Field(default=1.0, gt=0, le=1e6)
    """What training.learning_rate is multiplied with for gains and biases."""

    def conflicts(self) -> Iterator[Problem]:
        """Yield a problem for each pair of values that make no sense together."""
        if self.kind == "sgd" and self.nesterov and self.momentum == 0:
            yield Problem(
                "nesterov",
                "looks ahead along the momentum, and momentum=0 has none; use nesterov=false",
                "true",
            )
        if self.cautious_decay and self.kind != "muon":
            yield Problem(
                "cautious_decay",
                f"is a way of muon, and kind={self.kind}; use kind=muon, or cautious_decay=false",
                "true",
            )

    @property
    def rates(self) -> dict[Role, float]:
        """What the learning rate is multiplied with, by role."""
        return {
            "embeddings": self.embedding_rate,
            "matrices": self.matrix_rate,
            "head": self.head_rate,
            "gains": self.gain_rate,
        }

    @property
    def decays(self) -> dict[Role, float]:
        """The weight decay, by role."""
        return {role: self.weight_decay if role in self.decayed else 0.0 for role in self.rates}


def build_optimizer(
    model: nn.Module, config: OptimizerConfig, learning_rate: float
) -> torch.optim.Optimizer:
    """The optimizer for ``model``; its learning rate is set anew before every step."""
    groups = parameter_groups(model, rates=config.rates, decays=config.decays)
    for group in groups:
        whole = config.kind == "muon" and group["role"] != "matrices"
        group["rule"] = "adamw" if whole else config.kind
        group["lr"] = learning_rate * group["rate"]
    if config.kind == "muon":
        return Muon(
            groups,
            learning_rate,
            momentum=config.momentum,
            nesterov=config.nesterov,
            steps=config.newton_schulz_steps,
            dtype=_dtype(config),
            scale=config.update_scale,
            cautious=config.cautious_decay,
            betas=(config.beta1, config.beta2),
            epsilon=config.epsilon,
            joint_rows=joint_rows_of(model),
        )
    # Fused is one kernel over all tensors: about twice as fast as a Python loop over them.
    if config.kind == "sgd":
        return torch.optim.SGD(
            groups,
            lr=learning_rate,
            momentum=config.momentum,
            nesterov=config.nesterov,
            fused=True,
        )
    return torch.optim.AdamW(
        groups,
        lr=learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
        fused=True,
    )


def _dtype(config: OptimizerConfig) -> torch.dtype | None:
    if config.newton_schulz_precision == "auto":
        return None
    return getattr(torch, config.newton_schulz_precision)
