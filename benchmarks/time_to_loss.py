"""How long until a model predicts Shakespeare this well: hornbook beside nanoGPT's recipe.

    python benchmarks/time_to_loss.py                  # all, three seeds: some 20 minutes
    python benchmarks/time_to_loss.py --only speed     # tokens per second of one architecture
    python benchmarks/time_to_loss.py --only gates --seeds 1 --threads 1

The yardstick is nanoGPT's documented recipe for a CPU on tinyshakespeare (``nanogpt_recipe``),
trained whole in the same run. Then come, each with its ratio to that:

    preset    the preset ``nanogpt-cpu``, the same recipe in hornbook: its loss and its seconds
    speed     the yardstick's own architecture in the fastest type: tokens per second, by turns; and
              the loss that it ends with
    gates     hornbook's own recipe, the preset ``characters``: seconds of training until the loss
              over the whole validation part is 1.886, 1.60, 1.524; the last one also with
              windows of 128 characters, in which more is seen of the text (the yardstick has 64)

Evaluations stand outside the clock; what is compiled stands inside, and nothing is unless
``--compile`` is given.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from nanogpt_recipe import BATCH, CONTEXT, STEPS, BaselineTraining, Characters

from hornbook.runs.assembly import (
    make_batches,
    make_store,
    make_tokenizer,
    read_corpus,
)
from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import resolve
from hornbook.training.equipment import choose_equipment
from hornbook.training.evaluation import evaluate
from hornbook.training.fresh_steps import FreshSteps

SECTIONS = ("preset", "speed", "gates")
PUBLISHED = 1.899
"""The whole-validation loss of nanoGPT's recipe, as it was measured elsewhere (three seeds 1.891 to
1.908) [nats]."""
WITHIN = 0.015
ROUNDS, STEPS_A_ROUND = 8, 20
"""Turns of each, and steps in a turn. Memory that training keeps for its next step is given back at
the end of a turn, and fetched again in the next; so turns must not be short (training goes on for
thousands of steps)."""


@dataclass(frozen=True)
class Gate:
    """A loss to reach.

    Attributes:
        title: what is trained.
        loss: over the whole validation part [nats].
        words: what is changed in the preset ``characters``.
        must, goal: how many times faster than the yardstick's whole training.
    """

    title: str
    loss: float
    words: tuple[str, ...]
    must: float | None = None
    goal: float | None = None


# What serves a training of 100 s, and not one of 30 s; see docs/recipe.md.
PATIENT = (
    "training.learning_rate=0.02",
    "training.optimizer.momentum=0.95",
    "training.schedule.decay_fraction=0.8",
)
GATES = (
    Gate("4 layers of 128", 1.886, ("model.layers=4", "training.steps=48"), 12, 20),
    Gate(
        "1 layer of 64",
        1.886,
        ("model.layers=1", "model.d_model=64", "model.heads=2", "training.steps=60"),
        40,
        60,
    ),
    Gate("2 layers of 128", 1.60, ("training.steps=260",)),
    Gate(
        "2 layers of 128",
        1.524,
        ("model.ngram_features=0", "training.steps=1500", *PATIENT),
        1.2,
        2,
    ),
    Gate(
        "2 layers, context 128",
        1.524,
        (
            "context_length=128",
            "training.batch_size=16",
            "model.ngram_features=3",
            "training.steps=800",
            *PATIENT,
        ),
        1.2,
        2,
    ),
)
SPEED = Gate("", 0.0, (), 2.5, 3)


class Training:
    """A run of hornbook without its folder: the very steps with which it would begin.

    Args:
        config: its settings.

    Attributes:
        config: the same.
        seconds: how long its steps took; evaluations are left out.
        done: how many.
    """

    def __init__(self, config: RunConfig) -> None:
        corpus, split = read_corpus(config)
        tokenizer = make_tokenizer(corpus, split)
        store = make_store(split, tokenizer)
        self.config, self.seconds, self.done = config, 0.0, 0
        self._equipment = choose_equipment(config)
        self._steps = FreshSteps(config, self._equipment, tokenizer, store)
        self._validation = make_batches(config, store).evaluation
        self._byte_lengths = torch.tensor(tokenizer.byte_lengths())

    def take(self, steps: int) -> None:
        """Train ``steps`` more."""
        with self._equipment.in_use():
            self.seconds += sum(self._steps.take().seconds for _ in range(steps))
        self.done += steps

    def loss(self) -> float:
        """Over the whole validation part [nats]."""
        assert self._validation is not None
        with self._equipment.in_use(), self._equipment.precision.products():
            return evaluate(self._steps.model, self._validation, self._byte_lengths).loss


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shared = Path(__file__).resolve().parents[2] / "shared"
    parser.add_argument("--text", type=Path, default=shared / "corpora/tinyshakespeare.txt")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loss", type=float, nargs="+", help="only the gates of these losses")
    parser.add_argument("--compile", action="store_true", help="compile hornbook's steps as well")
    given = parser.parse_args()
    if not given.text.is_file():
        parser.error(f"{given.text} is not there; give --text")
    torch.set_num_threads(given.threads)
    shared_words = (
        f"corpus.files={given.text}",
        f"training.threads={given.threads}",
        f"training.compile={'true' if given.compile else 'false'}",
        "training.evaluation_windows=0",
    )

    def settings(preset: str, seed: int, *words: str) -> RunConfig:
        return resolve(preset=preset, overrides=[*shared_words, *words, f"seed={seed}"])

    text = Characters.of(given.text.read_text(encoding="utf-8"))
    seeds = range(1, given.seeds + 1)
    print(f"{given.threads} thread(s), {given.seeds} seed(s), torch {torch.__version__}\n")
    if "speed" in given.only:
        _compare_speed(text, settings, seeds, whole="preset" in given.only)
    yardstick = _train_yardstick(text) if {"preset", "gates"} & set(given.only) else 0.0
    if "preset" in given.only:
        _train_preset(settings, seeds, yardstick)
    if "gates" in given.only:
        print("\nhornbook's own recipe, preset characters: seconds until the loss is reached")
        for gate in GATES:
            if given.loss and gate.loss not in given.loss:
                continue
            _pass_gate(gate, settings, seeds, yardstick)


Settings = Callable[..., RunConfig]


def _train_yardstick(text: Characters) -> float:
    """Train nanoGPT's recipe whole; return its seconds."""
    baseline, began = BaselineTraining(text, seed=1), time.perf_counter()
    for _ in range(STEPS):
        baseline.step()
    seconds = time.perf_counter() - began
    print(
        f"yardstick: nanoGPT's recipe, {STEPS} steps in {seconds:.1f} s "
        f"({1000 * seconds / STEPS:.1f} ms each), whole-validation loss "
        f"{baseline.validation_loss():.4f}",
        flush=True,
    )
    return seconds


