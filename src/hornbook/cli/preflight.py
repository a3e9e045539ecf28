"""``hornbook train --check``: what is found out about a run before it is trained, on one screen."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import typer

from hornbook.errors import HornbookError, ToldElsewhere
from hornbook.launch import launch_of

if TYPE_CHECKING:
    from hornbook.cli.training_wish import TrainingWish
    from hornbook.training.preflight_check import PreflightReport

_FAILED = 1
_SIGNS = {"pass": "pass", "fail": "FAIL", "skip": "-"}
_INDENT = 18
_PIPE_WIDTH = 100
"""Columns where nobody looks."""


def show_checks(wish: TrainingWish, *, as_json: bool) -> None:
    """Make all checks of the run that is wished for, and print them.

    Raises:
        typer.Exit: with 1, if a check fails.
    """
    launch = launch_of()
    if launch.count > 1:
        if not launch.is_first:
            raise ToldElsewhere
        raise HornbookError("--check is the work of one process: start it without torchrun.")
    from hornbook.cli.screen import ScreenListener
    from hornbook.training.preflight import check_fork, check_resume, check_train

    with ScreenListener() as listener:
        report = wish.carried_out(check_train, check_resume, check_fork, listener)
    print(json.dumps(report.to_json(), indent=2) if as_json else drawn(report, _width()))
    if report.failed:
        raise typer.Exit(_FAILED)


def drawn(report: PreflightReport, width: int) -> str:
    """The report as lines of at most ``width`` columns."""
    from hornbook.cli.screen import visible

    lines = []
    for check in report.checks:
        begin = f"{_SIGNS[check.verdict]:<6}{check.name:<{_INDENT - 6}}"
        indent = " " * _INDENT
        lines += textwrap.wrap(
            visible(check.reason),
            width,
            initial_indent=begin,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    counts = dict.fromkeys(_SIGNS, 0)
    for check in report.checks:
        counts[check.verdict] += 1
    told = f"{counts['pass']} passed, {counts['fail']} failed"
    if counts["skip"]:
        told += f", {counts['skip']} without a verdict"
    left = f"left behind: {', '.join(report.caches)}" if report.caches else "nothing left behind"
    end = f"{told}; {report.seconds:.1f} s; nothing trained; {left}"
    return "\n".join([*lines, "", *textwrap.wrap(end, width, break_long_words=False)])


def _width() -> int:
    if not sys.stdout.isatty():
        return _PIPE_WIDTH
    return max(shutil.get_terminal_size().columns, 2 * _INDENT)
