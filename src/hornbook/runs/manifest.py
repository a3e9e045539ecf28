"""What a run is made of: ``manifest.json``, beside the settings and the tokenizer.

It says which schema the folder follows, what corpus, split, tokenizer and tokens the run
was trained on (as fingerprints, so that a resume on anything else is refused), where it came
from, and on which software and hardware each session ran.

The schema version only grows. Each step up has a function in ``UPGRADES`` that turns an
older manifest into the next version's, so that a run of any past version opens for ever.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from hornbook.durable import write_durably
from hornbook.errors import RunError

SCHEMA_VERSION = 1
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From a version to the function that makes the next version out of it."""


class Fingerprints(BaseModel):
    """SHA-256 of what the run was trained on; ``None`` until it is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: str
    split: str
    tokenizer: str
    tokens: str


class Session(BaseModel):
    """One stretch of training in one process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    started: str
    from_step: int
    software: dict[str, str]
    hardware: dict[str, str]
    changed: dict[str, tuple[Any, Any]] = {}


class Origin(BaseModel):
    """The run and step that a fork began from, and the settings it changed (old, new)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    step: int
    changed: dict[str, tuple[Any, Any]]


class ImportedFrom(BaseModel):
    """The files of another tool that the weights came from.

    ``form`` is their architecture (``gpt2``, ``llama``), ``path`` what the person named, and
    ``files`` the SHA-256 of each weight file by its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: str
    path: str
    files: dict[str, str]


class WarmStart(BaseModel):
    """Whose weights a run began with, and what became of each of its tensors.

    Attributes:
        run, step: the checkpoint that they are from.
        weights: its SHA-256.
        taken: tensors copied whole.
        by_token: tensors of which the rows of common tokens were copied, and how many those are.
        left: tensors that stayed as drawn, and why.
        unused: tensors of the other run that have no place here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    step: int
    weights: str
    taken: tuple[str, ...]
    by_token: dict[str, int]
    left: dict[str, str]
    unused: tuple[str, ...]


class Manifest(BaseModel):
    """The content of ``manifest.json``.

    ``settings`` repeats what ``run.toml`` said when training last began, so that a file that
    was edited by hand is noticed and each differing field can be named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    created: str
    preset: str | None = None
    settings: dict[str, Any] = {}
    fingerprints: Fingerprints | None = None
    split: dict[str, Any] | None = None
    tokenizer_checksum: str | None = None
    forked_from: Origin | None = None
    imported_from: ImportedFrom | None = None
    warm_start: WarmStart | None = None
    sessions: tuple[Session, ...] = ()

    def write(self, folder: Path) -> None:
        """Write ``manifest.json`` into ``folder``, whole."""
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
        write_durably(folder / "manifest.json", text.encode("utf-8"))

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read a manifest of this or any earlier schema version.

        Raises:
            RunError: when there is none, it is damaged, or a newer hornbook wrote it.
        """
        path = folder / "manifest.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version = content["schema_version"]
            if version > SCHEMA_VERSION:
                raise RunError(
                    f"{folder} was written by a newer hornbook (schema version {version}; this "
                    f"one knows up to {SCHEMA_VERSION}). Install a newer hornbook to open it."
                )
            for step in range(version, SCHEMA_VERSION):
                content = UPGRADES[step](content)
            return cls.model_validate(content)
        except FileNotFoundError as error:
            raise RunError(f"{folder} is not a run: it has no manifest.json.") from error
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise RunError(f"{path} is damaged: {error}") from error


def now() -> str:
    """This moment in UTC, as in ``2026-01-31T12:00:00+00:00``."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def software() -> dict[str, str]:
    """Versions of what computes: hornbook (with its commit, if known), Python, libraries."""
    versions = {"hornbook": metadata.version("hornbook"), "python": platform.python_version()}
    commit = _source_commit()
    if commit:
        versions["hornbook commit"] = commit
    for library in ("torch", "numpy", "numba", "regex", "safetensors"):
        versions[library] = metadata.version(library)
    return versions


def hardware(device: str) -> dict[str, str]:
    """What computes: system, processor, cores, threads, and the device that trains."""
    import torch

    facts = {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": device,
    }
    if device.startswith("cuda"):
        facts["accelerator"] = torch.cuda.get_device_name(device)
    return facts


def _source_commit() -> str | None:
    """The commit of the checkout that runs, marked if it has changes; ``None`` if installed."""
    here = Path(__file__).resolve().parent
    root = here.parents[2]
    if not (root / ".git").exists() or not (root / "src" / "hornbook").is_dir():
        return None
    try:
        answers = [
            subprocess.run(
                ["git", *words], cwd=root, capture_output=True, text=True, timeout=5, check=True
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "src"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return answers[0] + (" with uncommitted changes" if answers[1] else "")
