"""A few steps of a cell, before the study: how much a row holds, and how long a step takes.

Nothing is kept of them: the model is built, tried and forgotten.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Sequence

import torch

from hornbook.experiments.budget import Trial, rows_for
from hornbook.experiments.preparation import Prepared, validation_windows
from hornbook.models import LanguageModel
from hornbook.randomness import stream_seed
from hornbook.runs.assembly import Batches, make_batches, make_model, make_optimizer, make_trainable
from hornbook.runs.config import RunConfig
from hornbook.training import choose_device, evaluate
from hornbook.training.equipment import choose_equipment, make_step
from hornbook.training.evaluation import ValidationWindows
from hornbook.training.step import micro_batches, read

COUNTED_ROWS = 1 << 14
"""Rows whose targets are counted; the mean over so many is off by less than a hundredth."""
_ROWS_AT_ONCE = 1 << 10
_FEWEST_STEPS, _MOST_STEPS = 4, 20
_TRIED_FOR = 0.6
"""A cell is tried for this time, if that is enough for the fewest steps [seconds]."""
_TRIED_TARGETS = 256
"""Targets on which the speed of evaluation is measured."""


def try_cell(config: RunConfig, prepared: Prepared) -> Trial:
    """Count the targets of a cell's rows and train it for a few steps.

    Args:
        config: the settings of the cell; ``training.batch_size`` windows without any padding say
            how many targets a step has in every cell.
        prepared: its text.

    Raises:
        DataError: when the strategy cannot serve the text.
    """
    batches = make_batches(config, prepared.store)
    mean = targets_per_row(batches)
    rows = rows_for(config.training.batch_size * config.context_length, mean)
    model = make_trainable(config, prepared.tokenizer)
    weights = tensor_checksums(model)
    equipment = choose_equipment(config)
    device = equipment.device
    model.to(device).train()
    step = make_step(config, equipment, model, make_optimizer(config, model))
    times: list[float] = []
    accelerators = [device] if device.type == "cuda" else []
    with equipment.in_use(), torch.random.fork_rng(accelerators):
        while len(times) < _FEWEST_STEPS or (sum(times) < _TRIED_FOR and len(times) < _MOST_STEPS):
            began = time.perf_counter()
            parts = micro_batches(
                batches.training, len(times) * rows, rows, config.training.micro_batch_size
            )
            result = step(
                [part.to(device) for part in parts],
                # Small enough that no setting under study can make the trial itself diverge.
                learning_rate=min(1e-4, config.training.learning_rate),
                dropout_seed=stream_seed(config.seed, "dropout", len(times)),
            )
            read([result])
            times.append(time.perf_counter() - began)
    # The first step also sets up what later ones reuse.
    return Trial(rows, mean, statistics.median(times[1:]), weights)


def targets_per_row(batches: Batches) -> float:
    """The mean of the targets that count, over the first rows of the run or all of an epoch."""
    count = min(COUNTED_ROWS, batches.examples_per_epoch)
    found = 0
    for first in range(0, count, _ROWS_AT_ONCE):
        found += batches.training.batch(first, min(_ROWS_AT_ONCE, count - first)).real_targets
    return found / count


def seconds_per_evaluated(
    config: RunConfig, prepared: Prepared, measures: Sequence[str] = ()
) -> float:
    """Time to evaluate one target by these measures, with the cell's model as it begins."""
    model = make_model(config, prepared.tokenizer).to(choose_device(config.training.device))
    byte_lengths = torch.tensor(prepared.tokenizer.byte_lengths())
    seconds = 0.0
    windows = validation_windows(
        config, prepared, sample=_TRIED_TARGETS, seed=config.seed, measures=measures
    )
    for measure in windows.values():
        seconds += min(_timed(model, measure, byte_lengths) for _ in range(2))
    return seconds


def _timed(model: LanguageModel, measure: ValidationWindows, byte_lengths: torch.Tensor) -> float:
    """Seconds for one target; the first time round also sets up what later ones reuse."""
    began = time.perf_counter()
    found = evaluate(model, measure, byte_lengths)
    return (time.perf_counter() - began) / found.tokens


def tensor_checksums(model: LanguageModel) -> dict[str, str]:
    """The SHA-256 of every tensor, by its name and shape."""
    return {
        f"{name} {tuple(tensor.shape)}": hashlib.sha256(
            tensor.detach().cpu().contiguous().numpy().tobytes()
        ).hexdigest()
        for name, tensor in model.state_dict().items()
    }


def tensors_alike(trials: Sequence[Trial]) -> tuple[int, int]:
    """How many tensors all cells have, and how many of those begin with the same numbers in all.

    >>> one = Trial(1, 1.0, 0.1, {"head (4, 2)": "a1", "gain (2,)": "b2"})
    >>> two = Trial(1, 1.0, 0.1, {"head (4, 2)": "a1", "gain (2,)": "c3", "more (2, 2)": "d4"})
    >>> tensors_alike([one, two])
    (2, 1)
    """
    first, *others = [trial.initial_weights for trial in trials]
    common = [name for name in first if all(name in weights for weights in others)]
    alike = [name for name in common if all(weights[name] == first[name] for weights in others)]
    return len(common), len(alike)
