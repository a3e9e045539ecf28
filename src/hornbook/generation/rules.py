"""The decoding rules: pure functions from the logits of the next token to changed ones.

Each takes logits [..., vocab_size] and gives them back; a token that a rule removes gets
minus infinity. A number may be one for all rows, or one for each row as a tensor [batch, 1], so
that texts with different settings are drawn in one batch. The value that the settings call "off"
changes nothing, bit for bit.

They apply in this order, which ``chooser`` keeps:

    what was said     repetition penalty, presence and frequency penalty, logit bias
    what is possible  no repeated n-gram, least length, banned and required texts
    how bold          temperature
    the likely ones   top-k, top-p, min-p, typical
    the draw          one token a row, for one uniform number a row

At temperature 0 the likeliest token that is possible is taken, and what follows is skipped.

However large or small a setting is, logits that are numbers stay numbers: what would grow beyond
them ends at ``LARGEST``, and what would be divided by nothing is divided by ``SMALLEST``.
"""

from __future__ import annotations

import numpy as np
import torch

from hornbook.errors import ModelBroken

IMPOSSIBLE = float("-inf")
LARGEST = torch.finfo(torch.float32).max
SMALLEST = torch.finfo(torch.float32).tiny
"""Some processors take whatever is nearer to zero for zero."""

PerRow = float | torch.Tensor
"""One number for all rows, or [batch, 1] with one for each."""


def with_repetition_penalty(
    logits: torch.Tensor, seen: torch.Tensor, penalty: PerRow
) -> torch.Tensor:
    """Make tokens that stand in prompt or text less likely (Keskar et al., 2019, "CTRL").

    A positive logit is divided by the penalty, a negative one multiplied, as everybody who
    adopted the rule does it: the paper divides, which makes negative logits likelier.

    Args:
        logits: [batch, vocab_size].
        seen: [batch, vocab_size] bool, the tokens that are there already.
        penalty: above 1 to avoid repetition; 1 is off. Near zero, logits end at ``LARGEST``.

    >>> with_repetition_penalty(
    ...     torch.tensor([[4.0, -4.0, 2.0]]), torch.tensor([[True, True, False]]), 2.0
    ... )
    tensor([[ 2., -8.,  2.]])
    """
    penalty = _above_zero(penalty)
    lowered = torch.where(logits > 0, logits / penalty, logits * penalty)
    lowered = lowered.clamp(-LARGEST, LARGEST)
    return torch.where(seen & logits.isfinite(), lowered, logits)


def with_count_penalties(
    logits: torch.Tensor, counts: torch.Tensor, presence: PerRow, frequency: PerRow
) -> torch.Tensor:
    """Take ``presence`` off every token written so far, and ``frequency`` for each time.

    The two penalties of OpenAI's API (2020, "Completions"): unlike the repetition penalty they look
    at the text that the model wrote and not at the prompt, and do not depend on a logit's sign.

    Args:
        logits: [batch, vocab_size].
        counts: [batch, vocab_size], how often each token was written.
        presence: 0 is off.
        frequency: 0 is off.

    >>> with_count_penalties(torch.tensor([[5.0, 5.0, 5.0]]), torch.tensor([[0, 1, 3]]), 1.0, 0.5)
    tensor([[5.0000, 3.5000, 2.5000]])
    """
    counted = counts.to(logits.dtype)
    return logits - counted * frequency - (counted > 0) * presence


