"""Does a model of ours give the logits that its files' own formula gives? On one short text.

    text   The quick brown fox ...
    ours   models.Transformer, float32          ┐  the largest difference of a logit,
    plain  as on paper, from the files          ┘  in deviations of the logits

A matrix that stands the wrong way round or a head in another's place moves logits by as much as
they differ anyway; rounding moves them by a ten thousandth of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hornbook.errors import InteropError
from hornbook.interop.form import Form, ReadTensor
from hornbook.models import LanguageModel
from hornbook.tokenizers import Tokenizer

TEXT = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all."
MOST_TOKENS = 24
TOLERANCE = 1e-3
"""How far a logit may be from the formula's, in deviations of the logits over the vocabulary."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the comparison found.

    Attributes:
        difference: the largest difference of a logit.
        surprise: the model's surprise at the text [nats per token].
    """

    difference: float
    surprise: float


@torch.inference_mode()
def compare(
    form: Form,
    values: Mapping[str, Any],
    tensor: ReadTensor,
    model: LanguageModel,
    tokenizer: Tokenizer,
) -> Agreement:
    """Lay a model's logits beside those of its files' own formula.

    Args:
        form: the architecture.
        values: the keys of ``config.json``.
        tensor: reads a tensor by its short name.
        model: our model, on the CPU; it is put into evaluation mode.
        tokenizer: makes ids of the text.

    Raises:
        InteropError: they differ by more than rounding.
    """
    most = min(MOST_TOKENS, model.context_length or MOST_TOKENS)
    ids = torch.tensor(tokenizer.encode(TEXT, add_start=True)[:most])
    given = {key: value for key, value in values.items() if value is not None}
    expected = form.plain(given, tensor, ids)
    logits, _ = model.eval()(ids[None])
    found = logits[0].to(expected)
    difference = float((found - expected).abs().max())
    allowed = TOLERANCE * float(expected.std(dim=-1).mean())
    if not difference <= allowed:
        raise InteropError(
            f"The logits here are not those of {form.architecture}",
            [
                f"they differ by up to {difference:.3g} and may by {allowed:.3g}: a mistake of "
                "hornbook's, or numbers too large for float32; please report it with the "
                "config.json"
            ],
        )
    surprise = -found.log_softmax(dim=-1)[:-1].gather(-1, ids[1:, None])
    return Agreement(difference, float(surprise.mean()))
