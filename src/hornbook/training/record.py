"""What a run writes down while it is trained, and in which order it becomes safe.

The checkpoint comes last and the journals are flushed before it, so it never knows more than they
do; what they know beyond the last checkpoint is cut off on resume and written again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hornbook.generation import Sample
from hornbook.listener import Listener
from hornbook.models import CarriedState
from hornbook.runs.checkpoints import TrainingState, prune_checkpoints, save_checkpoint
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.training.tracking import Tracker, open_trackers


class RunRecord:
    """The files of a run in training, and whoever watches. Nothing else writes them.

    Use it as a context manager: its end is that of the trackers too.

    Args:
        folder: the run; the caller holds its lock.
        config: its settings.
        listener: told of everything that is written.
        saved_step: the step of the newest checkpoint, 0 if there is none.
        writes: whether anything is written; of several ranks only the first does.

    Attributes:
        path: the run's folder.
        saved_step: likewise, at any time.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        listener: Listener,
        *,
        saved_step: int,
        writes: bool = True,
    ) -> None:
        self._folder, self._config, self._listener = folder, config, listener
        self._trackers: list[Tracker] = []
        self.path = folder.path
        self.saved_step, self.writes = saved_step, writes

    def begin(self, step: int) -> None:
        """Forget what the journals know beyond ``step``, and tell the rest to the trackers."""
        if self.writes:
            for journal in self._folder.journals:
                journal.cut_back(step)
            created = self._folder.read_manifest().created
            for tracker in open_trackers(self._folder, self._config, created):
                self._trackers.append(tracker)  # one by one: those before one that fails are ended

    def __enter__(self) -> RunRecord:
        return self

    def __exit__(self, *error: object) -> None:
        """End what shows the run elsewhere."""
        for tracker in self._trackers:
            tracker.close()

    def measured(self, entry: Mapping[str, Any]) -> None:
        """Write a line of ``metrics.jsonl``."""
        if self.writes:
            self._folder.metrics.append(entry)
        for tracker in self._trackers:
            tracker.measured(entry)
        self._listener.measured(entry)

    def sampled(self, step: int, sample: Sample) -> None:
        """Write a line of ``samples.jsonl``."""
        entry = {"step": step, "prompt": sample.prompt, "text": sample.text}
        if self.writes:
            self._folder.samples.append(entry)
        for tracker in self._trackers:
            tracker.sampled(entry)
        self._listener.sampled(step, str(sample))

    def noted(self, entry: Mapping[str, Any], words: str) -> None:
        """Write a line of ``notes.jsonl``: something that a person should look at."""
        if self.writes:
            self._folder.notes.append(entry)
        self._listener.notice(f"step {entry['step']:,}: {words}; see {self._folder.notes.path}")

    def saved(
        self,
        weights: Mapping[str, torch.Tensor],
        optimizer_tensors: Mapping[str, torch.Tensor],
        state: TrainingState,
        carried: CarriedState | None,
        *,
        prune: bool = True,
    ) -> None:
        """Write a checkpoint, and delete those that are no longer wanted.

        Args:
            weights: what ``model_tensors`` gave, whole.
            optimizer_tensors: the optimizer's state by name, whole.
            state: where training stands.
            carried: the hidden state of every row of the batch, if any.
            prune: whether to delete old checkpoints.

        Raises:
            OSError: when it cannot be written; every earlier checkpoint stays whole.
        """
        if self.writes:
            for journal in self._folder.journals:
                journal.sync()
            for tracker in self._trackers:
                tracker.flush()
            save_checkpoint(self._folder.path, weights, optimizer_tensors, state, carried)
        self.saved_step = state.step
        if prune and self.writes:
            best = state.best["step"] if state.best else None
            keep = self._config.training.keep_checkpoints
            prune_checkpoints(self._folder.path, keep=keep, best_step=best)
