"""No position sees the future: shown by gradients, not by reading the mask.

For a place t of a row, what the model gives up to t is added up (with random signs) and
differentiated by what its embeddings gave at every place. All that comes later must have a
gradient of exactly zero, and so must other documents of the row:

    read from          · t · · |          documents a a a b b      read from       · · ·|· t
    gradient by place  x x x 0 0 0        gradient by place        0 0 0  x x

One row of each batch is read nowhere, so that rows that see each other show as well, and one at
its last place alone, which tells how far back it sees. A place that sees a later one is found by
every t that stands between the two.

Where weights begin at zero a gradient would be zero without meaning anything; such tensors are
lent random numbers for the time of the check. Models without gradients are asked otherwise: their
later tokens are exchanged, and what they give up to t must stay the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call

from hornbook.data import Batch
from hornbook.models import LanguageModel
from hornbook.randomness import stream_seed
from hornbook.targets import PADDING_SEGMENT
from hornbook.training.precision import Precision
from hornbook.training.preflight_check import Check

NAME = "future"
PROBES = 64
"""Places t that are tried, unless there are fewer."""
_FIRST_LABEL = 1 << 40
"""Larger than any id, so that a label is never taken for one."""
_LENT_DEVIATION = 0.02
_SEED = 5


@dataclass(frozen=True, slots=True)
class Probes:
    """Which place of which row is read; a place of -1 reads nothing.

    Attributes:
        rows: [probes] ``int64`` rows of the batch.
        places: [probes] ``int64``.
    """

    rows: torch.Tensor
    places: torch.Tensor


def future_is_hidden(
    model: LanguageModel,
    batch: Batch,
    *,
    probes: int = PROBES,
    precision: Precision | None = None,
    training: bool = True,
) -> Check:
    """Differentiate what the model gives up to some places by every token of their rows.

    Weights, mode and random streams are afterwards what they were.

    Args:
        model: any language model, on its device.
        batch: what it will be trained on, or a part of it, on the same device.
        probes: how many places to try.
        precision: of products; float32 unless given.
        training: whether in the mode of training, in which attention may take another way. It is
            the only one in which cuDNN's recurrent kernels can be differentiated.
    """
    chosen = choose_probes(batch, probes)
    if not len(chosen.places):
        return Check(NAME, "skip", "a window of one token has no future")
    device = model.device
    was_training = model.training
    model.train(training)
    found = _Found()
    step = max(min(len(batch.tokens), len(chosen.places)), 1)
    products = nullcontext() if precision is None else precision.products()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), products:
            torch.manual_seed(stream_seed(_SEED, "preflight"))
            for first in range(0, len(chosen.places), step):
                part = slice(first, first + step)
                _look(model, batch, chosen.rows[part], chosen.places[part], found)
    finally:
        model.train(was_training)
    return found.verdict(len(chosen.places))


def choose_probes(batch: Batch, count: int) -> Probes:
    """Real places with something behind them, spread evenly over the rows of a batch.

    >>> batch = Batch(torch.zeros(2, 5, dtype=torch.int64), torch.zeros(2, 5), 10)
    >>> probes = choose_probes(batch, 3)
    >>> probes.rows.tolist(), probes.places.tolist()
    ([0, 1, 0], [0, 2, 3])
    """
    real = torch.ones_like(batch.tokens, dtype=torch.bool)
    if batch.segments is not None:
        real = batch.segments != PADDING_SEGMENT
    real = real.cpu()
    real[:, -1] = False
    rows, places, height = [], [], len(real)
    count = min(count, real.shape[1] - 1)
    for number in range(count):
        row = number % height
        there = real[row].nonzero()[:, 0]
        if len(there):
            # From the first to the last of them; a later row goes on where this one is.
            at = round(number * (len(there) - 1) / max(count - 1, 1))
            rows.append(row)
            places.append(int(there[at]))
    return Probes(torch.tensor(rows, dtype=torch.int64), torch.tensor(places, dtype=torch.int64))


class _Found:
    """What the gradients say so far."""

    def __init__(self) -> None:
        self.compared = self.leaks = self.reach = 0
        self.first = ""
        self.blind = 0
        self.by_gradient = True

    def add(
        self, touched: torch.Tensor, hidden: torch.Tensor, places: torch.Tensor, batch: Batch
    ) -> None:
        """Take in which places were felt.

        Args:
            touched: [rows, time] how strongly, 0 for not at all.
            hidden: [rows, time] where nothing may be felt.
            places: [rows] what was read: up to there, -1 for nothing; in the last row there alone.
            batch: the rows.
        """
        self.compared += int(hidden.sum())
        wrong = (touched != 0) & hidden
        self.leaks += int(wrong.sum())
        if not self.first and bool(wrong.any()):
            # If rows see each other, all else that was found may have come from another row.
            unread = wrong & (places < 0)[:, None]
            row, seen = (
                int(number) for number in (unread if bool(unread.any()) else wrong).nonzero()[0]
            )
            self.first = _in_words(int(places[row]), seen, batch, row, float(touched[row, seen]))
        columns = torch.arange(touched.shape[1])
        allowed = (touched != 0) & ~hidden & (places >= 0)[:, None]
        self.blind += int((~allowed.any(dim=1) & (places >= 0)).sum())
        back = torch.where(allowed, places[:, None] - columns, 0)
        self.reach = max(self.reach, int(back[-1].max()))

    def verdict(self, probes: int) -> Check:
        numbers = {"compared": self.compared, "seen": self.leaks, "tokens_back": self.reach}
        what = "gradients of" if self.by_gradient else "exchanges of"
        if self.leaks:
            reason = f"{self.first} ({self.leaks:,} of {self.compared:,} {what} hidden tokens show)"
            return Check(NAME, "fail", reason, numbers, grave=True)
        if self.blind:
            reason = (
                f"{self.blind:,} of {probes:,} positions depend on no token at all, so nothing "
                "can be learned there"
            )
            return Check(NAME, "fail", reason, numbers, grave=True)
        reason = (
            f"{probes:,} positions tried: later tokens, other documents and other rows have "
            f"{self.compared:,} gradients, all exactly zero; "
        )
        if not self.by_gradient:
            reason = (
                f"{probes:,} positions tried: later tokens and other rows were exchanged at "
                f"{self.compared:,} places, and nothing changed"
            )
        elif self.reach:
            reason += f"one sees {self.reach:,} token{'' if self.reach == 1 else 's'} back"
        else:
            reason += "they see their own token alone"
        return Check(NAME, "pass", reason, numbers)


def _in_words(place: int, seen: int, batch: Batch, row: int, strength: float) -> str:
    if place < 0:
        return f"a row sees token {seen} of another row (gradient {strength:.2g})"
    why = "which comes later"
    if batch.segments is not None:
        other = batch.segments[row]
        if int(other[seen]) == PADDING_SEGMENT:
            why = "which is padding"
        elif int(other[seen]) != int(other[place]):
            why = "which belongs to another document"
    return f"token {place} or one before it sees token {seen}, {why} (gradient {strength:.2g})"


def _look(
    model: LanguageModel, batch: Batch, rows: torch.Tensor, places: torch.Tensor, found: _Found
) -> None:
    """Try some probes at once, and two rows more: one read nowhere, one at its end alone."""
    rows = torch.cat([rows, rows[:1], rows[-1:]])
    places = torch.cat([places, torch.tensor([-1]), places[-1:]])
    at = rows.to(batch.tokens.device)
    lent = Batch(
        batch.tokens[at],
        batch.targets[at],
        batch.real_targets,
        None if batch.positions is None else batch.positions[at],
        None if batch.segments is None else batch.segments[at],
    )
    read = _read_places(lent, places)
    hidden = ~read
    read[-1] &= torch.arange(read.shape[1], device=read.device) == places[-1].to(read.device)
    outputs = _Outputs(model)
    weights = _lent_weights(outputs)
    touched = None if model.closed_form else _by_gradient(outputs, weights, lent, read, places)
    if touched is None:
        found.by_gradient = False
        touched = _by_exchange(outputs, weights, lent, read)
    found.add(touched.cpu(), hidden.cpu(), places, lent)


def _read_places(batch: Batch, places: torch.Tensor) -> torch.Tensor:
    """[rows, time] bool: places up to the probe's, in its own document."""
    time = batch.tokens.shape[1]
    upto = places.to(batch.tokens.device)[:, None]
    read = torch.arange(time, device=upto.device) <= upto
    if batch.segments is not None:
        own = batch.segments.gather(1, upto.clamp(min=0))
        read &= batch.segments == own
    return read


