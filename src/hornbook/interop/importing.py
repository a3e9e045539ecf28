"""A folder of theirs becomes a run of ours: everything checked, then everything written.

    config.json         ->  model.*, and where the texts end    checked key by key
    model.safetensors   ->  checkpoints/step-00000000           matched name by name
    tokenizer.json      ->  tokenizer.json                      the same ids
                            run.toml, manifest.json             with a plan for fine-tuning

All that is wrong is told at once, and nothing is written before all is right: the weights are
then in the model, and the model gives the logits that their own formula gives (``plain``).

An imported run has no text of its own. It samples and is measured like any other; it is trained
in a fork with a text (``hornbook train --from RUN TEXT``), or goes on with one itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hornbook.durable import file_checksum
from hornbook.errors import InteropError, TokenizerError
from hornbook.interop.agreement import compare
from hornbook.interop.foreign_config import ForeignConfig
from hornbook.interop.form import ForeignModel, Form
from hornbook.interop.gpt2 import published_config
from hornbook.interop.layout import Layout, Match, match
from hornbook.interop.tensor_files import CONFIG_FILE, TensorFiles, find_files
from hornbook.interop.text_files import FoundTokenizer, find_tokenizer
from hornbook.listener import SILENT, Listener
from hornbook.models import LanguageModel
from hornbook.models.undrawn import undrawn
from hornbook.runs.assembly import make_model
from hornbook.runs.checkpoints import TrainingState, model_tensors, save_checkpoint
from hornbook.runs.config import RunConfig
from hornbook.runs.folder import fresh_run_path
from hornbook.runs.manifest import ImportedFrom, Manifest, now
from hornbook.runs.resolution import check
from hornbook.runs.run import Run, open_run
from hornbook.tokenizers import Tokenizer
from hornbook.training.session import new_folder, write_settings

LONGEST_CONTEXT = 4096
"""Positions that are used unless a person asks for more: a cache for all of them would not fit
into the memory of most machines, where a model knows a hundred thousand [tokens]."""

TOKENS_AT_ONCE = 2048
"""Tokens that go through the model at once when it is fine-tuned [tokens]."""


@dataclass(frozen=True)
class Imported:
    """What was imported, to tell a person.

    Attributes:
        form: the architecture.
        layout: which tensor became which.
        names: for each name of the layout, the name in the files.
        ignored: names in the files that are known and hold no weights.
        files: the weight files.
        tokenizer_source: where the tokenizer came from.
        difference: the largest difference of a logit from the formula's.
        check_loss: surprise at the check text [nats per token].
    """

    form: Form
    layout: Layout
    names: Mapping[str, str]
    ignored: tuple[str, ...]
    files: tuple[Path, ...]
    tokenizer_source: str
    difference: float
    check_loss: float


@dataclass(frozen=True)
class _Source:
    """Everything of theirs, checked and open."""

    values: ForeignConfig
    model: ForeignModel
    layout: Layout
    matched: Match
    tensors: TensorFiles
    text: FoundTokenizer

    def read(self, short_name: str) -> torch.Tensor:
        """One tensor by its name in the layout."""
        return self.tensors.read(self.matched.names[short_name])


def import_model(
    form: Form,
    path: Path | str,
    *,
    out: Path | str | None = None,
    tokenizer: str | None = None,
    context_length: int | None = None,
    listener: Listener = SILENT,
) -> tuple[Run, Imported]:
    """Make a run out of a published model.

    Args:
        form: which architecture it has.
        path: a folder, a safetensors file, or the index of several.
        out: the run's folder; a free one under ``runs/`` unless given.
        tokenizer: a file, folder, run or published name, where the folder holds none.
        context_length: the most tokens it shall see; what it knows, up to ``LONGEST_CONTEXT``,
            unless given.
        listener: who watches.

    Raises:
        InteropError: with everything that is wrong with the files, or with the weights in them.
        ConfigError: ``context_length`` is more than the model knows.
        RunError: ``out`` exists, or the model does not fit into memory.
    """
    path = Path(path)
    source = _open(form, path, tokenizer, listener)
    config = _run_config(source, context_length)
    with undrawn():
        model = make_model(config, source.text.tokenizer)
    with source.tensors:
        _assign(source, model, listener)
        found = compare(form, source.values.values, source.read, model, source.text.tokenizer)
    target = Path(out) if out is not None else fresh_run_path(_name_of(path), None)
    origin = ImportedFrom(
        form=form.name,
        path=str(path),
        files={file.name: file_checksum(file) for file in source.tensors.files},
    )
    with new_folder(target) as folder:
        source.text.tokenizer.save(folder.tokenizer_file)
        save_checkpoint(folder.path, model, {}, TrainingState())
        manifest = Manifest(
            created=now(),
            tokenizer_checksum=file_checksum(folder.tokenizer_file),
            imported_from=origin,
        )
        write_settings(folder, config, manifest)
    report = Imported(
        form,
        source.layout,
        source.matched.names,
        source.matched.ignored,
        source.tensors.files,
        source.text.source,
        found.difference,
        found.surprise,
    )
    return open_run(target), report


def _open(form: Form, path: Path, given: str | None, listener: Listener) -> _Source:
    """Find and check everything; raises ``InteropError`` with all that is wrong."""
    folder, files = find_files(path)
    tensors = TensorFiles(files)
    values = _read_config(form, folder, tensors)
    model = form.read(values)
    problems = list(values.problems)
    if model is None:
        raise InteropError(f"{path} cannot be imported", problems)
    layout = form.layout(model.config, model.vocab_size)
    matched = match(layout, tensors.tensors)
    problems += matched.problems
    text = None
    try:
        text = find_tokenizer(folder, given, model.vocab_size, listener=listener)
        problems += _differing_vocabulary(text.tokenizer, model.vocab_size)
    except TokenizerError as error:
        problems.append(str(error))
    if problems or text is None:
        raise InteropError(f"{path} cannot be imported", problems)
    return _Source(values, model, layout, matched, tensors, text)


def _read_config(form: Form, folder: Path, tensors: TensorFiles) -> ForeignConfig:
    path = folder / CONFIG_FILE
    if path.is_file():
        return ForeignConfig.read(path)
    known = published_config(tensors.tensors) if form.name == "gpt2" else None
    if known is None:
        raise InteropError(
            f"{folder} cannot be imported",
            [f"it holds no {CONFIG_FILE}, which says how many heads there are; put it there"],
        )
    return ForeignConfig(known, "the shapes of its tensors")


def _differing_vocabulary(tokenizer: Tokenizer, entries: int) -> list[str]:
    if tokenizer.vocab_size == entries:
        return []
    found = (
        f"the tokenizer has {tokenizer.vocab_size:,} ids and the model scores {entries:,}; they "
        "must be the same. Give the model's own with --tokenizer"
    )
    if tokenizer.vocab_size < entries:
        found += (
            "; if the last rows are only padding, cut them off in transformers: "
            f"model.resize_token_embeddings({tokenizer.vocab_size})"
        )
    return [found]


def _run_config(source: _Source, context_length: int | None) -> RunConfig:
    """The whole description of the run: the model's sizes, and a plan for fine-tuning."""
    positions = source.model.config.position_count
    length = context_length or min(positions, LONGEST_CONTEXT)
    tokenizer = source.text.tokenizer
    batch_size = 8
    settings: dict[str, Any] = {
        "context_length": length,
        "corpus": {"files": ()},
        "tokenizer": _tokenizer_settings(tokenizer),
        "model": source.model.config.model_dump(),
        "training": {
            "batch_size": batch_size,
            "micro_batch_size": min(max(TOKENS_AT_ONCE // length, 1), batch_size),
            "learning_rate": 3e-5,
            "schedule": {"warmup_steps": 50},
        },
        "sampling": {"add_start": source.text.adds_start, "stop": _stop_texts(source)},
    }
    return check(settings)


def _tokenizer_settings(tokenizer: Tokenizer) -> dict[str, Any]:
    settings: dict[str, Any] = {"kind": tokenizer.kind}
    for name in ("pattern", "unknown"):
        if hasattr(tokenizer, name):
            settings[name] = getattr(tokenizer, name)
    if tokenizer.kind != "byte":
        settings["vocab_size"] = tokenizer.vocab_size
    return settings


def _stop_texts(source: _Source) -> tuple[str, ...]:
    """The special tokens that end a text for their model and not for our tokenizer."""
    tokenizer = source.text.tokenizer
    ends = source.values.token_ids("eos_token_id")
    return tuple(
        name
        for name, token_id in tokenizer.special_tokens.items()
        if token_id in ends and token_id != tokenizer.end_id
    )


def _assign(source: _Source, model: LanguageModel, listener: Listener) -> None:
    """Put their tensors into the model, one after the other."""
    targets, problems = model_tensors(model), []
    entries = source.layout.entries
    assert {entry.ours for entry in entries} == set(targets), "the layout is that of the model"
    with (
        torch.no_grad(),
        listener.progress("importing", total=len(entries), unit="tensors") as progress,
    ):
        for entry in entries:
            tensor = entry.to_ours([source.read(name) for name in entry.theirs])
            assert entry.ours is not None
            target = targets[entry.ours]
            assert tensor.shape == target.shape, f"{entry.ours} was checked by its shape"
            target.copy_(tensor)
            if not target.isfinite().all():
                problems.append(f"{' and '.join(entry.theirs)}: holds numbers that are not finite")
            progress.advance(1)
    for copy, original in source.layout.copies.items():
        if copy in source.matched.names and not torch.equal(
            source.read(copy), source.read(original)
        ):
            problems.append(
                f"{copy}: differs from {original}, but by {source.values.source} they are one "
                "(tie_word_embeddings); set it to false there to keep both"
            )
    if problems:
        raise InteropError("The weights cannot be imported", problems)


def _name_of(path: Path) -> str:
    """What to call the run: the folder, or a file's own name where it says more."""
    usual = path.is_file() and path.name.startswith("model.")
    return (path.resolve().parent if usual else path.resolve()).name
