"""Contrastive search: a likely token that does not say again what was said.

Of the k likeliest tokens the one is taken that is best by (Su et al., 2022, "A Contrastive
Framework for Neural Text Generation")

    (1 - alpha) × probability  -  alpha × likeness

where likeness is the largest cosine between the feature vector that the token would have and those
of all tokens so far, prompt and text. A model that falls into a loop comes back to vectors that it
had, so the penalty ends the loop without any draw:

    candidate   probability   likeness   alpha = 0.6
    again          0.50         0.98        -0.39
    then           0.30         0.41        -0.13    taken

Each step reads all k candidates at once, as rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from hornbook.errors import GenerationError
from hornbook.generation.beams import room_behind
from hornbook.generation.chooser import Chooser
from hornbook.generation.endings import Ending, ending_of, text_of
from hornbook.generation.rules import check_logits
from hornbook.generation.sampler import Sample
from hornbook.generation.sampling_config import SamplingConfig
from hornbook.generation.vocabulary import vocabulary_of
from hornbook.models import LanguageModel
from hornbook.tokenizers import Tokenizer


def contrastive_search(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    config: SamplingConfig,
    *,
    alpha: float = 0.6,
    candidates: int = 4,
    opening: int | None = None,
) -> Sample:
    """Go on from ``prompt`` by contrastive search; there is one such text.

    It is never longer than the context: where that is full, it ends.

    Args:
        model: any language model.
        tokenizer: its tokenizer.
        prompt: the beginning, which may be empty.
        config: the rules on what is possible, penalties, bias, lengths and stop texts. What makes a
            draw bolder or safer and the seed are not read.
        alpha: how much likeness counts, from 0 (greedy) to 1.
        candidates: how many of the likeliest tokens are tried.
        opening: see ``generate``.

    Raises:
        GenerationError: when a setting does not fit the model, or the prompt fills the context.
    """
    problems = []
    if not 0 <= alpha <= 1:
        problems.append(f"alpha={alpha}: should be from 0 to 1.")
    if not 1 <= candidates <= model.vocab_size:
        problems.append(
            f"candidates={candidates}: should be from 1 to the vocabulary's {model.vocab_size}."
        )
    if problems:
        raise GenerationError("\n".join(problems))
    first = tokenizer.start_id if opening is None else opening
    ids = tokenizer.encode(prompt, add_start=config.add_start) or [first]
    chooser = Chooser(vocabulary_of(tokenizer), model.device)
    chooser.join(config, ids)
    written: list[int] = []
    ending: Ending = "stuck"
    room = room_behind(model, ids, config)
    tokens = contrastive_tokens(model, ids, chooser, alpha=alpha, candidates=candidates)
    while True:
        if len(written) == room:
            ending = "length"
            break
        token = next(tokens, None)
        if token is None:
            break
        written.append(token)
        found = ending_of(tokenizer, config, written)
        if found is not None or chooser.is_complete(0):
            ending = found or "complete"
            break
    return Sample(prompt, text_of(tokenizer, config, written), ending)


def contrastive_tokens(
    model: LanguageModel, prompt: list[int], chooser: Chooser, *, alpha: float, candidates: int
) -> Iterator[int]:
    """Yield the next token again and again, until the rules leave none or the context is full.

    Args:
        model: any language model; it is put into evaluation mode.
        prompt: at least one token id.
        chooser: the rules, one row.
        alpha: how much likeness counts.
        candidates: how many tokens are tried.
    """
    model.eval()
    device = model.device
    with torch.inference_mode():
        state = model.init_state(1, device)
        features, state = model.hidden(torch.tensor([prompt], device=device), state)
    seen, newest = F.normalize(features[0].float(), dim=-1), features[0, -1]
    while True:
        with torch.inference_mode():
            logits = model.head(newest[None])
            check_logits(logits)
            scores = chooser.scores(logits)
            likely, ids = scores.softmax(dim=-1)[0].topk(candidates)
            likely, ids = likely[likely > 0], ids[likely > 0]
            if not len(ids):
                return
            best = 0
            # The last token that fits into the context cannot be read any more.
            is_full = model.context_length is not None and len(seen) == model.context_length
            if not is_full:
                rows = torch.zeros(len(ids), dtype=torch.int64, device=device)
                tried = model.select_state(state, rows)
                features, tried = model.hidden(ids[:, None], tried)
                own = F.normalize(features[:, 0].float(), dim=-1)
                likeness = (own @ seen.T).amax(dim=1)
                best = int(((1 - alpha) * likely - alpha * likeness).argmax())
                state = model.select_state(tried, torch.tensor([best], device=device))
                seen, newest = torch.cat((seen, own[best : best + 1])), features[best, 0]
            chooser.accept(ids[best : best + 1])
            token = int(ids[best])
        yield token
        if is_full:
            return
