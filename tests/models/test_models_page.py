"""docs/models.md: its examples run, and it tells of every choice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from hornbook.models import ModelConfig, TransformerConfig

PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


@pytest.fixture(scope="module")
def page() -> str:
    if not PAGE.is_file():
        pytest.skip("needs the project's docs/, which are absent here")
    return PAGE.read_text(encoding="utf-8")


def test_the_examples_run(page: str) -> None:
    names: dict[str, Any] = {}
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(example, names)
    assert names["x"].shape == (1, 3, 64)
    assert names["logits"].shape == (1, 3, 100)
    assert isinstance(names["logits"], torch.Tensor)


def test_every_kind_of_model_is_told(page: str) -> None:
    union, _ = get_args(ModelConfig)
    for family in get_args(union):
        assert f"`{family.model_fields['kind'].default}`" in page


@pytest.mark.parametrize("name", TransformerConfig.model_fields)
def test_every_setting_is_told(page: str, name: str) -> None:
    field = TransformerConfig.model_fields[name]
    assert re.search(rf"`(model\.)?{name}\b", page), name
    for value in get_args(field.annotation):
        assert re.search(rf"[`=]{value}`", page), f"{name}={value}"
