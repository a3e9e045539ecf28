"""What every training finds out by itself before its first step, in well under a second.

It looks at a corner of the first batch, on the CPU, before the model goes to its device:

    round trip    all tokens together stand for as many bytes as the text
    future        a few short rows; of a large model, a few tokens of them
    first loss    the same rows

``preflight`` looks at all of it, and at the machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from hornbook.data import Batch
from hornbook.models import LanguageModel
from hornbook.runs.assembly import Batches
from hornbook.runs.memory import is_out_of_memory
from hornbook.tokenizers import Tokenizer
from hornbook.training.preflight_check import Check
from hornbook.training.preflight_data import bytes_are_kept
from hornbook.training.preflight_loss import Beginning, cropped, first_loss
from hornbook.training.preflight_sight import future_is_hidden

ROWS = 3
LONGEST, SHORTEST = 64, 8
"""Places of each row that are looked at [tokens]."""
AFFORDABLE = 2e10
"""What looking may cost: about half a second of one slow core [FLOP]."""


def quick_checks(
    model: LanguageModel,
    batches: Batches,
    tokenizer: Tokenizer,
    beginning: Beginning,
    first_example: int,
) -> list[Check]:
    """The checks that failed; none, if all is well. The model stays as it is.

    Args:
        model: on the CPU, with its first weights.
        batches: what trains it.
        tokenizer: that of the run.
        beginning: where the weights come from.
        first_example: the place of the first batch.
    """
    checks = [bytes_are_kept(batches.store, tokenizer)]
    if not model.closed_form:
        batch = quick_part(batches.training.batch(first_example, ROWS), model.parameter_count())
        try:
            checks += _model_checks(model, batch, beginning)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):  # the steps themselves will say what would fit
                raise
    return [check for check in checks if check.verdict == "fail"]


def _model_checks(model: LanguageModel, batch: Batch, beginning: Beginning) -> Iterator[Check]:
    yield future_is_hidden(model, batch, probes=ROWS, training=False)
    if batch.real_targets:
        yield first_loss(model, batch, beginning.of_corner)


def quick_part(batch: Batch, parameters: int) -> Batch:
    """The corner of a batch that a model of this size can look at in a moment.

    >>> import torch
    >>> tokens = torch.zeros(3, 1024, dtype=torch.int64)
    >>> quick_part(Batch(tokens, tokens, tokens.numel()), 10**6).tokens.shape
    torch.Size([3, 64])
    >>> quick_part(Batch(tokens, tokens, tokens.numel()), 10**9).tokens.shape
    torch.Size([3, 8])
    """
    tokens = AFFORDABLE / (6 * max(parameters, 1))
    columns = int(min(max(tokens / len(batch.tokens), SHORTEST), LONGEST, batch.tokens.shape[1]))
    return cropped(batch, len(batch.tokens), columns)
