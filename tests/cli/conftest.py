"""What the tests of the command line share: calling it, and words for a fast training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from typer.testing import CliRunner

from hornbook.cli.app import app

Call: TypeAlias = Callable[..., Any]


@pytest.fixture(scope="session")
def call() -> Call:
    """``call("show", path)`` runs one command in this process and gives what it printed."""
    runner = CliRunner()

    def run(*words: object, text: str | bytes | None = None) -> Any:
        return runner.invoke(app, [str(word) for word in words], input=text)

    return run


@pytest.fixture(scope="session")
def refused(call: Call) -> Callable[..., str]:
    """``refused(*words)`` asserts a mistake told in words, and gives the message."""

    def run(*words: object, text: str | bytes | None = None) -> str:
        result = call(*words, text=text)
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output
        assert result.stdout == ""
        assert result.stderr.count("hornbook: ") <= 1
        return result.stderr

    return run


@pytest.fixture(scope="session")
def fast_words(fast_settings: dict[str, Any]) -> list[str]:
    """The words that train in a fraction of a second."""
    return ["--preset", "tiny", *(f"{key}={value}" for key, value in fast_settings.items())]
