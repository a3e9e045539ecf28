"""Why training stopped, where its weights are, and what to do next: the words of each stop."""

from __future__ import annotations

from pathlib import Path

from hornbook.errors import RunError, TrainingStopped
from hornbook.training.fitting import Fitting
from hornbook.training.preflight_check import Check
from hornbook.training.ranks import RankLost


def stopped_before_start(folder: Path, step: int, check: Check) -> TrainingStopped:
    """A check says that what would be trained is wrong."""
    return TrainingStopped(
        f'Before step {step + 1}: the check "{check.name}" failed, so {folder} would learn '
        f"something wrong: {check.reason}. Nothing was trained. All checks: hornbook train --check "
        f"--resume {folder}"
    )


def stopped_not_finite(
    folder: Path, step: int, what: str, *, rate: float, clip: float
) -> TrainingStopped:
    """A loss or gradient was not finite.

    Args:
        folder: the run.
        step: the last step whose weights are good.
        what: which number it was.
        rate: the learning rate that would have been used.
        clip: ``training.gradient_clip``, 0 if it was off.
    """
    shorter = f"a smaller training.gradient_clip (it was {clip:g})"
    if not clip:
        shorter = "training.gradient_clip=1.0 (it was off)"
    where = ", in a new run."
    if step:
        where = (
            f". The last good weights are at step {step}; go on from them, or from an earlier "
            f"checkpoint, with: hornbook train --from {folder}@{step} "
            f"training.learning_rate={rate / 4:.2g}"
        )
    return TrainingStopped(
        f"Step {step + 1}: {what}. The step was not applied. Try a smaller "
        f"training.learning_rate (it was {rate:.2g}), a longer training.schedule.warmup_steps or "
        f"{shorter}{where}"
    )


def stopped_overflowing(folder: Path, step: int, in_a_row: int) -> TrainingStopped:
    """float16 overflowed in too many steps, one after the other."""
    return TrainingStopped(
        f"Step {step}: {in_a_row} steps in a row overflowed float16, though the loss was scaled by "
        "less each time; none of them was applied. The numbers do not fit into float16: go on with "
        f"hornbook train --resume {folder} training.precision=bfloat16 (or float32), or try a "
        "smaller training.learning_rate in a new run."
    )


def stopped_by_evaluation(folder: Path, step: int, loss: float, saved_step: int) -> TrainingStopped:
    """The loss on the validation side was not finite."""
    return TrainingStopped(
        f"Step {step}: the validation loss is {loss}. The newest checkpoint of {folder} is from "
        f"step {saved_step}; go on from it with a smaller training.learning_rate (hornbook train "
        "--from)."
    )


def stopped_unwritable(folder: Path, step: int, error: OSError, saved_step: int) -> TrainingStopped:
    """The disk is full, or gone."""
    kept = f"from step {saved_step}" if saved_step else "none yet"
    return TrainingStopped(
        f"Step {step}: {folder} could not be written: {error.strerror or error}. Its last whole "
        f"checkpoint is {kept}. Make room, then: hornbook train --resume {folder}"
    )


def stopped_by_loss_of_rank(
    folder: Path, step: int, error: RankLost, saved_step: int
) -> TrainingStopped:
    """Another rank is gone."""
    kept = f"from step {saved_step}" if saved_step else "none yet"
    return RankLost(
        f"Step {step + 1}: {error} The last whole checkpoint is {kept}. Go on, with any number of "
        f"ranks: hornbook train --resume {folder}"
    )


def too_large(folder: Path, fitting: Fitting, context_length: int, memory: str) -> RunError:
    """A step does not fit into memory.

    Args:
        folder: the run.
        fitting: what was tried.
        context_length: tokens in a window.
        memory: which memory, and how much of it there is.
    """
    start = f"A step does not fit into {memory}: {fitting}, each of {context_length:,} tokens. "
    go_on = f"hornbook train --resume {folder}"
    if fitting.fits is not None:
        return RunError(
            f"{start}Go on with: {go_on} training.micro_batch_size={fitting.fits} (the gradient "
            "stays the same)"
        )
    return RunError(
        f"{start}Try {go_on} training.micro_batch_size=1 training.activation_checkpointing=true "
        "(for a transformer), or a new run with less of context_length, model.d_model or "
        "model.layers."
    )