def with_bias(logits: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Add a number to the logits of single tokens ("logit bias" of OpenAI's API, 2021).

    It is added after the penalties, so that it means the same whatever was said before.

    Args:
        logits: [batch, vocab_size].
        bias: the same shape, zero where there is none.

    >>> with_bias(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, -5.0]]))
    tensor([[ 1., -3.]])
    """
    return logits + bias


def repeated_ngrams(
    history: torch.Tensor, lengths: torch.Tensor, size: int | torch.Tensor, most: int
) -> torch.Tensor:
    """Which tokens would make a run of ``size`` tokens come a second time (Paulus et al., 2017).

        history  a b c a b        size 3: "a b c" was there, so after "a b" there is no c
        windows  [a b] c
                   [b c] a
                     [c a] b
        the last       [a b] ?

    Args:
        history: [batch, places] ``int64`` tokens so far, the text behind the prompt.
        lengths: [batch, 1] how many of the places each row has filled.
        size: tokens in a run, or [batch, 1] with one for each row; 0 is off.
        most: the largest ``size``.

    Returns:
        [batch, places] bool: where the token that may not come stands in ``history``.

    >>> history = torch.tensor([[7, 8, 9, 7, 8, 0]])
    >>> repeated_ngrams(history, torch.tensor([[5]]), 3, 3).nonzero()[:, 1].tolist()
    [2]
    """
    places = torch.arange(history.shape[1], device=history.device)
    sizes = torch.as_tensor(size, device=history.device)
    # A run that ends at a place has its first token here; it must lie inside the text.
    fits = (places - sizes + 1 >= 0) & (places < lengths) & (sizes > 0)
    for back in range(1, min(most, history.shape[1])):
        newest = history.gather(1, (lengths - back).clamp(min=0))
        same = torch.zeros_like(fits)
        same[:, back:] = history[:, :-back] == newest
        fits &= same | (sizes <= back)
    return fits


def with_temperature(logits: torch.Tensor, temperature: PerRow) -> torch.Tensor:
    """Divide the logits: [..., vocab_size] to the same shape (Ackley et al., 1985).

    The largest is taken off before, which changes no probability: it becomes 0 and the others what
    they are below it. So a temperature near zero takes the likeliest token, as zero does, but
    shares the draw among tokens that are exactly as likely.

    >>> with_temperature(torch.tensor([2.0, 1.0]), 0.5)
    tensor([ 0., -2.])
    >>> with_temperature(torch.tensor([2.0, 1.0, 2.0]), 1e-320).softmax(dim=-1)
    tensor([0.5000, 0.0000, 0.5000])
    """
    # Where nothing is possible the largest is no number that could be taken off.
    largest = logits.amax(dim=-1, keepdim=True).clamp(min=-LARGEST)
    return (logits - largest) / _above_zero(temperature)


def keep_top_k(logits: torch.Tensor, k: int | torch.Tensor, most: int = 0) -> torch.Tensor:
    """Make all but the k largest logits impossible (Fan et al., 2018). Ties stay in.

    Args:
        logits: [..., vocab_size].
        k: how many; 0 is off. Or [batch, 1] with one for each row.
        most: the largest of them, where there is one for each row.

    >>> keep_top_k(torch.tensor([3.0, 1.0, 2.0]), 2)
    tensor([3., -inf, 2.])
    >>> keep_top_k(torch.tensor([[3.0, 1.0, 2.0]] * 2), torch.tensor([[1], [0]]), 1)
    tensor([[3., -inf, -inf],
            [3., 1., 2.]])
    """
    if isinstance(k, int):
        if k == 0 or k >= logits.shape[-1]:
            return logits
        smallest = logits.topk(k, dim=-1).values[..., -1:]
    else:
        most = min(most, logits.shape[-1])
        largest = logits.topk(most, dim=-1).values
        smallest = largest.gather(-1, (k - 1).clamp(0, most - 1))
        smallest = smallest.masked_fill(k == 0, IMPOSSIBLE)
    return logits.masked_fill(logits < smallest, IMPOSSIBLE)


def keep_top_p(logits: torch.Tensor, p: PerRow) -> torch.Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches p; 1 is off.

    Nucleus sampling (Holtzman et al., 2020). The likeliest token always stays.

    >>> keep_top_p(torch.tensor([0.5, 0.3, 0.2]).log(), 0.6).exp()
    tensor([0.5000, 0.3000, 0.0000])
    """
    if isinstance(p, float) and p >= 1:
        return logits
    ordered = _descending(logits)
    probabilities = ordered.softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities
    # None where nothing is possible, and nothing is compared there.
    kept = (before < p).sum(dim=-1, keepdim=True).clamp(min=1)
    least = ordered.gather(-1, kept - 1)
    # Of tokens that are exactly as likely as the last one kept, the first ones stay.
    tied = logits == least
    room = kept - (logits > least).sum(dim=-1, keepdim=True)
    removed = (logits < least) | (tied & (tied.cumsum(dim=-1) > room))
    if isinstance(p, torch.Tensor):
        removed &= p < 1
    return logits.masked_fill(removed, IMPOSSIBLE)


def keep_min_p(logits: torch.Tensor, p: PerRow) -> torch.Tensor:
    """Keep tokens at least p times as probable as the likeliest (Nguyen et al., 2024); 0 is off.

    Where the model is sure, few remain; where it is not, many, and top-p would cut a flat
    distribution at an arbitrary place.

    >>> keep_min_p(torch.tensor([0.6, 0.3, 0.1]).log(), 0.4).exp()
    tensor([0.6000, 0.3000, 0.0000])
    """
    probabilities = logits.softmax(dim=-1)
    least = probabilities.amax(dim=-1, keepdim=True) * p
    return logits.masked_fill(probabilities < least, IMPOSSIBLE)


