"""Weights on disk, in one safetensors file or in several: names, shapes, and a tensor at a time.

    gpt2/
      config.json
      model.safetensors                      one file ...
      model.safetensors.index.json           ... or a list of which tensor lies in which
      model-00001-of-00002.safetensors       of several

Nothing is read but the heads of the files until a tensor is asked for, so weights that are twice
as large as the memory can be looked at. Files that are pickles are refused: opening one can run
whatever its author liked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from hornbook.errors import InteropError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
CONFIG_FILE = "config.json"
_INDEX_ENDING = ".safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.ckpt.*")

EXACT_TYPES = ("F32", "F16", "BF16")
"""The types whose every number float32 holds exactly."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """What the head of a file says of one tensor.

    Attributes:
        file: where it lies.
        dtype: its type as safetensors calls it, such as ``F32``.
        shape: its sizes.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]


class TensorFiles:
    """All tensors of some safetensors files, by name; a context manager that closes them.

    Args:
        files: the files, in order.

    Raises:
        InteropError: a file is missing or damaged, or a name stands in two; all are listed.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self._opened: dict[Path, Any] = {}
        self.tensors: dict[str, StoredTensor] = {}
        problems: list[str] = []
        for file in self.files:
            try:
                for name, stored in self._heads(file):
                    if name in self.tensors:
                        other = self.tensors[name].file.name
                        problems.append(f"{name} stands in {other} and in {file.name}")
                    self.tensors[name] = stored
            except FileNotFoundError:
                problems.append(f"{file} is missing")
            except (OSError, SafetensorError) as error:
                problems.append(f"{file} is damaged or no safetensors file: {error}")
        if problems:
            raise InteropError("These weights cannot be read", problems)

    def read(self, name: str) -> torch.Tensor:
        """The tensor of that name, as it is stored.

        Raises:
            InteropError: it cannot be read.
        """
        stored = self.tensors[name]
        try:
            return self._opened[stored.file].get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise InteropError(f"{stored.file}: {name} cannot be read", [str(error)]) from error

    def __enter__(self) -> TensorFiles:
        return self

    def __exit__(self, *error: object) -> None:
        """Close the files: a folder with an open one cannot be renamed everywhere."""
        for opened in self._opened.values():
            opened.__exit__(None, None, None)
        self._opened.clear()

    def _heads(self, file: Path) -> Iterator[tuple[str, StoredTensor]]:
        opened: Any = safe_open(file, framework="pt")
        self._opened[file] = opened
        for name in opened.keys():  # noqa: SIM118 - it is no mapping
            part = opened.get_slice(name)
            yield name, StoredTensor(file, part.get_dtype(), tuple(part.get_shape()))


def find_files(path: Path) -> tuple[Path, list[Path]]:
    """The folder and the weight files that a person means by ``path``.

    Args:
        path: a folder, a safetensors file, or the index of several. A folder of the Hugging Face
            cache (``models--NAME``) stands for the snapshot in it.

    Raises:
        InteropError: there is nothing of the kind; says what to do with what is there.
    """
    if path.is_dir():
        folder = snapshot_in(path) or path
        return folder, _files_in(folder)
    if not path.is_file():
        raise InteropError(f"{path} cannot be imported", ["there is no such file or folder"])
    if path.name.endswith(_INDEX_ENDING):
        return path.parent, shards_of(path)
    if path.suffix == ".safetensors":
        return path.parent, [path]
    if any(path.match(pattern) for pattern in _PICKLES):
        raise InteropError(f"{path} cannot be imported", [_pickle_advice(path.parent)])
    raise InteropError(
        f"{path} cannot be imported",
        ["it is no .safetensors file; give one, or the folder that holds it"],
    )


def shards_of(index: Path) -> list[Path]:
    """The files that an index lists, each once, in the order of their names.

    Raises:
        InteropError: it is no such index, or names a file outside of its folder.
    """
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in listed.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InteropError(
            f"{index} is damaged", [f"an object with 'weight_map' is expected ({error})"]
        ) from error
    outside = [name for name in names if PurePosixPath(name).name != name or "\\" in name]
    if outside:
        raise InteropError(
            f"{index} is damaged", [f"{name!r} is no file beside it" for name in outside]
        )
    if not names:
        raise InteropError(f"{index} is damaged", ["it lists no files"])
    return [index.parent / name for name in names]


def snapshot_in(folder: Path) -> Path | None:
    """The snapshot that a folder of the Hugging Face cache holds: ``main``'s, or the only one.

    Raises:
        InteropError: it holds several, and none is that of ``main``.
    """
    if not (folder / "snapshots").is_dir() or (folder / CONFIG_FILE).exists():
        return None
    snapshots = sorted(place for place in (folder / "snapshots").iterdir() if place.is_dir())
    if len(snapshots) == 1:
        return snapshots[0]
    main = folder / "refs" / "main"
    wanted = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    for snapshot in snapshots:
        if snapshot.name == wanted:
            return snapshot
    names = ", ".join(str(snapshot) for snapshot in snapshots) or "none"
    raise InteropError(f"{folder} cannot be imported", [f"name one of its snapshots: {names}"])


def _files_in(folder: Path) -> list[Path]:
    single, index = folder / SINGLE_FILE, folder / INDEX_FILE
    if single.is_file():
        return [single]
    if index.is_file():
        return shards_of(index)
    others = sorted(folder.glob("*.safetensors"))
    if len(others) == 1:
        return others
    if others:
        names = ", ".join(file.name for file in others)
        problem = f"it holds several weight files and no {INDEX_FILE}: {names}; name one of them"
    elif any(next(folder.glob(pattern), None) for pattern in _PICKLES):
        problem = _pickle_advice(folder)
    else:
        problem = f"it holds neither {SINGLE_FILE} nor {INDEX_FILE}"
    raise InteropError(f"{folder} cannot be imported", [problem])


def _pickle_advice(folder: Path) -> str:
    return (
        "its weights are a pickle, which can run any code when it is opened, so it is not. Where "
        "you trust it, write it anew as safetensors: AutoModelForCausalLM.from_pretrained("
        f'"{folder}").save_pretrained("NEW", safe_serialization=True), in transformers'
    )