class _Outputs(nn.Module):
    """All that a model gives, in a call to which weights can be lent."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor | None,
        segments: torch.Tensor | None,
        read: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [rows, time, width], and the logits [probes, vocab_size] at the last place of
        each row that is read."""
        features, _ = self.model.hidden(tokens, positions=positions, segments=segments)
        rows = read.any(dim=1).nonzero()[:, 0]
        columns = torch.arange(read.shape[1], device=read.device)
        last = torch.where(read, columns, -1).amax(dim=1)
        return features, self.model.head(features[rows, last[rows]])


def _lent_weights(outputs: _Outputs) -> dict[str, torch.Tensor]:
    """Random numbers for tensors that are the same all over and so would show nothing."""
    lent = {}
    model = outputs.model
    buffers = dict(outputs.named_buffers()) if model.closed_form else {}
    for name, tensor in [*outputs.named_parameters(), *buffers.items()]:
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        dull = bool((tensor == tensor.flatten()[0]).all()) if buffers else not bool(tensor.any())
        if dull:
            lent[name] = torch.randn_like(tensor) * _LENT_DEVIATION
    return lent


def _by_gradient(
    outputs: _Outputs,
    weights: dict[str, torch.Tensor],
    batch: Batch,
    read: torch.Tensor,
    places: torch.Tensor,
) -> torch.Tensor | None:
    """[rows, time] the largest gradient by place; ``None`` if the model has no embeddings."""
    with torch.enable_grad(), _labelled(outputs.model, batch.tokens) as (labels, leaves):
        features, logits = functional_call(
            outputs, weights, (labels, batch.positions, batch.segments, read)
        )
        if not leaves:
            return None
        touched = torch.zeros(batch.tokens.numel(), device=batch.tokens.device)
        total = _signed_sum(features.float() * read[..., None]) + _signed_sum(logits.float())
        if not total.requires_grad:
            return touched.view_as(batch.tokens)
        gradients = torch.autograd.grad(
            total, [leaf for _, leaf in leaves], allow_unused=True, materialize_grads=True
        )
    for (labelled, _), gradient in zip(leaves, gradients, strict=True):
        # A number that is none would hide everything else.
        strength = gradient.float().abs().amax(dim=-1).nan_to_num(nan=float("inf"))
        for places_of in labelled:
            there = places_of >= 0
            at = places_of[there] - _FIRST_LABEL
            touched.scatter_reduce_(0, at, strength[there], "amax")
    return touched.view_as(batch.tokens)


