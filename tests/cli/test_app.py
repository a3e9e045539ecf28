"""The command line as a whole: help, mistakes, streams, and what is not imported."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from hornbook.cli.app import main

COMMANDS = [
    "",
    "train",
    "sample",
    "score",
    "serve",
    "compare",
    "lr-find",
    "account",
    "diagram",
    "embeddings",
    "report",
    "runs",
    "show",
    "verify",
    "pack",
    "unpack",
    "config",
    "bench",
    "bench step",
    "bench device",
    "import",
    "import gpt2",
    "import llama",
    "export",
    "export hf",
    "tokenizer",
    "tokenizer encode",
    "tokenizer decode",
    "tokenizer compare",
    "corpora",
    "corpora fetch",
    "data",
    "data show",
    "data stats",
]
HEAVY = {"torch", "numpy", "pydantic", "pyarrow", "numba", "rich", "safetensors", "matplotlib"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(call: Any, command: str) -> None:
    result = call(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"hornbook {command}" in result.stdout.partition("Example")[2]


def test_the_commands_with_help_are_all_commands(call: Any) -> None:
    listed = call("--help").stdout.partition("Commands:")[2].split("\n")
    names = [line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "]
    assert names == [name for name in COMMANDS if name and " " not in name]


@pytest.mark.parametrize(
    ("words", "allowed"),
    # A command's own help lets typer itself import pydantic, to name the types of its options.
    [(["--help"], set()), (["train", "--help"], {"pydantic"})],
)
def test_nothing_heavy_is_imported_for_help(words: list[str], allowed: set[str]) -> None:
    code = (
        "import sys\nfrom hornbook.cli.app import main\n"
        f"try: main({words})\nexcept SystemExit: pass\n"
        "print('LOADED', *sorted(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("LOADED")[2].split())
    assert loaded
    assert loaded & HEAVY <= allowed


def test_version_names_the_program(call: Any) -> None:
    assert call("--version").stdout.startswith("hornbook ")


def test_completion_stays_on(call: Any) -> None:
    assert "--install-completion" in call("--help").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "No such command"),
        (["train", "--frob"], "No such option"),
        (["show"], "Missing argument"),
    ],
)
def test_wrong_usage_is_told(refused: Callable[..., str], words: list[str], said: str) -> None:
    assert said in refused(*words)


def test_a_bug_keeps_its_traceback(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("hornbook.runs.run.open_run", broken)
    result = call("show", "anything")
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_ctrl_c_ends_with_130(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hornbook.runs.run.open_run", stopped)
    result = call("show", "anything")
    assert (result.exit_code, result.stderr) == (130, "hornbook: stopped.\n")


def test_main_ends_with_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["config", "no-such-preset"])
    assert ended.value.code == 2
    assert "no-such-preset" in capsys.readouterr().err


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_output_without_utf8_shows_what_it_can(
    errors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding="ascii", errors=errors)
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as ended:
        main(["config", "training.sample_prompt=für"])
    assert not ended.value.code
    assert b'sample_prompt = "f?r"' in content.getvalue()


def test_a_closed_pipe_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "hornbook", "corpora"], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
