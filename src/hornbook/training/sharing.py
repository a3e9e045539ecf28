"""What several ranks cannot share, told before anything is made: all of it at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from hornbook.errors import ConfigError, Problem
from hornbook.runs.config import RunConfig
from hornbook.training.ranks import Ranks


def refuse_unshareable(config: RunConfig, ranks: Ranks) -> None:
    """Raise ``ConfigError`` with everything that keeps the ranks from training this run."""
    problems = list(unshareable(config, ranks)) if ranks.count > 1 else []
    if problems:
        raise ConfigError(problems)


def unshareable(config: RunConfig, ranks: Ranks) -> Iterator[Problem]:
    """Yield every problem that there is with several ranks and would not be with one."""
    size, count = config.training.batch_size, ranks.count
    if size % count:
        yield Problem(
            "training.batch_size",
            f"does not divide over {count} ranks; use {sizes_that_fit(size, count)}, or start "
            f"{counts_that_fit(size, count)} of them",
            str(size),
        )
    start = config.training.batch_ramp.start
    if start % count and not size % count:
        yield Problem(
            "training.batch_ramp.start",
            f"does not divide over {count} ranks; use {sizes_that_fit(start, count)}",
            str(start),
        )
    if config.model.kind == "bigram_counts":
        yield Problem(
            "model.kind",
            "counts the text in one pass, which one process does; start it without torchrun, or "
            "use model.kind=bigram",
            config.model.kind,
        )
    yield from _device_problems(config.training.device, ranks)


def sizes_that_fit(size: int, count: int) -> str:
    """The batch sizes around ``size`` that ``count`` ranks can share evenly.

    >>> sizes_that_fit(16, 3), sizes_that_fit(2, 3)
    ('15 or 18', '3')
    """
    below = size // count * count
    return " or ".join(str(fits) for fits in (below, below + count) if fits)


def counts_that_fit(size: int, count: int) -> str:
    """How many ranks can share a batch of ``size``, below ``count`` and above.

    >>> counts_that_fit(16, 3), counts_that_fit(2, 3)
    ('2 or 4', '2')
    """
    below = max(number for number in range(1, count) if size % number == 0)
    above = next((number for number in range(count + 1, size + 1) if size % number == 0), None)
    return f"{below}" if above is None else f"{below} or {above}"


def _device_problems(name: str, ranks: Ranks) -> Iterator[Problem]:
    key = "training.device"
    kind, _, number = name.partition(":")
    if kind == "mps":
        yield Problem(
            key, "is one device for one process; use cpu, or start without torchrun", name
        )
    elif number:
        yield Problem(key, "is one device, and each rank takes one of its own; use cuda", name)
    elif kind == "cuda" or (kind == "auto" and torch.cuda.is_available()):
        devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if devices < ranks.local_count:
            there = f"{devices or 'no'} CUDA device{'' if devices == 1 else 's'}"
            yield Problem(
                key,
                f"{ranks.local_count} ranks were started on a machine with {there}; start one "
                "rank for each (--nproc-per-node), or use cpu",
                name,
            )
