"""An empty prompt begins as documents began in training: `<s>` for lines, `</s>` elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import hornbook


@pytest.mark.parametrize(
    ("windows", "letter"), [("stream", "e"), ("packed", "e"), ("left_padded", "s")]
)
def test_an_empty_prompt_begins_as_in_training(
    windows: str, letter: str, tmp_path: Path, corpus: Path
) -> None:
    choices = ["tokenizer.kind=char", "model.kind=bigram", "training.steps=1"]
    run = hornbook.train(
        corpus, preset=None, out=tmp_path / "run", overrides=[*choices, f"data.windows={windows}"]
    )
    model: Any = run.model
    with torch.no_grad():  # behind the start comes an s, behind the end of a document an e
        model.table.weight[run.tokenizer.start_id, run.tokenizer.encode("s")] = 100.0
        model.table.weight[run.tokenizer.end_id, run.tokenizer.encode("e")] = 100.0
    assert run.sample("", max_tokens=1, temperature=0.0).text == letter
    pieces = run.stream("", max_tokens=1, temperature=0.0)
    assert "".join(piece.text for piece in pieces) == letter
