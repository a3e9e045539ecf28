"""Checkpoints: everything that training needs to go on, whole or absent.

    checkpoints/step-00000500/
      model.safetensors        every weight, by the model's own names
      optimizer.safetensors    the optimizer's state, by the same names
      carried.safetensors      the hidden state of every row; only with training.carry_state
      state.json               step, position in the data, best so far, running sums,
                               the SHA-256 of the files above and of itself

No random state is stored because there is none: every random choice is a pure function of
the run's seed and the step (``hornbook.randomness``).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from hornbook.durable import durable_folder, file_checksum
from hornbook.errors import RunError
from hornbook.listener import SILENT, Listener
from hornbook.models import CarriedState, LanguageModel

_NAME = re.compile(r"step-(\d{8,})")
TENSOR_FILES = ("model.safetensors", "optimizer.safetensors")
CARRIED_FILE = "carried.safetensors"


@dataclass
class TrainingState:
    """Where training stands, besides weights and optimizer.

    Attributes:
        step: optimizer steps done.
        examples_seen: examples used; the next one's place in the stateless order.
        tokens_seen: real targets trained on.
        seconds: time spent training, over all sessions.
        best: ``{"step", "validation_loss"}`` of the best measurement, or ``None``.
        running_loss: sum of losses since the last line of metrics [nats].
        running_tokens: real targets in that sum.
        running_seconds: seconds of training since the last line of metrics.
        running_waiting: seconds among them in which a step waited for its data.
        running_examples: examples used since the last line of metrics.
        recent_losses: losses of the last steps, oldest first, with which the next is compared.
        loss_scale: the scale of the loss under float16, as ``LossScale`` wrote it, or ``None``.
        skipped_steps: steps that overflowed float16 and were not applied.
        skipped_in_a_row: how many of them were the last ones.
    """

    step: int = 0
    examples_seen: int = 0
    tokens_seen: int = 0
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    running_loss: float = 0.0
    running_tokens: int = 0
    running_seconds: float = 0.0
    running_waiting: float = 0.0
    running_examples: int = 0
    recent_losses: list[float] = field(default_factory=list)
    loss_scale: dict[str, Any] | None = None
    skipped_steps: int = 0
    skipped_in_a_row: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk.

    Attributes:
        folder: where it lies.
        step: after how many optimizer steps it was taken.
    """

    folder: Path
    step: int

    def state(self) -> TrainingState:
        """Read ``state.json`` and check that it is whole.

        Raises:
            RunError: when it is missing or damaged.
        """
        content = _read_state(self.folder)
        return TrainingState(**content["training"])

    def verify(self) -> None:
        """Compare the checksum of every file; raises ``RunError`` naming the first that differs."""
        checksums = _read_state(self.folder)["checksums"]
        for name in (*TENSOR_FILES, *({CARRIED_FILE} & set(checksums))):
            path = self.folder / name
            if not path.is_file():
                raise RunError(f"{path} is missing.")
            found = file_checksum(path)
            if found != checksums[name]:
                raise RunError(
                    f"{path} is damaged: its SHA-256 is {found[:12]}… but {checksums[name][:12]}… "
                    "was written."
                )

    def weights_checksum(self) -> str:
        """The SHA-256 of ``model.safetensors`` as it was written."""
        return str(_read_state(self.folder)["checksums"]["model.safetensors"])

    def parameter_count(self) -> int:
        """How many numbers the weights are, read from the head of their file alone.

        Raises:
            RunError: when the file is missing or damaged.
        """
        path = self.folder / TENSOR_FILES[0]
        try:
            with safe_open(path, framework="numpy") as file:
                shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        return sum(math.prod(shape) for shape in shapes)

    def load_model(self, model: LanguageModel) -> None:
        """Put this checkpoint's weights into ``model``.

        Raises:
            RunError: when a tensor is missing, left over, or of another shape; all are named.
        """
        load_weights(model, self.folder / "model.safetensors")

    def optimizer_tensors(self) -> dict[str, torch.Tensor]:
        """The optimizer's state by name; empty for a model that has none."""
        return _load(self.folder / "optimizer.safetensors")

    def carried_state(self) -> CarriedState | None:
        """The hidden state of every row after this step; ``None`` where none is carried."""
        if not (self.folder / CARRIED_FILE).is_file():
            return None
        parts = _load(self.folder / CARRIED_FILE)
        return tuple(parts[name] for name in sorted(parts))


def list_checkpoints(run_folder: Path) -> list[Checkpoint]:
    """Every checkpoint of a run, oldest first."""
    folder = run_folder / "checkpoints"
    found = []
    for item in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(item.name)
        if match and item.is_dir():
            found.append(Checkpoint(item, int(match[1])))
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def checkpoint_at(run_folder: Path, step: int) -> Checkpoint:
    """The checkpoint of a step that is known to be there."""
    return Checkpoint(run_folder / "checkpoints" / _name(step), step)


