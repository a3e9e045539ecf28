"""The screen: plain where nobody looks, alive on a terminal, never steered by a model."""

from __future__ import annotations

import io
import sys

import pytest

from hornbook.cli.screen import LIVE_EVERY, PLAIN_EVERY, ScreenListener


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """Takes text and claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def drive(listener: ScreenListener, clock: Clock, seconds: float) -> None:
    """A reading of ten pieces, then a training of ten steps."""
    with listener:
        with listener.progress("reading", total=10_000, unit="bytes") as progress:
            for _ in range(10):
                clock.now += seconds
                progress.advance(1000)
        listener.training_began(0, 20)
        for step in range(1, 11):
            clock.now += seconds
            listener.stepped(step, 3.0, 100)
        listener.notice("a \x1b[31mfact")
        listener.measured({"step": 10, "training_loss": 1.0})
        listener.measured({"step": 10, "validation_loss": 2.0, "bits_per_byte": 1.0})
        listener.sampled(10, "one\ntwo\x07")


def test_a_pipe_gets_a_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    drive(ScreenListener(clock=clock), clock, PLAIN_EVERY / 2)
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert "\x1b" not in printed.err
    assert "\r" not in printed.err
    assert len([line for line in lines if line.startswith("reading: ")]) == 5
    assert "reading: 2.0 kB of 10.0 kB, 0:20 left" in lines
    assert "reading: 10.0 kB of 10.0 kB" in lines
    assert 4 <= len([line for line in lines if line.startswith("training: step")]) <= 5
    assert lines[-5:] == [
        "a ␛[31mfact",
        "step 10: validation loss 2.000, 1.000 bits per byte",
        "step 10, a sample:",
        "    one",
        "    two␇",
    ]


def test_quick_tasks_leave_no_trace_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with ScreenListener(clock=clock) as listener, listener.progress("a", total=None, unit="b") as p:
        p.advance(5)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    clock = Clock()
    drive(ScreenListener(clock=clock), clock, LIVE_EVERY * 2)
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    assert "step 10: validation loss 2.000" in shown
    assert "a ␛[31mfact" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
