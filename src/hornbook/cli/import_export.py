"""``hornbook import`` and ``hornbook export``: models of other tools in, and runs out to them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hornbook.interop import Form, Imported
    from hornbook.interop.layout import Layout
    from hornbook.runs.run import Run

import_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
export_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="The folder that holds the model, a .safetensors file in it, or the index of several.",
    ),
]
RunPath = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="The run's folder; a free one under runs/ if absent."),
]
TokenizerWord = Annotated[
    str | None,
    typer.Option(
        metavar="TOKENIZER",
        help="Its tokenizer, where the folder has none: a tokenizer.json, a folder, a run, or a "
        "published name.",
    ),
]
ContextLength = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="The most tokens it shall see at once; all that it knows, up to 4,096, if absent.",
    ),
]


@import_app.callback()
def import_() -> None:
    """Make a run out of a published model: it samples, is measured, and can be fine-tuned.

    \b
    Examples:
      hornbook import gpt2 downloads/gpt2
      hornbook import llama downloads/llama --out runs/llama
    """


@export_app.callback()
def export() -> None:
    """Write a run for another tool.

    \b
    Example:
      hornbook export hf runs/poems-tiny poems-hf
    """


@import_app.command("gpt2")
def import_gpt2(
    path: ModelPath,
    out: RunPath = None,
    tokenizer: TokenizerWord = None,
    context_length: ContextLength = None,
) -> None:
    """Make a run out of a model with GPT-2's layout, in safetensors.

    Without a config.json the four published sizes are known by their width; without a tokenizer
    beside it, GPT-2's own is taken.

    \b
    Examples:
      hornbook import gpt2 downloads/gpt2
      hornbook import gpt2 gpt2-medium/model.safetensors --tokenizer gpt2 --out runs/medium
    """
    from hornbook.interop import GPT2

    _import(GPT2, path, out, tokenizer, context_length)


@import_app.command("llama")
def import_llama(
    path: ModelPath,
    out: RunPath = None,
    tokenizer: TokenizerWord = None,
    context_length: ContextLength = None,
) -> None:
    """Make a run out of a model with Llama's layout, in safetensors.

    Its tokenizer must be byte-level BPE (a tokenizer.json, as Llama 3 has); it is read exactly or
    refused.

    \b
    Example:
      hornbook import llama downloads/llama --context-length 2048
    """
    from hornbook.interop import LLAMA

    _import(LLAMA, path, out, tokenizer, context_length)


@export_app.command("hf")
def export_hf(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run's folder; RUN@STEP or RUN@latest picks a checkpoint."
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
) -> None:
    """Write a run as a folder for transformers: AutoModelForCausalLM and AutoTokenizer open it.

    A run whose settings have no place in GPT2LMHeadModel or LlamaForCausalLM is refused, and
    every setting that stands in the way is named.

    \b
    Examples:
      hornbook export hf runs/poems-tiny poems-hf
      hornbook export hf runs/poems-tiny@400 poems-hf-400
    """
    from hornbook.interop import export_huggingface
    from hornbook.runs.run import open_run

    opened = open_run(run)
    exported = export_huggingface(opened, folder)
    _print_layout(exported.layout, theirs_first=False)
    print(f"\n{exported.form.architecture}, the weights of step {exported.step:,}")
    print(f"logits: those of the run, to {exported.difference:.1e}")
    print(f"{exported.folder}")


def _import(
    form: Form,
    path: Path,
    out: Path | None,
    tokenizer: str | None,
    context_length: int | None,
) -> None:
    from hornbook.cli.screen import ScreenListener
    from hornbook.interop import import_model

    with ScreenListener() as listener:
        run, report = import_model(
            form,
            path,
            out=out,
            tokenizer=tokenizer,
            context_length=context_length,
            listener=listener,
        )
    _print_layout(report.layout, theirs_first=True)
    print()
    for line in _facts(run, report):
        print(line)
    _print_next_steps(run)


def _print_layout(layout: Layout, *, theirs_first: bool) -> None:
    """Every tensor and what became of it; those that every layer has stand on one line."""
    from hornbook.cli.screen import print_table
    from hornbook.interop.layout import grouped

    rows = []
    for theirs, ours, shape, count in grouped(layout.entries):
        names = [theirs, ours] if theirs_first else [ours, theirs]
        rows.append([*names, " × ".join(map(str, shape)), str(count)])
    headers = ["theirs", "ours"] if theirs_first else ["ours", "theirs"]
    print_table([*headers, "shape there", "tensors"], rows, numbers=["tensors"])


def _facts(run: Run, report: Imported) -> list[str]:
    used = sum(len(entry.theirs) for entry in report.layout.entries)
    copies = [name for name in report.layout.copies if name in report.names]
    parts = [f"{used} tensors used"]
    if copies:
        parts.append(f"{len(copies)} the same as another ({', '.join(copies)})")
    if report.ignored:
        parts.append(f"{len(report.ignored)} that hold no weights")
    config = run.config
    head = ", head tied to the embedding" if getattr(config.model, "tied_head", False) else ""
    return [
        f"{', '.join(parts)}, none left over{head}",
        f"logits: those of {report.form.architecture}'s formula, to {report.difference:.1e}; "
        f"surprise at an English sentence {report.check_loss:.2f} nats per token",
        f"tokenizer: {run.tokenizer.vocab_size:,} ids, from {report.tokenizer_source}",
        f"context: {config.context_length:,} tokens of {config.position_count:,} that it knows",
    ]


def _print_next_steps(run: Run) -> None:
    place = shlex.quote(str(run.path))
    print(
        f"\nThe run is in {run.path}. What next:\n"
        f'  hornbook sample {place} "Once upon a time"\n'
        f"  hornbook train --from {place} my-text.txt"
    )
