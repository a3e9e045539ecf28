"""The ``hornbook`` command: which commands there are, and what becomes of a mistake.

Exit codes: 0 done; 2 a mistake that the user can mend, told in words on standard error;
130 stopped with Ctrl-C; 128 + the signal's number for training that a signal ended; 141 whoever
read the output went away. Anything else that goes wrong is a bug and keeps its traceback.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hornbook.cli import (
    account,
    bench,
    bundle,
    compare,
    config,
    corpora,
    data,
    diagram,
    embeddings,
    import_export,
    lr_find,
    report,
    runs,
    sample,
    score,
    serve,
    tokenizer,
    train,
)
from hornbook.errors import HornbookError, ToldElsewhere
from hornbook.launch import launch_of

_MISTAKE = 2
_STOPPED = 130
_NOBODY_READS = 141
_FAILING = {"strict", "surrogateescape"}
"""Ways of writing to a stream that raise for characters that its encoding lacks."""


class CommandLine(TyperGroup):
    """The group of all commands; turns what they raise into messages and exit codes."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Give the commands in the order in which they were registered: train first."""
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that was asked for."""
        found = super().resolve_command(ctx, args)
        _refuse_many_ranks(found[0])
        return found

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # a closed pipe shows here, not when Python has ended
            return result
        except ToldElsewhere:
            raise typer.Exit(_MISTAKE) from None
        except HornbookError as error:
            if launch_of().is_first or error.has_the_word:
                print(f"hornbook: {error}", file=sys.stderr)
            raise typer.Exit(_MISTAKE) from None
        except KeyboardInterrupt:
            if launch_of().is_first:
                print("hornbook: stopped.", file=sys.stderr)
            raise typer.Exit(_STOPPED) from None
        except BrokenPipeError:
            _forget_output()
            raise typer.Exit(_NOBODY_READS) from None
        except OSError as error:  # the machine's refusal, not a bug: a disk, a name, a right
            place = f"{error.filename}: " if error.filename is not None else ""
            print(f"hornbook: {place}{error.strerror or error}.", file=sys.stderr)
            raise typer.Exit(_MISTAKE) from None


def _refuse_many_ranks(command: str | None) -> None:
    """Let a launcher start several processes of nothing but training."""
    launch = launch_of()
    if launch.count == 1 or command == "train":
        return
    if not launch.is_first:
        raise ToldElsewhere
    raise HornbookError(
        f"{launch.count} processes were started, and hornbook {command} is the work of one: start "
        "it without torchrun. Many train one model with: torchrun … -m hornbook train"
    )


app = typer.Typer(
    cls=CommandLine,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help needs no import of rich, and brackets stay brackets
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"hornbook {version('hornbook')}")
        raise typer.Exit


@app.callback()
def hornbook(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Train a small language model from raw text on your own machine, and see every step.

    \b
    Examples:
      hornbook train                       a small model of Python's own manual
      hornbook train my-text.txt model.layers=6 training.steps=500
      hornbook sample runs/my-text-small "Once upon a time"
    """


app.command("train")(train.train)
app.command("sample")(sample.sample)
app.command("score")(score.score)
app.command("serve")(serve.serve)
app.command("compare")(compare.compare)
app.command("lr-find")(lr_find.lr_find)
app.command("account")(account.account)
app.command("diagram")(diagram.diagram)
app.command("embeddings")(embeddings.embeddings)
app.command("report")(report.report)
app.command("runs")(runs.runs)
app.command("show")(runs.show)
app.command("verify")(bundle.verify)
app.command("pack")(bundle.pack)
app.command("unpack")(bundle.unpack)
app.add_typer(bench.app, name="bench")
app.add_typer(import_export.import_app, name="import")
app.add_typer(import_export.export_app, name="export")
app.command("config")(config.config)
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(corpora.app, name="corpora")
app.add_typer(data.app, name="data")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; always ends by raising ``SystemExit``.

    Args:
        arguments: the words after ``hornbook``; those of this process unless given.
    """
    # Threads of one step wait for each other by spinning, which burns the very core that the
    # late one needs if anything else runs on the machine. With one of two cores busy, a step of
    # the preset small took 740 ms so, and 430 ms with short spinning; on an idle machine there
    # was no difference beyond the noise. Read by OpenMP's runtime when PyTorch loads.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    for stream in (sys.stdout, sys.stderr):
        # A model may write characters that the terminal's encoding cannot: show them as "?".
        if isinstance(stream, io.TextIOWrapper) and stream.errors in _FAILING:
            stream.reconfigure(errors="replace")
    app(args=None if arguments is None else list(arguments), prog_name="hornbook")


def _forget_output() -> None:
    """Let Python's own last flush go nowhere, instead of failing once more."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no real file behind it
        sys.stdout = io.StringIO()