def keep_typical(logits: torch.Tensor, p: PerRow) -> torch.Tensor:
    """Keep the tokens whose surprise is nearest to the entropy (Meister et al., 2023); 1 is off.

    Surprise is -log(probability), and the entropy is the one to be expected. Nearest first,
    tokens are kept until together they have probability p. A token that is much likelier than
    usual is as untypical as one that is much rarer. Ties stay in.

    >>> keep_typical(torch.tensor([0.5, 0.3, 0.1, 0.1]).log(), 0.25).exp()
    tensor([0.0000, 0.3000, 0.0000, 0.0000])
    """
    if isinstance(p, float) and p >= 1:
        return logits
    logs = logits.log_softmax(dim=-1)
    probabilities = logs.exp()
    # A token that is impossible already adds nothing, and 0 × -inf is no number.
    entropy = -torch.where(probabilities > 0, probabilities * logs, 0).sum(-1, keepdim=True)
    distance = (-logs - entropy).abs()
    nearest, places = distance.sort(dim=-1, stable=True)
    reached = probabilities.gather(-1, places).cumsum(dim=-1)
    last = (reached < p).sum(dim=-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    outside = distance > nearest.gather(-1, last)
    if isinstance(p, torch.Tensor):
        outside &= p < 1
    return logits.masked_fill(outside, IMPOSSIBLE)


def _above_zero(number: PerRow) -> PerRow:
    """The same, or ``SMALLEST`` where ``float32`` has nothing between it and zero."""
    if isinstance(number, torch.Tensor):
        return number.clamp(min=SMALLEST)
    return max(number, SMALLEST)


# 50,257 logits on one thread of a Zen 4 [ms]: torch.sort 3.7, numpy's 1.1.
def _descending(logits: torch.Tensor) -> torch.Tensor:
    """Logits [..., vocab_size], the largest first."""
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        rising = np.sort(logits.detach().numpy(), axis=-1)
        return torch.from_numpy(rising).flip(-1)
    return logits.sort(dim=-1, descending=True).values


def draw(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Turn one uniform number a row into one token a row.

    The token is the first whose cumulated probability exceeds the number: a search in a sorted
    list, many times faster than ``torch.multinomial`` for a large vocabulary, and the same
    on every device for the same number.

    Args:
        probabilities: [batch, vocab_size], each row summing to 1.
        uniforms: [batch] numbers in [0, 1).

    Returns:
        [batch] ``int64`` ids, never one of probability zero; any id where the probabilities are
        no numbers.

    >>> draw(torch.tensor([[0.25, 0.0, 0.75]]).repeat(3, 1), torch.tensor([0.0, 0.25, 0.99]))
    tensor([0, 2, 2])
    """
    # Apple's MPS has no float64; elsewhere it keeps the sums of large vocabularies exact.
    number = torch.float32 if probabilities.device.type == "mps" else torch.float64
    cumulated = probabilities.to(number).cumsum(dim=-1)
    total = cumulated[..., -1:].contiguous()
    # Scaling by the last sum makes up for rounding, so the search always lands inside.
    wanted = uniforms.to(number).unsqueeze(-1) * total
    found = torch.searchsorted(cumulated, wanted, right=True)
    # A number that was rounded up to 1 finds nothing above; the first to reach the sum is it.
    found = torch.minimum(found, torch.searchsorted(cumulated, total)).squeeze(-1)
    # NaN is found behind all; whose row it is, its log-probability tells.
    return found.clamp(max=probabilities.shape[-1] - 1)


def log_probabilities_of(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """How likely a model thinks one token a row: [batch, vocab_size] and [batch] to [batch].

    NaN in a row from which nothing can be drawn: with a logit that is NaN or infinite, or with
    none above minus infinity.

    >>> log_probabilities_of(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).exp()
    tensor([0.5000])
    """
    # The whole table takes a quarter of the time that ``logsumexp`` takes.
    return logits.float().log_softmax(dim=-1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)


def check_logits(logits: torch.Tensor) -> None:
    """Refuse logits [rows, vocab_size] from which nothing can be drawn; this waits for the device.

    Raises:
        ModelBroken: in some row one is NaN or infinite, or none is above minus infinity.
    """
    if not bool(logits.amax(dim=-1).isfinite().all()):
        raise ModelBroken