def _train_preset(settings: Settings, seeds: Sequence[int], yardstick: float) -> None:
    trained = list(_trained_whole(settings("nanogpt-cpu", seed) for seed in seeds))
    mean = statistics.fmean(loss for loss, _ in trained)
    verdict = "holds" if abs(mean - PUBLISHED) <= WITHIN else "MISSED"
    print(
        f"preset nanogpt-cpu, float32: loss {_listed(loss for loss, _ in trained)}, mean "
        f"{mean:.4f} ({PUBLISHED} ± {WITHIN}: {verdict}), "
        f"{statistics.median(s for _, s in trained):.1f} s "
        f"({yardstick / statistics.median(s for _, s in trained):.2f} × the yardstick)",
        flush=True,
    )


def _compare_speed(
    text: Characters, settings: Settings, seeds: Sequence[int], *, whole: bool
) -> None:
    """Tokens per second of one architecture, by turns; then whether its loss is the same."""
    fast = ("training.precision=auto",)
    baseline, ours = BaselineTraining(text, seed=1), Training(settings("nanogpt-cpu", 1, *fast))

    def baseline_steps() -> None:
        for _ in range(STEPS_A_ROUND):
            baseline.step()

    turns: dict[str, Callable[[], None]] = {
        "nanoGPT": baseline_steps,
        "hornbook": lambda: ours.take(STEPS_A_ROUND),
    }
    for turn in turns.values():
        turn()
    measured: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(ROUNDS):
        for name, turn in turns.items():
            began = time.perf_counter()
            turn()
            measured[name].append(time.perf_counter() - began)
    tokens = BATCH * CONTEXT * STEPS_A_ROUND
    theirs, mine = (statistics.median(measured[name]) for name in ("nanoGPT", "hornbook"))
    print(
        f"the yardstick's architecture: nanoGPT {tokens / theirs:,.0f} tokens/s, hornbook in "
        f"{ours.config.training.precision} {tokens / mine:,.0f}: {theirs / mine:.2f} × "
        f"{_verdict(theirs / mine, SPEED)}",
        flush=True,
    )
    if whole:
        losses = [
            loss for loss, _ in _trained_whole(settings("nanogpt-cpu", s, *fast) for s in seeds)
        ]
        print(f"  its loss so: {_listed(losses)}, mean {statistics.fmean(losses):.4f}", flush=True)


def _trained_whole(configs: Iterator[RunConfig]) -> Iterator[tuple[float, float]]:
    """Yield the loss and the seconds of each, trained to its end."""
    for config in configs:
        training = Training(config)
        training.take(config.training.steps)
        yield training.loss(), training.seconds


def _pass_gate(gate: Gate, settings: Settings, seeds: Sequence[int], yardstick: float) -> None:
    """Train until the loss is reached, and say how long it took."""
    reached: list[float] = []
    told: list[str] = []
    for seed in seeds:
        training = Training(settings("characters", seed, *gate.words))
        steps = training.config.training.steps
        every = max(1, steps // 40)
        training.take(steps - 8 * every)
        loss = training.loss()
        while loss > gate.loss and training.done < steps:
            training.take(every)
            loss = training.loss()
        told.append(f"{training.seconds:.2f} s ({training.done} steps, {loss:.3f})")
        if loss <= gate.loss:
            reached.append(training.seconds)
    begin = f"  {gate.loss:<6} {gate.title:<22} {', '.join(told)}"
    if len(reached) < len(seeds):
        print(f"{begin}: NOT REACHED by {len(seeds) - len(reached)} of {len(seeds)}", flush=True)
        return
    ratio = yardstick / statistics.median(reached)
    print(f"{begin}: {ratio:.1f} × {_verdict(ratio, gate)}", flush=True)


def _verdict(ratio: float, gate: Gate) -> str:
    if gate.must is None or gate.goal is None:
        return ""
    word = "goal" if ratio >= gate.goal else "must" if ratio >= gate.must else "MISSED"
    return f"(must {gate.must} ×, goal {gate.goal} ×: {word})"


def _listed(losses: Iterator[float] | Sequence[float]) -> str:
    return " / ".join(f"{loss:.4f}" for loss in losses)


if __name__ == "__main__":
    main()
