"""Which documents a batch was cut from, against a look at every single token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hornbook.data.provenance import documents_of_batch
from hornbook.runs.assembly import make_batches, make_store, make_tokenizer, read_corpus
from hornbook.runs.resolution import resolve

TEXTS = [f"{word * 3} " * (1 + number % 4) for number, word in enumerate("ABCDEFGHIJKLMNOPQRSTU")]
"""Documents that can be told by any of their letters; special tokens have small ones."""


@pytest.mark.parametrize(
    "settings",
    [
        {"data.windows": "stream"},
        {"data.windows": "stream", "data.stride": 3},
        {"data.windows": "stream", "data.recut": True},
        {"data.windows": "packed"},
        {"data.windows": "left_padded"},
        {"data.windows": "slide_through"},
        {"data.windows": "stream", "training.carry_state": True, "model.kind": "gru"},
        {"data.windows": "stream", "data.split": "window", "corpus.validation_fraction": 0.2},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_the_documents_are_those_whose_letters_are_seen(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    config = resolve(
        preset="tiny",
        overrides={
            "corpus.files": (str(path),),
            "corpus.separate_by": "line",
            "corpus.validation_fraction": 0.0,
            "tokenizer.kind": "char",
            "context_length": 12,
            "training.batch_size": 5,
            **settings,
        },
    )
    config, split = read_corpus(config)
    tokenizer = make_tokenizer(config, split)
    batches = make_batches(config, make_store(split, tokenizer)).training
    for first in (0, 5, 10):
        batch = batches.batch(first, 5)
        real = [*batch.targets[batch.targets >= 0].tolist(), *batch.tokens.flatten().tolist()]
        letters = {c for c in tokenizer.decode(real) if c.isupper()}
        seen = {"ABCDEFGHIJKLMNOPQRSTU".index(letter) for letter in letters}
        found = documents_of_batch(batches, first, 5)
        told = {number for a, b in found for number in range(a, b + 1)}
        # A document may be there with its end alone, which has no letter.
        assert seen <= told
        assert len(told - seen) <= 5
        assert found == sorted(found)
