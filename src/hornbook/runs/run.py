"""A run on disk, opened: what it is, what it knows, and what it writes.

run = open_run("runs/shakespeare-small")
print(run.sample("Once"))
for piece in run.stream("Once", temperature=0.7):
    print(piece.text, end="")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from hornbook.errors import ConfigError, Problem, RunError
from hornbook.generation import (
    Beam,
    Piece,
    Sample,
    SamplingConfig,
    Score,
    beam_search,
    contrastive_search,
    generate,
    score,
    stream,
)
from hornbook.listener import SILENT, Listener
from hornbook.models import LanguageModel, WeightKind, quantise, with_compiled_step
from hornbook.models.undrawn import undrawn
from hornbook.runs.assembly import make_model, opening_id
from hornbook.runs.checkpoints import Checkpoint, list_checkpoints
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import RunFolder, open_folder
from hornbook.runs.manifest import Manifest
from hornbook.runs.resolution import resolve
from hornbook.tokenizers import Tokenizer


class Run:
    """A run that exists on disk. Nothing is loaded before it is asked for.

    Args:
        folder: the run's folder.
        checkpoint: ``best`` (by validation loss, or the newest where there is none),
            ``latest``, or the number of a step.
    """

    def __init__(self, folder: RunFolder, checkpoint: str = "best") -> None:
        self.folder = folder
        self._wanted = checkpoint
        self._watcher: Listener = SILENT

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def name(self) -> str:
        """The last part of the folder's path."""
        return self.path.resolve().name

    @cached_property
    def config(self) -> RunConfig:
        """The settings, as resolved."""
        return self.folder.read_config()

    @cached_property
    def manifest(self) -> Manifest:
        """Fingerprints, software, hardware, origin."""
        return self.folder.read_manifest()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The run's own tokenizer."""
        return self.folder.read_tokenizer()

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that this run was opened at.

        Raises:
            RunError: when there is no such checkpoint; it lists those there are.
        """
        checkpoints = list_checkpoints(self.path)
        if not checkpoints:
            raise RunError(
                f"{self.path} has no checkpoint yet; train it with: hornbook train --resume "
                f"{self.path}"
            )
        if self._wanted == "latest":
            return checkpoints[-1]
        if self._wanted == "best":
            best = checkpoints[-1].state().best
            wanted = best["step"] if best else checkpoints[-1].step
            return next((c for c in checkpoints if c.step == wanted), checkpoints[-1])
        for checkpoint in checkpoints:
            if str(checkpoint.step) == self._wanted:
                return checkpoint
        steps = ", ".join(str(checkpoint.step) for checkpoint in checkpoints)
        raise RunError(
            f"{self.path} has no checkpoint {self._wanted!r}; there are {steps}, best and latest."
        )

    @cached_property
    def model(self) -> LanguageModel:
        """The model with the checkpoint's weights, in evaluation mode, on the CPU.

        Raises:
            RunError: when the weights are damaged or do not fit.
        """
        self.checkpoint.verify()
        with undrawn():
            model = make_model(self.config, self.tokenizer)
        self.checkpoint.load_model(model)
        return model.eval()

    def to(self, device: str | torch.device) -> Run:
        """Move the model to ``device`` and return the run."""
        self.model.to(torch.device(device))
        return self if self.model.own_step is None else self.compile(listener=self._watcher)

    def quantise(self, kind: WeightKind) -> Run:
        """Keep the model's matrices in other numbers from now on, and return the run.

        Args:
            kind: ``bfloat16`` or ``int8``, which make writing faster and the model a little worse
                (``hornbook score --quantise`` measures by how much), or ``float32``, which only
                lays them out for the processor.

        Raises:
            GenerationError: when the model has no matrices that could be changed.
        """
        compiled = self.model.own_step is not None
        self.model = quantise(self.model, kind)
        return self.compile(listener=self._watcher) if compiled else self

    def compile(self, rows: Sequence[int] = (), *, listener: Listener = SILENT) -> Run:
        """Take compiled steps from now on, where that can be, and return the run.

        It is for many texts, or long ones: compiling takes ten seconds to a minute, once for one
        text at a time and once for several. On CUDA steps are recorded as graphs as well.

        Args:
            rows: numbers of texts that will be written together, to be compiled for at once; the
                others are when they come.
            listener: told why steps are not compiled, or no longer.
        """
        self._watcher = listener
        self.model = with_compiled_step(self.model, listener, rows)
        return self

    def sample(self, prompt: str = "", **settings: Any) -> Sample:
        """Let the model go on from ``prompt``; ``print`` shows prompt and text.

        Args:
            prompt: what to go on from; empty means the start of a document.
            settings: changes to the run's sampling settings, such as ``temperature=0.5``,
                ``max_tokens=100``, ``top_p=0.9``, ``seed=3``, ``stop=("\\n",)``.

        Raises:
            ConfigError: when a setting is unknown or out of range.
        """
        return self.samples(prompt, **{**settings, "samples": 1})[0]

    def samples(self, prompt: str = "", **settings: Any) -> list[Sample]:
        """Like ``sample``, but ``samples`` of them (4 unless given), each with its own draws."""
        settings = {"samples": 4, **settings}
        return generate(
            self.model, self.tokenizer, prompt, self.sampling(settings), opening=self.opening
        )

    def stream(self, prompt: str = "", **settings: Any) -> Iterator[Piece]:
        """Like ``samples``, but give each piece of text as soon as it is certain."""
        return stream(
            self.model, self.tokenizer, prompt, self.sampling(settings), opening=self.opening
        )

    def beam_search(
        self, prompt: str = "", *, beams: int = 4, length_penalty: float = 1.0, **settings: Any
    ) -> list[Beam]:
        """The likeliest texts that go on from ``prompt``; see ``generation.beams``.

        Args:
            prompt: as for ``sample``.
            beams: texts that are followed side by side.
            length_penalty: above 0 favours long texts, below 0 short ones.
            settings: changes to the run's sampling settings; ``samples`` texts come back, 1 unless
                given.
        """
        config = self.sampling({"samples": 1, **settings})
        return beam_search(
            self.model,
            self.tokenizer,
            prompt,
            config,
            beams=beams,
            length_penalty=length_penalty,
            opening=self.opening,
        )

    def contrastive_search(
        self, prompt: str = "", *, alpha: float = 0.6, candidates: int = 4, **settings: Any
    ) -> Sample:
        """Go on from ``prompt`` without saying again what was said; see ``generation.contrastive``.

        Args:
            prompt: as for ``sample``.
            alpha: how much likeness counts, from 0 (greedy) to 1.
            candidates: how many of the likeliest tokens are tried.
            settings: changes to the run's sampling settings.
        """
        return contrastive_search(
            self.model,
            self.tokenizer,
            prompt,
            self.sampling({**settings, "samples": 1}),
            alpha=alpha,
            candidates=candidates,
            opening=self.opening,
        )

    def score(
        self,
        text: str,
        *,
        overlap: int | None = None,
        alternatives: int = 0,
        listener: Listener = SILENT,
    ) -> Score:
        """How likely the model finds ``text``, token for token; see ``generation.scoring``.

        The text counts as a document: what stood before one in training stands before it.

        Args:
            text: what to score.
            overlap: tokens that neighbouring windows share, where the text is longer than the
                context; half of the context unless given.
            alternatives: how many of the likeliest tokens to tell at each place.
            listener: is told how far it is.

        Raises:
            GenerationError: when ``overlap`` or ``alternatives`` does not fit the model.
        """
        return score(
            self.model,
            self.tokenizer,
            text,
            opening=self.opening,
            overlap=overlap,
            alternatives=alternatives,
            listener=listener,
        )

    def prompt_ids(self, prompt: str = "", **settings: Any) -> list[int]:
        """The ids that the model reads before it goes on from ``prompt``; never none."""
        add_start = self.sampling(settings).add_start
        return self.tokenizer.encode(prompt, add_start=add_start) or [self.opening]

    @property
    def opening(self) -> int:
        """The id that stood before a document's first token in training."""
        return opening_id(self.config, self.tokenizer)

    def sampling(self, changes: dict[str, Any]) -> SamplingConfig:
        """The run's sampling settings with ``changes``; raises ``ConfigError``."""
        single = {key for key in ("stop", "allowed", "banned") if isinstance(changes.get(key), str)}
        changes = {**changes, **{key: (changes[key],) for key in single}}
        overrides = {f"sampling.{key}": value for key, value in changes.items()}
        return resolve(base=self.config, overrides=overrides).sampling

    def metrics(self) -> list[dict[str, Any]]:
        """Every line of ``metrics.jsonl``."""
        return list(self.folder.metrics.entries())

    def checkpoints(self) -> list[Checkpoint]:
        """Every checkpoint, oldest first."""
        return list_checkpoints(self.path)

    def size(self) -> int:
        """Bytes of all files in the folder."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


def open_run(path: Path | str) -> Run:
    """Open the run at ``path``; ``PATH@STEP``, ``PATH@best`` and ``PATH@latest`` pick a checkpoint.

    Raises:
        RunError: when there is no run at that place, or its settings are damaged.
    """
    place, checkpoint = split_address(str(path))
    run = Run(open_folder(place), checkpoint or "best")
    _ = run.config, run.manifest
    return run


def split_address(address: str) -> tuple[Path, str | None]:
    """A run's address as its folder and the checkpoint named after the last ``@``, if any.

    >>> split_address("runs/poems@500")[1], split_address("runs/poems")[1]
    ('500', None)
    """
    if Path(address).exists():
        return Path(address), None
    place, at, checkpoint = address.rpartition("@")
    if not at:
        return Path(address), None
    if not (checkpoint.isdecimal() or checkpoint in {"best", "latest"}):
        raise ConfigError([Problem(address, "after @ comes the number of a step, best or latest")])
    return Path(place), checkpoint
