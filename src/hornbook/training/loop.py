"""From the first step to the last; ``milestones`` tells what happens between two of them.

On a CUDA device steps run ahead of what is known of them (``step``). So a step is first *issued*;
it counts as done when it was *read*, which happens at once on a CPU and otherwise when something
is due:

    issued     1  2  3  4  5  6  7  8  9 10
    read                                  └─ 1 to 10: the line of metrics for step 10
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from hornbook.data import Batch
from hornbook.data.consecutive import ConsecutiveBatches
from hornbook.data.loader import BatchLoader
from hornbook.listener import Listener
from hornbook.models import BigramCounts, LanguageModel
from hornbook.optimization import group_facts, load_optimizer_tensors
from hornbook.randomness import stream_seed
from hornbook.runs.assembly import Batches, make_optimizer, make_trainable
from hornbook.runs.checkpoints import (
    TrainingState,
    checkpoint_at,
    newest_whole_checkpoint,
)
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.runs.memory import explained_memory, is_out_of_memory
from hornbook.tokenizers import Tokenizer
from hornbook.training import stops
from hornbook.training.carrying import CarriedRows
from hornbook.training.closed_form import fit_bigram_counts
from hornbook.training.equipment import Equipment, make_step, spread_out
from hornbook.training.fitting import Fitting, find_fitting, first_rows
from hornbook.training.interruption import Interruption
from hornbook.training.jump_notes import note_of_jump
from hornbook.training.jumps import jump
from hornbook.training.milestones import Milestones
from hornbook.training.peak_memory import memory_in_words
from hornbook.training.preflight_loss import beginning_of
from hornbook.training.preflight_quick import quick_checks
from hornbook.training.progress import Issued, with_step, with_time
from hornbook.training.ranks import RankLost
from hornbook.training.record import RunRecord
from hornbook.training.step import (
    Reading,
    TrainingStep,
    micro_batches,
    not_finite,
    read,
    reads_late,
)
from hornbook.training.watching import Watch

LATEST_READING = 16
"""A step is read after at most so many others were issued behind it."""

MOST_OVERFLOWS = 20
"""So many steps in a row that overflow float16 halve the first scale of the loss to 1/16: what
still overflows then does so by itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a stretch of training ended.

    Attributes:
        step: optimizer steps done, over all sessions.
        signal: what interrupted it, or ``None`` if it reached its last step.
    """

    step: int
    signal: signal.Signals | None = None


class TrainingLoop:
    """Trains one run from its newest checkpoint, or from the start, to its last step.

    Args:
        folder: the run; the caller holds its lock.
        config: its settings.
        tokenizer: its tokenizer.
        batches: its examples.
        equipment: what to train with.
        listener: who watches.
        from_step: the checkpoint to begin from, 0 for none; the newest whole one unless given.

    Attributes:
        model: with its first weights until it runs.
        newest: the checkpoint whose weights it takes then, if there is one.
        state: where training stands.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        tokenizer: Tokenizer,
        batches: Batches,
        equipment: Equipment,
        listener: Listener,
        from_step: int | None = None,
    ) -> None:
        self.folder, self.config, self.tokenizer = folder, config, tokenizer
        self.batches, self.equipment, self.listener = batches, equipment, listener
        self.device, self.ranks, self.plan = equipment.device, equipment.ranks, config.training
        self.model: LanguageModel = make_trainable(config, tokenizer, listener=listener)
        self.last_step = 1 if self.model.closed_form else self.plan.steps
        if from_step is None:
            self.newest = newest_whole_checkpoint(folder.path, listener=listener)
        else:
            begins = checkpoint_at(folder.path, from_step)
            self.newest = begins if from_step or begins.folder.is_dir() else None
        self.state = self.newest.state() if self.newest is not None else TrainingState()
        self.record = RunRecord(
            folder,
            config,
            listener,
            saved_step=self.state.step,
            writes=self.ranks.is_first,
        )
        self._ahead: list[Issued] = []
        self._carried: CarriedRows | None = None

    def run(self) -> Outcome:
        """Train until the last step or a signal; either way the end is a checkpoint.

        Raises:
            TrainingStopped: when a number is not finite or a checkpoint cannot be written.
            RunError: when a step does not fit into memory.
        """
        accelerators = [self.device] if self.device.type == "cuda" else []
        remedy = "Choose less of model.d_model, model.layers or context_length."
        try:
            # Dropout is seeded through PyTorch's global stream; the caller gets it back as it was.
            with (
                torch.random.fork_rng(accelerators),
                explained_memory("The run", remedy),
                self.ranks.connected(self.device),
                self.record,
            ):
                return self._run()
        except RankLost as error:
            path, saved = self.folder.path, self.record.saved_step
            raise stops.stopped_by_loss_of_rank(path, self.state.step, error, saved) from error
        except OSError as error:
            path, saved = self.folder.path, self.record.saved_step
            raise stops.stopped_unwritable(path, self.state.step, error, saved) from error

    def _run(self) -> Outcome:
        newest = self.newest
        if newest is not None:
            newest.load_model(self.model)
        self._look_ahead()
        self.record.begin(self.state.step)
        self.model.train()
        spread = spread_out(self.config, self.equipment, self.model, self.listener)
        self._milestones = Milestones(
            self.config,
            self.model,
            self.tokenizer,
            self.batches,
            self.equipment,
            spread,
            self.record,
            self.last_step,
        )
        if self.model.closed_form:
            return self._fit_closed_form()
        optimizer = make_optimizer(self.config, self.model)
        if newest is not None:
            tensors = spread.dealt(newest.optimizer_tensors())
            load_optimizer_tensors(optimizer, self.model, tensors)
        step = make_step(self.config, self.equipment, self.model, optimizer, self.listener, spread)
        if step.scale is not None and self.state.loss_scale is not None:
            step.scale.restore(self.state.loss_scale)
        training = self.batches.training
        if self.plan.carry_state and isinstance(training, ConsecutiveBatches):
            kept = newest.carried_state() if newest is not None else None
            size = self.plan.batch_size
            self._carried = CarriedRows(training, self.ranks, self.model, size, kept)
        watch = Watch(
            self.model,
            step,
            self.config.context_length,
            self.equipment.precision,
            self.ranks.count,
        )
        watch.tell(self.listener)
        self.listener.optimizing(group_facts(optimizer, self.plan.peak_learning_rate))
        self.listener.training_began(self.state.step, self.last_step)
        with Interruption() as interruption, BatchLoader(self._steps(), self.device) as loader:
            stop = self.ranks.largest(interruption.requested or 0)
            while self._issued_steps < self.last_step and not stop:
                self._one_step(step, watch, loader)
                stop = self.ranks.largest(interruption.requested or 0)
            self._take_in(step, self._read())
            if self.record.saved_step != self.state.step:
                self._save(step)
        return Outcome(self.state.step, signal.Signals(stop) if stop else None)

    def _look_ahead(self) -> None:
        """What can be found out in a moment: tell what is doubtful, refuse what is wrong."""
        if not self.ranks.is_first:
            return
        beginning = beginning_of(self.folder.read_manifest(), self.state)
        place = self.state.examples_seen
        for check in quick_checks(self.model, self.batches, self.tokenizer, beginning, place):
            if check.grave:
                raise stops.stopped_before_start(self.folder.path, self.state.step, check)
            self.listener.notice(f"{check.name} is doubtful: {check.reason}")

    def _steps(self) -> Iterator[list[Batch]]:
        """The micro-batches of every step that is left: those of this rank's rows."""
        plan, first = self.plan, self.state.examples_seen
        for step in range(self.state.step, self.last_step):
            size = plan.batch_size_at(step)
            rows, micro = self.ranks.rows(size), plan.micro_batch_size
            place = first + rows.start
            yield list(micro_batches(self.batches.training, place, len(rows), micro))
            first += size

    def _fit_closed_form(self) -> Outcome:
        assert isinstance(self.model, BigramCounts)
        began = time.perf_counter()
        tokens = self.batches.training.sequence
        fit_bigram_counts(self.model, tokens, self.listener)
        self.state = TrainingState(
            step=1, tokens_seen=len(tokens) - 1, seconds=time.perf_counter() - began
        )
        entry = {"tokens_seen": self.state.tokens_seen}
        self.state, _ = self._milestones.measure(self.state, entry, evaluating=True)
        if self.plan.sample_every:
            self._milestones.sample(self.state)
        self._save(None)
        return Outcome(1)

    @property
    def _issued_steps(self) -> int:
        """Steps that were read, and those that are still to be read."""
        return self.state.step + len(self._ahead)

    def _one_step(self, step: TrainingStep, watch: Watch, loader: BatchLoader) -> None:
        began, waited = time.perf_counter(), loader.waited
        parts = loader.next_step()
        waited = loader.waited - waited
        step.clock.add("data", waited)
        due = self._milestones.anything_due(self._issued_steps + 1)
        self._ahead.append(self._issue(step, parts))
        at_once = due or not reads_late(self.device) or len(self._ahead) >= LATEST_READING
        readings = self._read() if at_once else []
        self.state = with_time(self.state, time.perf_counter() - began, waited)
        self._take_in(step, readings)
        if due:
            self.state = self._milestones.after(
                self.state, step, watch, readings[-1], self._carried
            )

    def _issue(self, step: TrainingStep, parts: list[Batch]) -> Issued:
        """Tell the device to take the next step."""
        number, plan = self._issued_steps, self.plan
        first = self._ahead[-1].first_example + self._ahead[-1].examples if self._ahead else None
        first = self.state.examples_seen if first is None else first
        rate = plan.learning_rate_at(number)
        seed = stream_seed(self.config.seed, "dropout", number)
        try:
            result = step(
                parts,
                learning_rate=rate,
                dropout_seed=seed,
                carried=None if self._carried is None else self._carried.before(first),
                measuring=self._milestones.line_due(number + 1),
            )
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            result = None
        if result is None:  # outside of the block above, which keeps the step's tensors alive
            rows = parts[0]
            fitting = Fitting((len(rows.tokens),), None)
            if self.ranks.count == 1:  # several would have to try it together
                fitting = find_fitting(
                    len(rows.tokens), lambda count: step.trial(first_rows(rows, count), seed)
                )
            memory = memory_in_words(self.device)
            raise stops.too_large(self.folder.path, fitting, self.config.context_length, memory)
        if self._carried is not None and result.carried is not None:
            self._carried.state = result.carried
        return Issued(first, plan.batch_size_at(number), rate, result)

    def _read(self) -> list[tuple[Issued, Reading]]:
        """The numbers of all steps that were issued; waits for the device."""
        issued, self._ahead = self._ahead, []
        return list(zip(issued, read([step.result for step in issued]), strict=True))

    def _take_in(self, step: TrainingStep, readings: list[tuple[Issued, Reading]]) -> None:
        """Count steps as done, in order; raises ``TrainingStopped`` at one that was not applied."""
        for issued, reading in readings:
            if not reading.applied and step.scale is None:
                if self.record.saved_step != self.state.step:
                    self._save(step, prune=False)
                error = not_finite(issued.result, reading)
                raise stops.stopped_not_finite(
                    self.folder.path,
                    self.state.step,
                    error.what,
                    rate=issued.rate,
                    clip=self.plan.gradient_clip,
                ) from error
            expected = jump(reading.loss, self.state.recent_losses)
            self.state = with_step(self.state, issued, reading)
            self.listener.stepped(self.state.step, reading.loss, issued.result.tokens)
            if expected is not None:
                note = note_of_jump(
                    self.state.step, issued, reading, expected, self.batches, self.tokenizer
                )
                self.record.noted(*note)
            if not reading.applied:
                self._skipped(step)

    def _skipped(self, step: TrainingStep) -> None:
        """Tell of a step that overflowed, and stop when there are too many."""
        state = self.state
        self.listener.notice(
            f"step {state.step:,} overflowed float16 and was skipped; the loss is scaled by less "
            f"({state.skipped_steps:,} skipped so far)"
        )
        if state.skipped_in_a_row >= MOST_OVERFLOWS:
            if self.record.saved_step != state.step:
                self._save(step, prune=False)
            raise stops.stopped_overflowing(self.folder.path, state.step, state.skipped_in_a_row)

    def _save(self, step: TrainingStep | None, *, prune: bool = True) -> None:
        self.state = self._milestones.save(self.state, step, self._carried, prune=prune)
