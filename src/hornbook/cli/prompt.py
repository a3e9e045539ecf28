"""The small prompt that ``hornbook sample RUN`` opens on a terminal: type, and watch it go on.

    > The river
    The river falls slowly under the stone.
    > /temperature 1.2
    temperature = 1.2
    > /again
    seed = 1
    The river sings and then the bird

A line is a beginning, a line that starts with / is a command. Ctrl-C stops the text that is being
written, Ctrl-D leaves.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import signal
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hornbook.cli.pieces import shown
from hornbook.cli.samples import print_heading, print_pieces, tell_of_unknown
from hornbook.cli.screen import visible, write_text
from hornbook.durable import write_durably
from hornbook.errors import HornbookError
from hornbook.training.interruption import Interruption

if TYPE_CHECKING:
    from hornbook.generation import Piece, SamplingConfig
    from hornbook.generation.decoder import Token
    from hornbook.runs.run import Run
    from hornbook.tokenizers import Tokenizer

ALTERNATIVES = 4
"""Tokens that ``/alternatives`` names at each place unless told."""
REMEMBERED = 10
"""Tokens that are remembered at each place, so that they can be asked for."""
COMMANDS = {
    "help": "this list; /help NAME tells more of a setting",
    "settings": "how texts are drawn now",
    "again": "the same beginning, with the next seed",
    "alternatives": f"what else was likely at each token of the last text; /alternatives 8 names "
    f"8 instead of {ALTERNATIVES}",
    "save": "/save FILE keeps the last text; /save! FILE puts it in the place of another file",
    "quit": "leave, as does Ctrl-D",
}
"""What can be asked for, and what it does; every setting of sampling is a command as well."""


class Prompt:
    """What was typed and written so far, and the settings in force.

    Args:
        run: a trained run, on its device.
        changes: sampling settings that differ from the run's own.
    """

    def __init__(self, run: Run, changes: dict[str, Any]) -> None:
        self._run, self._changes = run, changes
        self._beginning: str | None = None
        self._written: list[Piece] = []

    def open(self) -> None:
        """Read lines and answer them, until the person leaves."""
        with contextlib.suppress(ImportError):  # arrow keys and a history, where there are any
            import readline  # noqa: F401
        kind, step = self._run.config.model.kind, self._run.checkpoint.step
        _say(f"{self._run.name} ({kind}, step {step:,}). Type a beginning, or /help.")
        while True:
            try:
                line = input("> ")
                if not self.answer(line):
                    return
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                with contextlib.suppress(KeyboardInterrupt):  # pressed twice in a hurry
                    print()
                    _say("Ctrl-D or /quit leaves.")

    def answer(self, line: str) -> bool:
        """Do what a line asks for; ``False`` when the person wants to leave.

        A line that begins with two strokes is a beginning with one.
        """
        if not line.startswith("/") or line.startswith("//"):
            self._write(line.removeprefix("/"))
            return True
        name, _, value = line[1:].partition(" ")
        name, value = name.strip().replace("-", "_"), value.strip()
        if name in {"quit", "exit"}:
            return False
        try:
            self._obey(name, value)
        except HornbookError as error:
            _say(str(error))
        except OSError as error:
            _say(f"{error.filename or value}: {error.strerror or error}.")
        return True

    def _obey(self, name: str, value: str) -> None:
        commands: dict[str, Callable[[str], None]] = {
            "help": self._help,
            "settings": self._show_settings,
            "again": self._again,
            "alternatives": self._alternatives,
            "save": self._save,
            "save!": self._replace,
        }
        if name in commands:
            commands[name](value)
        elif name in self._settings():
            self._set(name, value)
        else:
            near = difflib.get_close_matches(name, [*commands, "quit", *self._settings()], n=1)
            hint = f" Did you mean /{near[0]}?" if near else " /help lists what there is."
            _say(f"There is no command /{name}.{hint} (A text may begin with a stroke as //.)")

    # Texts.

    def _write(self, beginning: str) -> None:
        """Let the model go on from a beginning; Ctrl-C ends the text and keeps it."""
        self._beginning, self._written = beginning, []
        samples = self._now().samples
        try:
            tell_of_unknown(self._run, [beginning])
            # Noted, and not thrown: an exception may come in a finalizer, where Python loses it.
            with Interruption() as interruption:
                print_pieces(beginning, self._kept(beginning, interruption), samples)
            if interruption.requested is signal.SIGTERM:
                raise typer.Exit(128 + signal.SIGTERM)
        except KeyboardInterrupt:  # a second Ctrl-C, before the first token
            print()
        except HornbookError as error:
            _say(str(error))

    def _kept(self, beginning: str, interruption: Interruption) -> Iterator[Piece]:
        most = max(self._now().alternatives, min(REMEMBERED, self._run.tokenizer.vocab_size))
        for piece in self._run.stream(beginning, **{**self._changes, "alternatives": most}):
            self._written.append(piece)
            yield piece
            if interruption.requested is not None:
                return

    def _again(self, _: str) -> None:
        if self._beginning is None:
            raise HornbookError("Nothing was written yet: type a beginning first.")
        seed = self._now().seed + 1
        self._set("seed", str(seed))
        self._write(self._beginning)

    def _texts(self) -> list[str]:
        """What was written last: a text for each sample."""
        if self._beginning is None:
            raise HornbookError("Nothing was written yet: type a beginning first.")
        texts: dict[int, str] = {}
        for piece in self._written:
            texts[piece.sample] = texts.get(piece.sample, "") + piece.text
        return [texts[sample] for sample in sorted(texts)]

    def _alternatives(self, value: str) -> None:
        count = int(value) if value.isdecimal() else 0 if value else ALTERNATIVES
        if not 1 <= count <= REMEMBERED:
            raise HornbookError(f"/alternatives takes how many to name, from 1 to {REMEMBERED}.")
        self._texts()
        tokens: dict[int, list[Token]] = {}
        for piece in self._written:
            tokens.setdefault(piece.sample, []).extend(piece.tokens)
        for sample in sorted(tokens):
            if len(tokens) > 1:
                print_heading(f"sample {sample}")
            for line in alternative_lines(self._run.tokenizer, tokens[sample], count):
                _say(line)

    def _save(self, value: str) -> None:
        self._store(value, replace=False)

    def _replace(self, value: str) -> None:
        self._store(value, replace=True)

    def _store(self, value: str, *, replace: bool) -> None:
        if not value:
            raise HornbookError("/save takes the name of a file, such as /save poem.txt.")
        content = "".join(f"{self._beginning}{text}\n" for text in self._texts())
        file = Path(value).expanduser()
        if file.is_dir():
            raise HornbookError(f"{file} is a folder: name a file in it.")
        if file.exists() and not replace:
            raise HornbookError(f"{file} is there already; /save! {value} replaces it.")
        write_durably(file, content.encode("utf-8", "replace"))
        _say(f"saved in {file}")

    # Settings.

    def _now(self) -> SamplingConfig:
        return self._run.sampling(self._changes)

    def _settings(self) -> dict[str, Any]:
        return dict(self._now())

    def _set(self, name: str, value: str) -> None:
        """Change a setting, or show it; what does not fit is told and changes nothing."""
        from hornbook.runs.resolution import resolve

        if value:
            now = self._run.config.model_copy(update={"sampling": self._now()})
            word = f"sampling.{name}={unquoted(value)}"
            changed = resolve(base=now, overrides=[word]).sampling
            self._changes = {**self._changes, name: getattr(changed, name)}
        _say(f"{name} = {_as_typed(self._settings()[name])}")

    def _show_settings(self, _: str) -> None:
        for name, value in self._settings().items():
            mark = "  (changed here)" if name in self._changes else ""
            _say(f"{name} = {_as_typed(value)}{mark}")

    def _help(self, value: str) -> None:
        from hornbook.generation import SamplingConfig

        fields, name = SamplingConfig.model_fields, value.lstrip("/").replace("-", "_")
        if name in fields:
            _say(f"/{name}  {_help_of(fields[name])}")
            return
        _say("Type a beginning, and the model goes on; an empty line lets it begin by itself.")
        _say("Ctrl-C stops a text. Commands:")
        for name, told in COMMANDS.items():
            _say(f"  /{name:<14} {told}")
        _say("Settings, shown without a value and changed with one, as in /temperature 0.7:")
        for name, field in fields.items():
            _say(f"  /{name:<14} {_help_of(field)}")


def alternative_lines(tokenizer: Tokenizer, tokens: Iterable[Token], count: int) -> Iterator[str]:
    """For each token that was chosen: how likely the model found it, and what it found likeliest.

    The chances are the model's own, before temperature and the other rules; behind a token that
    a rule made impossible stands which one.
    """
    for token in tokens:
        others = []
        for other in token.alternatives[:count]:
            chance = f"{shown(tokenizer.token_bytes(other.id))} {_percent(other.log_probability)}"
            others.append(f"{chance} ({other.removed_by})" if other.removed_by else chance)
        name = shown(tokenizer.token_bytes(token.id))
        yield f"{name:<14} {_percent(token.log_probability):>5} %   {', '.join(others)}"


def _percent(log_probability: float) -> str:
    return f"{100 * math.exp(log_probability):.1f}"


def unquoted(words: str) -> str:
    """A value as typed; in quotes it is read as TOML reads it, so that ``"\\n"`` is a line's end.

    >>> unquoted("0.7"), unquoted('"\\\\n"'), unquoted('"open')
    ('0.7', '\\n', '"open')
    """
    if words[0] not in "\"'":
        return words
    try:
        return tomllib.loads(f"value = {words}")["value"]
    except tomllib.TOMLDecodeError:
        return words


def _as_typed(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _help_of(field: Any) -> str:
    return " ".join((field.description or "").split())


def _say(text: str) -> None:
    write_text(f"{visible(text) if sys.stdout.isatty() else text}\n")