def newest_whole_checkpoint(run_folder: Path, *, listener: Listener = SILENT) -> Checkpoint | None:
    """The newest checkpoint whose every checksum holds; ``None`` if there are none at all.

    Damaged ones are passed over with a notice: training again from an earlier one loses
    nothing but time, because every step is reproduced exactly.

    Raises:
        RunError: when there are checkpoints, but none is whole.
    """
    checkpoints = list_checkpoints(run_folder)
    for checkpoint in reversed(checkpoints):
        try:
            checkpoint.verify()
            return checkpoint
        except RunError as error:
            listener.notice(f"passed over a damaged checkpoint: {error}")
    if checkpoints:
        raise RunError(
            f"Every checkpoint of {run_folder} is damaged, so there is nothing to go on from. "
            "Start a new run, or put the files back from a copy."
        )
    return None


def save_checkpoint(
    run_folder: Path,
    model: LanguageModel | Mapping[str, torch.Tensor],
    optimizer_tensors: Mapping[str, torch.Tensor],
    state: TrainingState,
    carried: CarriedState | None = None,
) -> Checkpoint:
    """Write a checkpoint of this moment.

    Args:
        run_folder: the run.
        model: the model, or what ``model_tensors`` gave of it, whole.
        optimizer_tensors: the optimizer's state by name.
        state: where training stands.
        carried: the hidden state of every row, if any.

    Raises:
        OSError: when it cannot be written; every earlier checkpoint stays whole.
    """
    folder = run_folder / "checkpoints" / _name(state.step)
    weights = model_tensors(model) if isinstance(model, LanguageModel) else model
    with durable_folder(folder) as aside:
        _save(weights, aside / TENSOR_FILES[0])
        _save(optimizer_tensors, aside / TENSOR_FILES[1])
        names: list[str] = list(TENSOR_FILES)
        if carried is not None:
            names.append(CARRIED_FILE)
            _save({str(number): part for number, part in enumerate(carried)}, aside / CARRIED_FILE)
        content = {
            "training": asdict(state),
            "checksums": {name: file_checksum(aside / name) for name in names},
        }
        content["checksums"]["state.json"] = _state_checksum(content["training"])
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        (aside / "state.json").write_text(text, encoding="utf-8")
    return Checkpoint(folder, state.step)


def prune_checkpoints(run_folder: Path, *, keep: int, best_step: int | None) -> None:
    """Delete all but the ``keep`` newest checkpoints and the best one."""
    for checkpoint in list_checkpoints(run_folder)[:-keep]:
        if checkpoint.step != best_step:
            shutil.rmtree(checkpoint.folder, ignore_errors=True)


def set_aside_newer(run_folder: Path, step: int) -> list[Path]:
    """Rename checkpoints newer than ``step``, which training is about to go on from.

    They are damaged, or they would not have been passed over. Under their old names they would
    count among the newest and push whole ones out; as ``damaged-step-…`` they stay to be looked
    at. Returns their new places.
    """
    moved = []
    for checkpoint in list_checkpoints(run_folder):
        if checkpoint.step > step:
            place = checkpoint.folder.with_name(f"damaged-{checkpoint.folder.name}")
            if place.exists():
                shutil.rmtree(place, ignore_errors=True)
            moved.append(checkpoint.folder.replace(place))
    return moved


def model_tensors(model: LanguageModel) -> dict[str, torch.Tensor]:
    """Every weight and every lasting buffer by name; a shared one stands under its first name."""
    persistent = set(model.state_dict(keep_vars=True))
    tensors: dict[str, torch.Tensor] = dict(model.named_parameters())
    tensors.update({name: b for name, b in model.named_buffers() if name in persistent})
    return {name: tensor.detach() for name, tensor in tensors.items()}


def load_weights(model: LanguageModel, path: Path) -> None:
    """Copy the tensors of a safetensors file into ``model``, all or none.

    Raises:
        RunError: when a tensor is missing, left over, or of another shape; all are named.
    """
    found, expected = _load(path), model_tensors(model)
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [
        f"{name} belongs to no part of this model" for name in found if name not in expected
    ]
    problems += [
        f"{name} has shape {list(found[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if problems:
        raise RunError(f"{path} does not fit the model: " + "; ".join(problems) + ".")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(found[name])


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing.") from error
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _save(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, path)
    except SafetensorError as error:  # how the library reports a full disk
        raise OSError(f"{path.name}: {error}") from error


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / "state.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        whole = content["checksums"]["state.json"] == _state_checksum(content["training"])
        if not whole or not all(name in content["checksums"] for name in TENSOR_FILES):
            raise ValueError("its checksum differs from its content")
        TrainingState(**content["training"])
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}.") from error
    return content


def _state_checksum(training: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(training, sort_keys=True).encode("utf-8")).hexdigest()