def _signed_sum(values: torch.Tensor) -> torch.Tensor:
    """The sum of all numbers with random signs, so that no two gradients cancel by design."""
    return (values * (torch.rand_like(values) - 0.5)).sum()


@contextmanager
def _labelled(
    model: LanguageModel, tokens: torch.Tensor
) -> Iterator[tuple[torch.Tensor, list[tuple[list[torch.Tensor], torch.Tensor]]]]:
    """Labels to give to a model instead of tokens; its embeddings look up the tokens themselves.

    However a model orders its tokens while it computes, what an embedding gives is thereby known
    to belong to a place. Yields the labels, shaped as ``tokens``, and a list that fills with what
    embeddings give: the labels that went in, and the leaf to differentiate by.
    """
    flat = tokens.flatten()
    labels = torch.arange(flat.numel(), device=tokens.device).view_as(tokens) + _FIRST_LABEL
    leaves: list[tuple[list[torch.Tensor], torch.Tensor]] = []
    pending: list[list[torch.Tensor]] = []

    def looked_up(value: object, labelled: list[torch.Tensor]) -> object:
        """The tokens that labels stand for, which are noted; everything else as it is."""
        if isinstance(value, list | tuple):
            return [looked_up(each, labelled) for each in value]
        if not isinstance(value, torch.Tensor) or not bool((value >= _FIRST_LABEL).any()):
            return value
        labelled.append(value)
        return torch.where(value < 0, value, flat[(value - _FIRST_LABEL).clamp(min=0)])

    def enter(module: nn.Module, args: tuple[object, ...]) -> tuple[object, ...]:
        pending.append([])
        return tuple(looked_up(value, pending[-1]) for value in args)

    def leave(module: nn.Module, args: tuple[object, ...], output: torch.Tensor) -> torch.Tensor:
        labelled = pending.pop()
        if not labelled:
            return output
        leaf = output.detach().requires_grad_()
        leaves.append((labelled, leaf))
        return leaf

    tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    handles = [
        handle
        for table in tables
        for handle in (
            table.register_forward_pre_hook(enter),
            table.register_forward_hook(leave),
        )
    ]
    try:
        yield (labels if tables else tokens), leaves
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _by_exchange(
    outputs: _Outputs, weights: dict[str, torch.Tensor], batch: Batch, read: torch.Tensor
) -> torch.Tensor:
    """[rows, time] 1 at the places whose exchange changes what is read, tried all at once."""

    def given(tokens: torch.Tensor) -> torch.Tensor:
        features, logits = functional_call(
            outputs, weights, (tokens, batch.positions, batch.segments, read)
        )
        last = torch.zeros(len(tokens), logits.shape[-1], device=tokens.device)
        last[read.any(dim=1)] = logits.float()
        return torch.cat([(features.float() * read[..., None]).flatten(1), last], dim=1)

    other = (batch.tokens + 1) % outputs.model.vocab_size
    before = given(batch.tokens)
    touched = torch.zeros(batch.tokens.shape, device=batch.tokens.device)
    for places in (read, ~read):
        after = given(torch.where(places, other, batch.tokens))
        changed = (after != before).any(dim=1)
        touched = torch.where(places & changed[:, None], 1.0, touched)
    return touched
