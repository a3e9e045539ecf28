"""The note that is left when a loss jumps: what was in the batch, and which layer felt it.

    {"step": 812, "what": "the loss jumped", "loss": 3.4, "usual_loss": 2.1, "limit": 2.99,
     "learning_rate": 0.003, "gradient_norm": 9.6,
     "gradient_norm_by_layer": {"token_embedding": 9.1, "blocks.0": 2.2, …},
     "examples": [19464, 19488], "documents": [[17, 19], [204, 204]],
     "rows": ["and then the bird", "%%%%%%%%%%%%%", …]}

The examples are places in the run, the documents are numbered from 0 as they stand on the
training side, and each row begins with the text that stands here. All of it is seen with
``hornbook data show RUN --example 19464``.
"""

from __future__ import annotations

import math
from typing import Any

from hornbook.data import Batch
from hornbook.data.provenance import documents_of_batch
from hornbook.runs.assembly import Batches
from hornbook.targets import PADDING_SEGMENT
from hornbook.tokenizers import Tokenizer
from hornbook.training.gradients import norms_by_layer
from hornbook.training.jumps import Expectation
from hornbook.training.progress import Issued
from hornbook.training.step import Reading

ROWS_SHOWN = 16
TOKENS_SHOWN = 24
"""Of so many rows the first so many tokens are kept as text."""


def note_of_jump(
    step: int,
    issued: Issued,
    reading: Reading,
    expected: Expectation,
    batches: Batches,
    tokenizer: Tokenizer,
) -> tuple[dict[str, Any], str]:
    """The line of ``notes.jsonl``, and the same in a few words.

    Args:
        step: the number of the step.
        issued: what it was.
        reading: its numbers.
        expected: what its loss should have been.
        batches: where its examples came from; they are gathered again.
        tokenizer: makes them text.
    """
    first, size = issued.first_example, issued.examples
    norms = issued.result.tensor_norms.tolist()
    batch = batches.training.batch(first, min(size, ROWS_SHOWN))
    note = {
        "step": step,
        "what": "the loss jumped",
        "loss": reading.loss,
        "usual_loss": expected.usual,
        "limit": expected.limit,
        "learning_rate": issued.rate,
        "gradient_norm": reading.gradient_norm if math.isfinite(reading.gradient_norm) else None,
        "gradient_norm_by_layer": norms_by_layer(issued.result.names, norms),
        "examples": [first, first + size],
        "documents": documents_of_batch(batches.training, first, size),
        "rows": _beginnings(batch, tokenizer),
    }
    words = f"the loss jumped to {reading.loss:.3f}, where about {expected.usual:.3f} was usual"
    return note, words


def _beginnings(batch: Batch, tokenizer: Tokenizer) -> list[str]:
    """The first real tokens of each row as text."""
    texts = []
    for row in range(len(batch.tokens)):
        tokens = batch.tokens[row]
        if batch.segments is not None:
            tokens = tokens[batch.segments[row] != PADDING_SEGMENT]
        texts.append(tokenizer.decode(tokens[:TOKENS_SHOWN].tolist()))
    return texts
