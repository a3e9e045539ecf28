"""A run becomes a folder that ``transformers`` opens with its own classes, or is refused.

    DIR/
      config.json              GPT2LMHeadModel or LlamaForCausalLM
      generation_config.json   which token ends a text
      model.safetensors        float32, by their names
      tokenizer.json           the same ids
      tokenizer_config.json

A model goes out in the architecture that has a place for each of its settings. Where there is
none, every setting that stands in the way is named, for each architecture. The folder is written
aside, read again and compared with the run: it appears under its name when its logits are equal.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from hornbook.durable import durable_folder
from hornbook.errors import InteropError, TokenizerError
from hornbook.interop.agreement import Agreement, compare
from hornbook.interop.form import Form
from hornbook.interop.gpt2 import GPT2
from hornbook.interop.layout import Layout
from hornbook.interop.llama import LLAMA
from hornbook.interop.tensor_files import CONFIG_FILE, SINGLE_FILE, TensorFiles
from hornbook.interop.text_files import tokenizer_config, written_tokenizer
from hornbook.models import Transformer, TransformerConfig
from hornbook.runs.checkpoints import model_tensors
from hornbook.runs.manifest import software
from hornbook.runs.run import Run

FORMS: Sequence[Form] = (GPT2, LLAMA)
"""Every published architecture that can be read and written."""


@dataclass(frozen=True)
class Exported:
    """What was written, to tell a person.

    Attributes:
        folder: where.
        form: the architecture.
        layout: which tensor became which.
        step: the checkpoint that the weights are from.
        difference: the largest difference of a logit from the run's own.
    """

    folder: Path
    form: Form
    layout: Layout
    step: int
    difference: float


def export_huggingface(run: Run, folder: Path | str) -> Exported:
    """Write a run as a folder for ``transformers``.

    Args:
        run: the run, opened at the checkpoint whose weights are wanted.
        folder: the folder to make.

    Raises:
        InteropError: the folder exists or cannot be written, or ``transformers`` has no form for
            this run; every setting that stands in the way is named.
        RunError: the run's weights are damaged.
    """
    folder = Path(folder)
    if os.path.lexists(folder):
        raise InteropError(
            f"{folder} cannot be written", ["it exists already; name another folder"]
        )
    form, config, tokenizer_file = _form_of(run)
    assert isinstance(run.model, Transformer)
    layout = form.layout(config, run.tokenizer.vocab_size)
    try:
        with durable_folder(folder) as aside:
            tensors = their_tensors(layout, run.model)
            save_file(tensors, aside / SINGLE_FILE, metadata={"format": "pt"})
            _write_small_files(aside, run, form.write(config, run.tokenizer.vocab_size))
            (aside / "tokenizer.json").write_bytes(tokenizer_file)
            shutil.copymode(
                aside / CONFIG_FILE, aside / SINGLE_FILE
            )  # else only its owner reads it
            agreement = _read_again(aside, form, layout, run)
    except (OSError, SafetensorError) as error:  # the second is how a full disk shows there
        raise InteropError(f"{folder} cannot be written", [str(error)]) from error
    return Exported(folder, form, layout, run.checkpoint.step, agreement.difference)


def _write_small_files(folder: Path, run: Run, values: dict[str, Any]) -> None:
    tokenizer = run.tokenizer
    special = {
        "bos_token_id": tokenizer.start_id,
        "eos_token_id": tokenizer.end_id,
        "pad_token_id": tokenizer.pad_id,
    }
    origin = {"dtype": "float32", "hornbook_version": software()["hornbook"]}
    _write_json(folder / CONFIG_FILE, values | special | origin)
    stops = [
        tokenizer.special_tokens[text]
        for text in run.config.sampling.stop
        if text in tokenizer.special_tokens
    ]
    ends = {"eos_token_id": [tokenizer.end_id, *stops]} if stops else {}
    _write_json(folder / "generation_config.json", special | ends)
    settings = tokenizer_config(tokenizer, run.config.context_length)
    _write_json(folder / "tokenizer_config.json", settings)


def _read_again(folder: Path, form: Form, layout: Layout, run: Run) -> Agreement:
    """Compare what was written with the run."""
    values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    with TensorFiles([folder / SINGLE_FILE]) as files:
        return compare(
            form,
            values,
            lambda name: files.read(layout.full_name(name)),
            run.model,
            run.tokenizer,
        )


def _form_of(run: Run) -> tuple[Form, TransformerConfig, bytes]:
    """The architecture for this run and its tokenizer's file; raises ``InteropError``."""
    title = f"{run.path} has no form in transformers"
    problems: list[str] = []
    tokenizer_file = b""
    try:
        tokenizer_file = written_tokenizer(run.tokenizer, adds_start=run.config.sampling.add_start)
    except TokenizerError as error:
        problems.append(f"for any: {error}")
    settings = run.config.model
    if not isinstance(settings, TransformerConfig):
        problems.append(f"for any: model.kind={settings.kind} (it takes transformer)")
        raise InteropError(title, problems)
    config = settings.model_copy(update={"position_count": run.config.position_count})
    found: Form | None = None
    for form in FORMS:
        in_the_way = list(form.in_the_way(config))
        if not in_the_way:
            found = form
            break
        problems += [f"for {form.architecture}: {setting}" for setting in in_the_way]
    if found is None or not tokenizer_file:
        if found is not None:  # only the tokenizer stands in the way
            problems = [problem for problem in problems if problem.startswith("for any")]
        raise InteropError(title, problems)
    return found, config, tokenizer_file


def their_tensors(layout: Layout, model: Transformer) -> dict[str, torch.Tensor]:
    """The model's weights under their names, each in memory of its own, on the CPU."""
    ours = model_tensors(model)
    assert {entry.ours for entry in layout.entries} - {None} == set(ours), "every weight goes out"
    tensors: dict[str, torch.Tensor] = {}
    for entry in layout.entries:
        parts = entry.constants() if entry.ours is None else entry.to_theirs(ours[entry.ours])
        for name, part in zip(entry.theirs, parts, strict=True):
            tensors[layout.full_name(name)] = part.cpu().contiguous()
    return tensors


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
