"""What happens between steps: lines of metrics, measurements, samples, checkpoints.

Each is due after every so many steps and at the end, in this order; the checkpoint comes last, so
that it knows of everything before it.

    log_every=10  evaluate_every=100  sample_every=250  checkpoint_every=200
    step 190      a line of metrics
    step 200      a line with a validation loss, and a checkpoint
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from hornbook.generation import generate
from hornbook.models import LanguageModel
from hornbook.optimization import optimizer_tensors
from hornbook.runs.assembly import Batches, opening_id
from hornbook.runs.checkpoints import TrainingState, model_tensors
from hornbook.runs.config import RunConfig
from hornbook.tokenizers import Tokenizer
from hornbook.training import stops
from hornbook.training.carrying import CarriedRows
from hornbook.training.equipment import Equipment
from hornbook.training.evaluation import Evaluation, evaluate
from hornbook.training.progress import Issued, with_new_line
from hornbook.training.record import RunRecord
from hornbook.training.spread import Spread
from hornbook.training.step import Reading, TrainingStep
from hornbook.training.watching import Watch


class Milestones:
    """Does whatever is due after a step.

    Args:
        config: the settings of the run.
        model: as it is trained.
        tokenizer: makes what it writes text.
        batches: with the examples to measure it on.
        equipment: what it is trained with.
        spread: how it is spread over ranks.
        record: where everything is written.
        last_step: the step that ends the run.
    """

    def __init__(
        self,
        config: RunConfig,
        model: LanguageModel,
        tokenizer: Tokenizer,
        batches: Batches,
        equipment: Equipment,
        spread: Spread,
        record: RunRecord,
        last_step: int,
    ) -> None:
        self._config, self._plan, self._last_step = config, config.training, last_step
        self._model, self._tokenizer, self._batches = model, tokenizer, batches
        self._precision, self._ranks = equipment.precision, equipment.ranks
        self._spread, self._record = spread, record
        self._byte_lengths = torch.tensor(tokenizer.byte_lengths())

    def anything_due(self, number: int) -> bool:
        """Whether something is due after step ``number``."""
        plan = self._plan
        sampling = plan.sample_every > 0 and self._due(plan.sample_every, number)
        return self.line_due(number) or sampling or self._due(plan.checkpoint_every, number)

    def line_due(self, number: int) -> bool:
        """Whether a line of metrics is due after step ``number``."""
        plan = self._plan
        return self._due(plan.evaluate_every, number) or self._due(plan.log_every, number)

    def after(
        self,
        state: TrainingState,
        step: TrainingStep,
        watch: Watch,
        last: tuple[Issued, Reading],
        carried: CarriedRows | None,
    ) -> TrainingState:
        """Measure, sample and save, whatever is due; gives the state that goes on.

        Args:
            state: after the step.
            step: moves the weights.
            watch: knows what the steps cost.
            last: the step that was just read.
            carried: the hidden state of this rank's rows, if any.
        """
        number, plan, improved = state.step, self._plan, False
        if self.line_due(number):
            entry = self._line(state, watch, *last)
            evaluating = self._due(plan.evaluate_every, number)
            state, improved = self.measure(with_new_line(state), entry, evaluating=evaluating)
        if plan.sample_every and self._due(plan.sample_every, number):
            self.sample(state)
        if improved or self._due(plan.checkpoint_every, number):
            state = self.save(state, step, carried)
        return state

    def measure(
        self, state: TrainingState, entry: dict[str, Any], *, evaluating: bool
    ) -> tuple[TrainingState, bool]:
        """Write a line of metrics; True if the validation loss in it is the best so far.

        Raises:
            TrainingStopped: when the validation loss is not finite.
        """
        entry = {"step": state.step, "seconds": state.seconds, **entry}
        improved = False
        if evaluating and self._batches.evaluation is not None:
            with self._precision.products(), self._spread.whole_weights():
                found: Evaluation = evaluate(
                    self._model, self._batches.evaluation, self._byte_lengths, self._ranks
                )
            if not math.isfinite(found.loss):
                raise stops.stopped_by_evaluation(
                    self._record.path, state.step, found.loss, self._record.saved_step
                )
            losses = {"validation_loss": found.loss, "bits_per_byte": found.bits_per_byte}
            entry |= losses
            improved = state.best is None or found.loss < state.best["validation_loss"]
            if improved:
                state = replace(state, best={"step": state.step, **losses})
        self._record.measured(entry)
        return state, improved

    def sample(self, state: TrainingState) -> None:
        """Let the model write something."""
        settings = self._config.sampling.model_copy(update={"samples": 1})
        opening = opening_id(self._config, self._tokenizer)
        prompt = self._plan.sample_prompt
        with self._spread.whole_weights():
            if not self._ranks.is_first:
                return
            found = generate(self._model, self._tokenizer, prompt, settings, opening=opening)
        self._model.train()
        self._record.sampled(state.step, found[0])

    def save(
        self,
        state: TrainingState,
        step: TrainingStep | None,
        carried: CarriedRows | None,
        *,
        prune: bool = True,
    ) -> TrainingState:
        """Write a checkpoint; gives the state that is in it.

        Args:
            state: where training stands.
            step: has the optimizer and the loss's scale; ``None`` where nothing moves the weights.
            carried: the hidden state of this rank's rows, if any.
            prune: whether to delete checkpoints that are no longer wanted.
        """
        scale = None if step is None or step.scale is None else step.scale.to_json()
        state = replace(state, loss_scale=scale)
        tensors = {} if step is None else optimizer_tensors(step.optimizer, self._model)
        self._record.saved(
            self._spread.gathered(model_tensors(self._model)),
            self._spread.gathered(tensors),
            state,
            None if carried is None else carried.whole(),
            prune=prune,
        )
        return state

    def _due(self, every: int, number: int) -> bool:
        """Whether something that happens ``every`` so many steps, and at the end, is due."""
        return number == self._last_step or (every > 0 and number % every == 0)

    def _line(
        self, state: TrainingState, watch: Watch, issued: Issued, reading: Reading
    ) -> dict[str, Any]:
        """What a line of metrics says of the steps since the line before."""
        seconds = max(state.running_seconds, 1e-9)
        entry = {
            "epoch": state.examples_seen / self._batches.examples_per_epoch,
            "tokens_seen": state.tokens_seen,
            "training_loss": state.running_loss / max(state.running_tokens, 1),
            "learning_rate": issued.rate,
            "gradient_norm": _finite(reading.gradient_norm),
            "tokens_per_second": state.running_tokens / seconds,
            "waiting_for_data": state.running_waiting / seconds,
            **watch.entry(state.running_examples, seconds, issued.result.update_ratios),
        }
        return entry | ({"skipped_steps": state.skipped_steps} if self._precision.scaled else {})


def _finite(number: float) -> float | None:
    """A number that can stand in JSON; a step that overflowed float16 has others."""
    return number if math.isfinite(number) else None
