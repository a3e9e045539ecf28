"""docs/generation.md: its example prints what it says, and every setting is told."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from hornbook.generation import SamplingConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "generation.md"


@pytest.fixture(scope="module")
def page() -> str:
    if not PAGE.is_file():
        pytest.skip("needs the project's docs/, which are absent here")
    return PAGE.read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_says(
    page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"```python\n(.*?explain.*?)```\n\n(.*?)\n\n", page, re.DOTALL)
    assert found is not None
    example, printed = found.groups()
    exec(example, {})
    own = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert own == [line.removeprefix("    ").rstrip() for line in printed.splitlines()]
    # The drawing above it ends with the same probabilities.
    assert re.search(r"drawn from +0\.42 +0\.58", textwrap.dedent(page))


@pytest.mark.parametrize("name", SamplingConfig.model_fields)
def test_every_setting_is_told(page: str, name: str) -> None:
    assert re.search(rf"\b{name}\b", page), name
