"""Checks of the loss: does it begin where it should, and can the model learn at all?

A model that knows nothing gives every one of V tokens the same probability, so its loss is log(V):

    weights drawn as usual      log(V), and a little more: logits of deviation s add about s²/2
    zero_init_head, bigram      log(V) exactly
    drawn far too large         much more
    sees its own target         much less

Then a copy of the model learns a few windows by heart. That needs every gradient, no talent.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from hornbook.data import Batch
from hornbook.models import LanguageModel
from hornbook.runs.checkpoints import TrainingState
from hornbook.runs.manifest import Manifest
from hornbook.runs.memory import is_out_of_memory
from hornbook.targets import IGNORED_TARGET
from hornbook.training.preflight_check import Check

TOLERANCE, LEAST_TOLERANCE = 0.1, 0.3
"""How far the first loss may be from log(V): a share of it, and at least so much [nats]."""
LOGITS_AT_ONCE = 1 << 25

RATES = (3e-3, 3e-2, 3e-1)
"""Learning rates of Adam that are tried one after the other, each on a fresh copy."""
STEPS = 60
SHARE = 0.5
"""The loss of a batch counts as learned by heart below this share of what it began with."""
SHARE_OF_FROZEN = 0.95
"""The same where some weights stay as they are: then it is enough that it falls."""
LONGEST = 60.0
"""After so long learning by heart is given up without a verdict [seconds]."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where the weights of the first step come from.

    Attributes:
        weights: ``drawn`` at random, ``borrowed`` from another run, text or tool, or those with
            which this very run stopped (``resumed``).
        step: optimizer steps they have had in this run.
        recent: its last training losses, if it is resumed [nats].
    """

    weights: Literal["drawn", "borrowed", "resumed"] = "drawn"
    step: int = 0
    recent: Sequence[float] = ()

    @property
    def of_corner(self) -> Beginning:
        """The same for a corner of a batch, whose losses nothing can be compared with.

        It has less context than a resumed run's losses had.

        >>> Beginning("resumed", 40, (2.0, 1.9)).of_corner
        Beginning(weights='borrowed', step=40, recent=())
        """
        return Beginning("borrowed" if self.weights == "resumed" else self.weights, self.step)


def beginning_of(manifest: Manifest, state: TrainingState) -> Beginning:
    """Where a run's weights come from, before it goes on.

    Args:
        manifest: the run's.
        state: where training stands.
    """
    fork = manifest.forked_from
    if fork is not None and fork.step == state.step and any(map(_moves_the_loss, fork.changed)):
        return Beginning("borrowed", state.step)
    if state.step:
        return Beginning("resumed", state.step, tuple(state.recent_losses))
    other = manifest.imported_from or manifest.warm_start or fork
    return Beginning("borrowed" if other else "drawn")


def _moves_the_loss(setting: str) -> bool:
    return setting.startswith(("corpus.", "data.", "model.", "context_length"))


def first_loss(model: LanguageModel, batch: Batch, beginning: Beginning) -> Check:
    """Compare the loss on the batch that trains first with what it should be.

    Args:
        model: with the weights of the first step, on its device.
        batch: on the same device.
        beginning: where these weights come from.
    """
    return judged_loss(mean_loss(model, batch), model.vocab_size, beginning)


def judged_loss(loss: float, vocab_size: int, beginning: Beginning) -> Check:
    """The verdict over a first loss [nats per token].

    >>> judged_loss(4.2, 65, Beginning()).verdict, judged_loss(40.0, 65, Beginning()).verdict
    ('pass', 'fail')
    >>> judged_loss(1.9, 65, Beginning("resumed", 100, (2.0, 1.9, 2.1))).verdict
    'pass'
    """
    name, guess = "first loss", math.log(vocab_size)
    tolerance = max(TOLERANCE * guess, LEAST_TOLERANCE)
    numbers = {"loss": loss, "log_vocabulary": guess, "tolerance": tolerance}
    fact = f"{loss:.3f} nats, and log({vocab_size:,}) is {guess:.3f}"
    if not math.isfinite(loss):
        return Check(name, "fail", f"it is {loss}", {**numbers, "loss": None}, grave=True)
    if beginning.weights == "resumed" and beginning.recent:
        return _as_before(loss, beginning, numbers)
    if loss > guess + tolerance:
        why = "the first weights make logits that are too large"
        if beginning.weights != "drawn":
            why = "weights that know less than nothing do not belong to these tokens"
        return Check(name, "fail", f"{fact}, at most {tolerance:.2f} more is usual: {why}", numbers)
    if beginning.weights != "drawn":
        return Check(name, "pass", f"{fact}: the weights have learned before", numbers)
    if loss < guess - tolerance:
        why = "a model that has learned nothing cannot know so much; does it see its targets?"
        return Check(name, "fail", f"{fact}, at most {tolerance:.2f} less is usual: {why}", numbers)
    return Check(name, "pass", f"{fact}; within {tolerance:.2f} of it", numbers)


def _as_before(loss: float, beginning: Beginning, numbers: dict[str, float]) -> Check:
    """Whether a run goes on with the loss that it had when it stopped."""
    recent = torch.tensor(list(beginning.recent), dtype=torch.float64)
    mean, deviation = float(recent.mean()), float(recent.std(correction=0))
    limit = mean + 4 * deviation + TOLERANCE * mean
    numbers = {**numbers, "mean_before": mean, "limit": limit}
    fact = f"{loss:.3f} nats, and {mean:.3f} over the last {len(recent)} steps before"
    if loss > limit:
        reason = f"{fact}, at most {limit:.3f} is usual: these are not the weights that had that"
        return Check("first loss", "fail", reason, numbers)
    return Check("first loss", "pass", f"{fact}; at most {limit:.3f} is usual", numbers)


@torch.no_grad()
def mean_loss(model: LanguageModel, batch: Batch) -> float:
    """The surprise without dropout over as many rows as are quickly scored [nats per token]."""
    rows = max(1, LOGITS_AT_ONCE // (batch.tokens.shape[1] * model.vocab_size))
    was_training = model.training
    model.eval()
    try:
        return float(_loss(model, cropped(batch, rows, batch.tokens.shape[1])))
    finally:
        model.train(was_training)


def cropped(batch: Batch, rows: int, columns: int) -> Batch:
    """Some rows of a batch, and of these some columns from the first that has a real target.

    >>> batch = Batch(torch.tensor([[0, 5, 6]]), torch.tensor([[-100, 6, 7]]), 2)
    >>> cropped(batch, 1, 2).tokens
    tensor([[5, 6]])
    """
    real = (batch.targets[:rows] != IGNORED_TARGET).any(dim=0).nonzero()
    first = int(real[0]) if len(real) else 0
    first = max(0, min(first, batch.tokens.shape[1] - columns))
    part = (slice(rows), slice(first, first + columns))
    targets = batch.targets[part]
    return Batch(
        batch.tokens[part],
        targets,
        int((targets != IGNORED_TARGET).sum()),
        None if batch.positions is None else batch.positions[part],
        None if batch.segments is None else batch.segments[part],
    )


def _loss(model: LanguageModel, batch: Batch) -> torch.Tensor:
    features, _ = model.hidden(batch.tokens, positions=batch.positions, segments=batch.segments)
    real = batch.targets != IGNORED_TARGET
    return F.cross_entropy(model.head(features[real]).float(), batch.targets[real])


def one_batch_is_learned(
    model: LanguageModel, batch: Batch, *, rates: Sequence[float] = RATES, steps: int = STEPS
) -> Check:
    """Let copies of the model learn a batch by heart; the model itself stays as it is.

    Args:
        model: on its device.
        batch: a few short windows, on the same device.
        rates: learning rates of Adam, tried until one works.
        steps: for each.
    """
    name, tokens = "learns", batch.real_targets
    if model.closed_form:
        return Check(name, "skip", "it counts and learns nothing from gradients")
    if not tokens:
        return Check(name, "skip", "the first windows have no target that counts")
    frozen = any(not parameter.requires_grad for parameter in model.parameters())
    share = SHARE_OF_FROZEN if frozen else SHARE
    began, tried = time.monotonic(), []
    try:
        for rate in rates:
            losses = _memorised(model, batch, rate, steps, share, began + LONGEST)
            tried.append((losses[-1] / max(losses[0], 1e-9), rate, losses))
            if tried[-1][0] < share or time.monotonic() > began + LONGEST:
                break
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return Check(name, "skip", "there is no memory for a copy of the model that learns")
    best, rate, losses = min(tried)
    numbers = {
        "first_loss": losses[0],
        "last_loss": losses[-1] if math.isfinite(losses[-1]) else None,
        "steps": len(losses) - 1,
        "learning_rate": rate,
        "share": share,
    }
    fact = (
        f"{tokens:,} targets from {losses[0]:.3f} to {losses[-1]:.3f} nats in "
        f"{len(losses) - 1} steps of Adam at {rate:g}"
    )
    goal = f"{share:.0%}".replace("%", " %")
    if best < share:
        return Check(name, "pass", f"{fact}, below {goal}", numbers)
    if time.monotonic() > began + LONGEST:
        return Check(name, "skip", f"{fact}, given up after {LONGEST:.0f} seconds", numbers)
    why = "every weight is frozen" if not _trained(model) else "is the gradient cut off somewhere?"
    tries = f"not below {goal}, at {len(tried)} learning rates: {why}"
    return Check(name, "fail", f"{fact}, {tries}", numbers)


def _memorised(
    model: LanguageModel, batch: Batch, rate: float, steps: int, share: float, until: float
) -> list[float]:
    """The losses of a copy that trains on one batch alone, the first one included."""
    student = _without_dropout(copy.deepcopy(model))
    weights = _trained(student)
    optimizer = torch.optim.Adam(weights, lr=rate) if weights else None
    losses: list[float] = []
    with torch.enable_grad():
        while True:
            loss = _loss(student, batch)
            losses.append(float(loss.detach()))
            learned = losses[-1] < share * losses[0]
            hopeless = not math.isfinite(losses[-1]) or optimizer is None or not loss.requires_grad
            if learned or hopeless or len(losses) > steps or time.monotonic() > until:
                return [loss if math.isfinite(loss) else math.inf for loss in losses]
            assert optimizer is not None
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def _trained(model: LanguageModel) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _without_dropout(model: LanguageModel) -> LanguageModel:
    """A model that drops nothing, in the mode in which it can be differentiated."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    # cuDNN's recurrent kernels differentiate in training mode only.
    return model.train(any(isinstance(module, nn.RNNBase) for module in model.modules()))
