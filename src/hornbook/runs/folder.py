"""Where each thing of a run lies on disk, and how a run's folder begins.

runs/NAME/
  run.toml          the settings, as resolved
  manifest.json     schema version, fingerprints, software and hardware of each session
  tokenizer.json
  metrics.jsonl     one line a measurement
  samples.jsonl     one line a sample
  notes.jsonl       one line for what a person should look at; most runs have none
  checkpoints/      step-00000500/ …
  data/             the tokens, only in a run that was packed with its data
  tensorboard/      what training.log_to shows elsewhere; made anew from the lines above
  wandb/            likewise
  report.html
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from hornbook.durable import write_durably
from hornbook.errors import ConfigError, RunError
from hornbook.runs.config import RunConfig
from hornbook.runs.config_text import config_text
from hornbook.runs.journal import Journal
from hornbook.runs.manifest import Manifest
from hornbook.runs.resolution import check
from hornbook.tokenizers import Tokenizer


class RunFolder:
    """The paths of a run, and reading and writing of its small files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "run.toml"
        self.tokenizer_file = path / "tokenizer.json"
        self.report_file = path / "report.html"
        self.data = path / "data"
        self.metrics = Journal(path / "metrics.jsonl")
        self.samples = Journal(path / "samples.jsonl")
        self.notes = Journal(path / "notes.jsonl")
        self.journals = (self.metrics, self.samples, self.notes)

    def is_run(self) -> bool:
        """Whether a run was begun here."""
        return self.config_file.is_file() and (self.path / "manifest.json").is_file()

    def write_config(self, config: RunConfig) -> None:
        """Write ``run.toml``, whole."""
        write_durably(self.config_file, config_text(config).encode("utf-8"))

    def read_config(self) -> RunConfig:
        """Read ``run.toml``.

        Raises:
            RunError: when it is missing, damaged or no longer valid.
        """
        try:
            return check(tomllib.loads(self.config_file.read_text(encoding="utf-8")))
        except OSError as error:
            raise RunError(
                f"{self.config_file} cannot be read: {error.strerror or error}."
            ) from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError, ConfigError) as error:
            raise RunError(f"{self.config_file} is damaged: {error}") from error

    def read_manifest(self) -> Manifest:
        """Read ``manifest.json``; raises ``RunError`` when it is missing or damaged."""
        return Manifest.read(self.path)

    def read_tokenizer(self) -> Tokenizer:
        """Read ``tokenizer.json``; raises ``TokenizerError`` when it is missing or damaged."""
        return Tokenizer.load(self.tokenizer_file)


def open_folder(path: Path | str) -> RunFolder:
    """The run at ``path``.

    Raises:
        RunError: when there is no run; it names the runs that lie nearby.
    """
    folder = RunFolder(Path(path))
    if folder.is_run():
        return folder
    place = folder.path
    what = "it holds no run.toml" if place.is_dir() else "there is no such folder"
    if place.is_file():
        what = "it is a file"
    nearby = sorted(
        {
            found.parent.as_posix()
            for around in (place, place.parent)
            if around.is_dir()
            for found in around.glob("*/run.toml")
        }
    )
    hint = f" Runs nearby: {', '.join(nearby[:8])}." if nearby else ""
    raise RunError(f"{path} is not a run: {what}.{hint}")


def fresh_run_path(corpus: str, preset: str | None) -> Path:
    """A free folder under ``runs/`` named after the corpus and the preset.

    >>> fresh_run_path("My Text.txt", "tiny").as_posix()
    'runs/my-text-tiny'
    """
    stem = Path(corpus).name.split(".")[0] or Path(corpus).parent.name
    words = [stem, preset] if preset else [stem]
    name = re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-") or "run"
    path, number = Path("runs") / name, 2
    while path.exists():
        path, number = Path("runs") / f"{name}-{number}", number + 1
    return path
