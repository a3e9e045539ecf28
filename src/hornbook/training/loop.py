"""What happens between the first step and the last.

After every optimizer step, in this order: a line of metrics (and a measurement on the
validation side) if one is due, a sample if one is due, a checkpoint if one is due or the
measurement was the best so far. The checkpoint comes last and the journals are flushed
before it, so it never knows more than they do; what they know beyond the last checkpoint is
cut off on resume and written again.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from hornbook.data import Batch
from hornbook.data.consecutive import ConsecutiveBatches
from hornbook.data.loader import BatchLoader
from hornbook.errors import TrainingStopped
from hornbook.generation import generate
from hornbook.listener import Listener
from hornbook.models import BigramCounts, CarriedState, LanguageModel
from hornbook.optimization import learning_rate_at, load_optimizer_tensors, optimizer_tensors
from hornbook.randomness import stream_seed
from hornbook.runs.assembly import Batches, make_model, make_optimizer
from hornbook.runs.checkpoints import (
    Checkpoint,
    TrainingState,
    checkpoint_at,
    model_tensors,
    newest_whole_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder
from hornbook.runs.memory import explained_memory
from hornbook.tokenizers import Tokenizer
from hornbook.training.batch_loss import BatchLoss
from hornbook.training.closed_form import fit_bigram_counts
from hornbook.training.devices import memory_of
from hornbook.training.evaluation import evaluate
from hornbook.training.interruption import Interruption
from hornbook.training.ranks import ALONE, RankLost, Ranks
from hornbook.training.spread import Spread, choose_parallel, spread_model
from hornbook.training.step import NotFinite, StepResult, micro_batches, training_step


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
        device: where to train.
        listener: who watches.
        ranks: who trains it together.
        from_step: the checkpoint to begin from, 0 for none; the newest whole one unless given.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        tokenizer: Tokenizer,
        batches: Batches,
        device: torch.device,
        listener: Listener,
        ranks: Ranks = ALONE,
        from_step: int | None = None,
    ) -> None:
        self.folder, self.config, self.tokenizer = folder, config, tokenizer
        self.batches, self.device, self.listener = batches, device, listener
        self.plan, self.ranks = config.training, ranks
        self.model: LanguageModel = make_model(config, tokenizer)
        self.last_step = 1 if self.model.closed_form else self.plan.steps
        if from_step is None:
            self._newest = newest_whole_checkpoint(folder.path, listener=listener)
        else:
            self._newest = checkpoint_at(folder.path, from_step) if from_step else None
        self.state = self._newest.state() if self._newest is not None else TrainingState()
        self._saved_step = self.state.step
        self._carried: CarriedState | None = None
        self._byte_lengths = torch.tensor(tokenizer.byte_lengths())

    def run(self) -> Outcome:
        """Train until the last step or a signal; either way the end is a checkpoint.

        Raises:
            TrainingStopped: when a number is not finite or a checkpoint cannot be written.
        """
        accelerators = [self.device] if self.device.type == "cuda" else []
        try:
            # Dropout is seeded through PyTorch's global stream; the caller gets it back as it was.
            with (
                torch.random.fork_rng(accelerators),
                explained_memory(*self._too_large()),
                self.ranks.connected(self.device),
            ):
                return self._run()
        except RankLost as error:
            raise self._lost(error) from error
        except OSError as error:
            raise self._unwritable(error) from error

    def _run(self) -> Outcome:
        newest = self._newest
        if newest is not None:
            newest.load_model(self.model)
        if self.ranks.is_first:
            for journal in (self.folder.metrics, self.folder.samples):
                journal.cut_back(self.state.step)
        self.model.train()
        self.spread = self._spread_out()
        if self.model.closed_form:
            return self._fit_closed_form()
        optimizer = make_optimizer(self.config, self.model)
        if newest is not None:
            tensors = self.spread.dealt(newest.optimizer_tensors())
            load_optimizer_tensors(optimizer, self.model, tensors)
        if self.plan.carry_state:
            self._carried = self._first_carried(newest)
        self.listener.training_began(self.state.step, self.last_step)
        with Interruption() as interruption, BatchLoader(self._steps(), self.device) as loader:
            stop = self.ranks.largest(interruption.requested or 0)
            while self.state.step < self.last_step and not stop:
                self._one_step(optimizer, loader)
                stop = self.ranks.largest(interruption.requested or 0)
            if self._saved_step != self.state.step:
                self._save(optimizer)
        return Outcome(self.state.step, signal.Signals(stop) if stop else None)

    def _spread_out(self) -> Spread:
        """Bring the model to its device, or to those of all ranks."""
        parallel, reason = choose_parallel(
            self.plan.parallel,
            parameters=self.model.parameter_count(),
            device_bytes=self.ranks.smallest(memory_of(self.device)),
        )
        if self.ranks.count > 1:
            share = len(self.ranks.rows(self.plan.batch_size))
            self.listener.notice(
                f"{self.ranks.count} ranks, {share} of {self.plan.batch_size} windows each: "
                f"{parallel} ({reason})"
            )
        return spread_model(BatchLoss(self.model), self.model, self.ranks, self.device, parallel)

    def _steps(self) -> Iterator[list[Batch]]:
        """The micro-batches of every step that is left."""
        plan, first = self.plan, self.state.examples_seen
        rows = self.ranks.rows(plan.batch_size)
        for _ in range(self.state.step, self.last_step):
            place, micro = first + rows.start, plan.micro_batch_size
            yield list(micro_batches(self.batches.training, place, len(rows), micro))
            first += plan.batch_size

    def _first_carried(self, newest: Checkpoint | None) -> CarriedState:
        """The state that the newest checkpoint holds, or that of rows which have read nothing."""
        kept = newest.carried_state() if newest is not None else None
        rows = self.ranks.rows(self.plan.batch_size)
        if kept is None:
            return self.model.init_state(len(rows), self.device)
        return tuple(tensor[:, rows.start : rows.stop].to(self.device) for tensor in kept)

    def _too_large(self) -> tuple[str, str]:
        size = self.plan.micro_batch_size or len(self.ranks.rows(self.plan.batch_size))
        return (
            f"A step with {size} windows of {self.config.context_length} tokens at once",
            f"Set training.micro_batch_size to less, such as {max(size // 2, 1)} (the gradient "
            f"stays the same), and go on with: hornbook train --resume {self.folder.path}",
        )

    def _unwritable(self, error: OSError) -> TrainingStopped:
        return TrainingStopped(
            f"Step {self.state.step}: {self.folder.path} could not be written: "
            f"{error.strerror or error}. {self._kept()} Make room, then: hornbook train --resume "
            f"{self.folder.path}"
        )

    def _lost(self, error: RankLost) -> RankLost:
        return RankLost(
            f"Step {self.state.step + 1}: {error} {self._kept()} Go on with any number of ranks: "
            f"hornbook train --resume {self.folder.path}"
        )

    def _kept(self) -> str:
        kept = f"from step {self._saved_step}" if self._saved_step else "none yet"
        return f"The run's last whole checkpoint is {kept}."

    def _fit_closed_form(self) -> Outcome:
        assert isinstance(self.model, BigramCounts)
        began = time.perf_counter()
        tokens = self.batches.training.sequence
        fit_bigram_counts(self.model, tokens, self.listener)
        self.state = TrainingState(
            step=1, tokens_seen=len(tokens) - 1, seconds=time.perf_counter() - began
        )
        self._measure({"tokens_seen": self.state.tokens_seen}, evaluating=True)
        if self.plan.sample_every:
            self._sample()
        self._save(None)
        return Outcome(1)

    def _one_step(self, optimizer: torch.optim.Optimizer, loader: BatchLoader) -> None:
        began, waited = time.perf_counter(), loader.waited
        parts = loader.next_step()
        state, plan = self.state, self.plan
        rate = learning_rate_at(
            state.step, steps=plan.steps, peak=plan.learning_rate, schedule=plan.schedule
        )
        result = self._apply(optimizer, rate, parts)
        self._carried = result.carried
        seconds = time.perf_counter() - began
        self.state = state = replace(
            state,
            step=state.step + 1,
            examples_seen=state.examples_seen + plan.batch_size,
            tokens_seen=state.tokens_seen + result.tokens,
            seconds=state.seconds + seconds,
            running_loss=state.running_loss + result.loss * result.tokens,
            running_tokens=state.running_tokens + result.tokens,
            running_seconds=state.running_seconds + seconds,
            running_waiting=state.running_waiting + loader.waited - waited,
        )
        self.listener.stepped(state.step, result.loss, result.tokens)
        improved = self._measure_if_due(rate, result)
        if plan.sample_every and self._due(plan.sample_every):
            self._sample()
        if improved or self._due(plan.checkpoint_every):
            self._save(optimizer)

    def _apply(
        self, optimizer: torch.optim.Optimizer, rate: float, parts: list[Batch]
    ) -> StepResult:
        state, plan = self.state, self.plan
        try:
            return training_step(
                self.spread,
                optimizer,
                parts,
                learning_rate=rate,
                gradient_clip=plan.gradient_clip,
                dropout_seed=stream_seed(self.config.seed, "dropout", state.step),
                carried=self._carried_on(),
            )
        except NotFinite as error:
            if self._saved_step != state.step:
                self._save(optimizer, prune=False)
            raise TrainingStopped(
                f"Step {state.step + 1}: {error.what}. The step was not applied. Try a smaller "
                f"training.learning_rate (it was {rate:.2g}), a longer "
                "training.schedule.warmup_steps or a smaller training.gradient_clip"
                + self._where_to_try(rate)
            ) from error

    def _carried_on(self) -> CarriedState | None:
        """The state of the step before, and zeros in the rows that start afresh."""
        training = self.batches.training
        if self._carried is None or not isinstance(training, ConsecutiveBatches):
            return None
        rows = self.ranks.rows(self.plan.batch_size)
        goes_on = training.goes_on(self.state.examples_seen + rows.start, len(rows))
        keep = goes_on.to(self.device)[None, :, None]
        return tuple(torch.where(keep, tensor, 0.0) for tensor in self._carried)

    def _where_to_try(self, rate: float) -> str:
        if self.state.step == 0:
            return ", in a new run."
        return (
            f". The last good weights are at step {self.state.step}; go on from them, or from an "
            f"earlier checkpoint, with: hornbook train --from {self.folder.path}@"
            f"{self.state.step} training.learning_rate={rate / 4:.2g}"
        )

    def _due(self, every: int) -> bool:
        """Whether something that happens ``every`` so many steps, and at the end, is due."""
        step = self.state.step
        return step == self.last_step or (every > 0 and step % every == 0)

    def _measure_if_due(self, rate: float, result: StepResult) -> bool:
        """Write a line of metrics if one is due; True if the validation loss is the best."""
        evaluating = self._due(self.plan.evaluate_every)
        if not (evaluating or self._due(self.plan.log_every)):
            return False
        state = self.state
        entry = {
            "epoch": state.examples_seen / self.batches.examples_per_epoch,
            "tokens_seen": state.tokens_seen,
            "training_loss": state.running_loss / max(state.running_tokens, 1),
            "learning_rate": rate,
            "gradient_norm": result.gradient_norm,
            "tokens_per_second": state.running_tokens / max(state.running_seconds, 1e-9),
            "waiting_for_data": state.running_waiting / max(state.running_seconds, 1e-9),
        }
        self.state = replace(
            state, running_loss=0.0, running_tokens=0, running_seconds=0.0, running_waiting=0.0
        )
        return self._measure(entry, evaluating=evaluating)

    def _measure(self, entry: dict[str, Any], *, evaluating: bool) -> bool:
        entry = {"step": self.state.step, "seconds": self.state.seconds, **entry}
        improved = False
        if evaluating and self.batches.evaluation is not None:
            with self.spread.whole_weights():
                found = evaluate(
                    self.model, self.batches.evaluation, self._byte_lengths, self.ranks
                )
            if not math.isfinite(found.loss):
                raise TrainingStopped(
                    f"Step {self.state.step}: the validation loss is {found.loss}. The newest "
                    f"checkpoint of {self.folder.path} is from step {self._saved_step}; go on from "
                    "it with a smaller training.learning_rate (hornbook train --from)."
                )
            entry |= {"validation_loss": found.loss, "bits_per_byte": found.bits_per_byte}
            best = self.state.best
            improved = best is None or found.loss < best["validation_loss"]
            if improved:
                best = {
                    "step": self.state.step,
                    "validation_loss": found.loss,
                    "bits_per_byte": found.bits_per_byte,
                }
                self.state = replace(self.state, best=best)
        if self.ranks.is_first:
            self.folder.metrics.append(entry)
        self.listener.measured(entry)
        return improved

    def _save(self, optimizer: torch.optim.Optimizer | None, *, prune: bool = True) -> None:
        tensors = optimizer_tensors(optimizer, self.model) if optimizer is not None else {}
        weights = self.spread.gathered(model_tensors(self.model))
        tensors = self.spread.gathered(tensors)
        carried = self._carried
        if carried is not None:
            carried = tuple(self.ranks.joined(tensor, dim=1) for tensor in carried)
        if self.ranks.is_first:
            self.folder.metrics.sync()
            self.folder.samples.sync()
            save_checkpoint(self.folder.path, weights, tensors, self.state, carried)
        self._saved_step = self.state.step
        if prune and self.ranks.is_first:
            best = self.state.best["step"] if self.state.best else None
            prune_checkpoints(self.folder.path, keep=self.plan.keep_checkpoints, best_step=best)

    def _sample(self) -> None:
        settings = self.config.sampling.model_copy(update={"samples": 1})
        with self.spread.whole_weights():
            if not self.ranks.is_first:
                return
            sample = generate(self.model, self.tokenizer, self.plan.sample_prompt, settings)[0]
        self.model.train()
        self.folder.samples.append(
            {"step": self.state.step, "prompt": sample.prompt, "text": sample.text}
        )
        self.listener.sampled(self.state.step, str(sample))
