"""The small prompt, on a terminal of its own: texts, settings, alternatives, files, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import hornbook
from hornbook.cli.prompt import Prompt
from hornbook.cli.screen import visible

pty = pytest.importorskip("pty", reason="terminals of one's own exist on Unix")

PATIENCE = 120
"""How long a test waits for what must come [seconds]."""


class Terminal:
    """A program that runs on a terminal of its own: type to it, and see what it shows."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            # A shell ignores Ctrl-C for what it starts in the background, and so would the program.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(folder)
            os.environ |= {"TERM": "dumb", "COLUMNS": "200"}
            os.execv(sys.executable, [sys.executable, "-m", "hornbook", *words])
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def until(self, wanted: str) -> str:
        """What is shown up to ``wanted``; everything after it stays for the next call."""
        give_up = time.monotonic() + PATIENCE
        while wanted not in self.seen:
            assert time.monotonic() < give_up, f"{wanted!r} never came; there was {self.seen!r}"
            assert self._read(), f"{wanted!r} never came; the program ended with {self.seen!r}"
        shown, _, self.seen = self.seen.partition(wanted)
        return shown

    def _read(self) -> bool:
        """Take in what is shown, if anything is by and by; ``False`` if the program has ended."""
        if not select.select([self.handle], [], [], 0.2)[0]:
            return True
        try:
            new = os.read(self.handle, 1 << 16)
        except OSError:  # how Linux says that the program has ended
            new = b""
        self.seen += new.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(new)

    def ask(self, line: str) -> str:
        """Type a line, and what is answered before the next prompt."""
        self.type(f"{line}\n")
        return self.until("\n> ").partition("\n")[2]

    def press(self, key: str, wanted: str | None) -> None:
        """Press a key until ``wanted`` is shown, or without it until the program has ended.

        A key that is pressed while the line editor sets up the terminal may be lost.
        """
        give_up, again = time.monotonic() + PATIENCE, 0.0
        while wanted is None or wanted not in self.seen:
            assert time.monotonic() < give_up, f"{key!r} did nothing; there was {self.seen!r}"
            if time.monotonic() >= again:  # not at once: a second Ctrl-C means more than the first
                again = time.monotonic() + 3
                with contextlib.suppress(OSError):
                    self.type(key)
            if not self._read():
                assert wanted is None
                return

    def end(self) -> int:
        """Leave with Ctrl-D: the exit code."""
        self.press("\x04", None)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return code

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.handle)


@pytest.fixture
def terminal(finished_run: hornbook.Run, tmp_path: Path) -> Iterator[Terminal]:
    words = ["sample", str(finished_run.path.resolve()), "--device", "cpu", "--max-tokens", "12"]
    opened = Terminal(words, tmp_path)
    yield opened
    opened.close()


def test_a_session(terminal: Terminal, finished_run: hornbook.Run, tmp_path: Path) -> None:
    terminal.until("/help.\n> ")
    expected = visible(str(finished_run.sample("The river", max_tokens=12)))
    assert terminal.ask("The river") == expected
    assert terminal.ask("/temperature 0") == "temperature = 0.0"
    greedy = str(finished_run.sample("The river", max_tokens=12, temperature=0))
    assert terminal.ask("The river") == visible(greedy)
    assert "greater than or equal to 0" in terminal.ask("/temperature -1")
    assert terminal.ask("/temperature") == "temperature = 0.0"
    assert "Did you mean /temperature?" in terminal.ask("/temprature 1")
    assert len(terminal.ask("/alternatives 3").splitlines()) >= 12
    assert terminal.ask("/save out.txt") == "saved in out.txt"
    assert (tmp_path / "out.txt").read_text() == f"{greedy}\n"
    assert "/save! out.txt replaces it" in terminal.ask("/save out.txt")
    terminal.ask("/temperature 1")
    seeded = str(finished_run.sample("The river", max_tokens=12, temperature=1, seed=1))
    assert terminal.ask("/again") == f"seed = 1\n{visible(seeded)}"
    assert terminal.ask("/save! out.txt") == "saved in out.txt"
    assert (tmp_path / "out.txt").read_text() == f"{seeded}\n"
    assert "/save FILE" in terminal.ask("/help")

    terminal.ask("/max_tokens 1000000000")
    terminal.ask("/stop_at_end false")
    terminal.type("The bird\n")
    terminal.until("The bird\nThe bird")
    time.sleep(0.1)
    terminal.type("\x03")  # the text stops, and the program goes on
    terminal.until("\n> ")
    assert terminal.ask("/max_tokens 3") == "max_tokens = 3"
    short = finished_run.sample("The", max_tokens=3, temperature=1, seed=1, stop_at_end=False)
    assert terminal.ask("The") == visible(str(short))
    terminal.press("\x03", "Ctrl-D")  # at the prompt it only says how to leave
    assert terminal.end() == 0


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/save", "takes the name"),
        ("/save .", "is a folder"),
        ("/save no/such/folder.txt", "No such file"),
        ("/alternatives many", "how many"),
        ("/top_p 0", "greater than 0"),
        ("/top-p 1.5", "less than or equal to 1"),
        ("/top_k 100000", "top_k = 100000"),
        ('/stop ""', "stop = []"),
        ('/stop ["a", ""]', "must not be empty"),
        ("/help temprature", "Commands"),
        ("/help top_p", "likeliest tokens that together"),
        ("/settings", "temperature ="),
        ("/", "no command /"),
    ],
)
def test_what_is_mistyped_is_told(
    line: str,
    said: str,
    finished_run: hornbook.Run,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    prompt = Prompt(finished_run, {"max_tokens": 2})
    assert prompt.answer("The")
    capsys.readouterr()
    assert prompt.answer(line)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("line", ["/again", "/alternatives", "/save x.txt"])
def test_nothing_written_yet(
    line: str, finished_run: hornbook.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Prompt(finished_run, {}).answer(line)
    assert "Nothing was written yet" in capsys.readouterr().out


def test_what_the_model_refuses_is_told(
    finished_run: hornbook.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = Prompt(finished_run, {})
    assert prompt.answer("/top_k 100000")
    assert prompt.answer("The")
    assert "vocabulary" in capsys.readouterr().out


def test_a_stroke_can_begin_a_text_and_values_are_read_as_toml(
    finished_run: hornbook.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = Prompt(finished_run, {"max_tokens": 1})
    assert prompt.answer("//usr")
    assert lines_of(capsys)[0].startswith("/usr")
    assert prompt.answer('/stop "\\n"')
    assert prompt.answer('/stop ["a", "b"]')
    assert lines_of(capsys) == ['stop = ["\\n"]', 'stop = ["a", "b"]']
    assert not prompt.answer("/quit")


def test_alternatives_are_those_that_the_sampler_had(
    finished_run: hornbook.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = Prompt(finished_run, {"max_tokens": 5, "temperature": 1.0, "top_k": 2, "seed": 3})
    assert prompt.answer("The river")
    text = lines_of(capsys)
    assert prompt.answer("/alternatives 3")
    lines = lines_of(capsys)
    assert len(lines) == 5
    chosen = [line.split()[0] for line in lines]
    assert (
        "".join(chosen).replace("·", " ").replace("⏎", "\n") == "\n".join(text)[len("The river") :]
    )
    for name, line in zip(chosen, lines, strict=True):
        first, second, third = line.split("%   ")[1].split(", ")
        assert third.endswith("(top_k)")
        assert name in {first.split()[0], second.split()[0]}
