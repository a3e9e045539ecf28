"""Which of our tensors is which of theirs: one list, read in both directions.

    ours                              theirs                                      how
    blocks.0.attention.qkv.weight     h.0.attn.c_attn.weight   [d, 3 d]           turned
    blocks.0.attention.qkv.weight     q_proj, k_proj, v_proj   [n × size, d]      stacked
    final_norm.weight                 ln_f.weight              [d]                as it is

GPT-2 was written with matrices that are applied from the right (``x @ W``), PyTorch's linear
layers hold them the other way round: those are turned. Llama keeps queries, keys and values in
three matrices, and gate and up in two, where we have one joint matrix: those are stacked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from hornbook.interop.tensor_files import EXACT_TYPES, StoredTensor


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of ours, and the tensors of theirs that it is made of.

    Attributes:
        ours: our name; ``None`` where they have a tensor that we have not, because it is constant.
        theirs: their names, in the order in which they are stacked.
        shapes: the shape of each as it is stored there.
        turned: whether theirs is stored the other way round.
        constant: what every number of theirs is where ``ours`` is ``None``.
    """

    ours: str | None
    theirs: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    turned: bool = False
    constant: float = 0.0

    def to_ours(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Our tensor out of theirs, in their order.

        >>> entry = Entry("up.weight", ("w",), ((1, 2),), turned=True)
        >>> entry.to_ours([torch.tensor([[1.0, 2.0]])])
        tensor([[1.],
                [2.]])
        """
        ready = [part.t() if self.turned else part for part in parts]
        return ready[0] if len(ready) == 1 else torch.cat(ready)

    def to_theirs(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Their tensors out of ours, in their order.

        >>> entry = Entry("qkv.bias", ("q", "k", "v"), ((2,), (1,), (1,)))
        >>> entry.to_theirs(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        [tensor([1., 2.]), tensor([3.]), tensor([4.])]
        """
        rows = [shape[1] if self.turned else shape[0] for shape in self.shapes]
        parts = tensor.split(rows)
        return [part.t() if self.turned else part for part in parts]

    def constants(self) -> list[torch.Tensor]:
        """Their tensors where there is none of ours."""
        return [torch.full(shape, self.constant) for shape in self.shapes]


@dataclass(frozen=True)
class Layout:
    """All tensors of a model.

    Attributes:
        entries: every tensor, in the order of the model.
        prefix: what may stand before each name, as in ``transformer.wte.weight``.
        unprefixed: names that never have the prefix.
        ignored: names of what older files hold although it is no weight.
        copies: names of theirs that may repeat another's content, by the name of that other.
    """

    entries: tuple[Entry, ...]
    prefix: str
    unprefixed: frozenset[str]
    ignored: re.Pattern[str]
    copies: Mapping[str, str]

    def full_name(self, name: str) -> str:
        """A name as ``transformers`` writes it."""
        return name if name in self.unprefixed else self.prefix + name

    def short_name(self, name: str) -> str:
        """A name without the prefix, if it has it."""
        return name.removeprefix(self.prefix)


@dataclass(frozen=True)
class Match:
    """A layout laid over the tensors of some files.

    Attributes:
        names: for each name of the layout, the name in the files.
        ignored: names in the files that are known and hold no weights.
        problems: everything that does not fit, a line each.
    """

    names: Mapping[str, str]
    ignored: tuple[str, ...]
    problems: tuple[str, ...]


def match(layout: Layout, stored: Mapping[str, StoredTensor]) -> Match:
    """Find each tensor of ``layout`` in the files, and everything that is wrong with them."""
    names: dict[str, str] = {}
    ignored: list[str] = []
    problems: list[str] = []
    for found in sorted(stored):
        short = layout.short_name(found)
        if layout.ignored.fullmatch(short):
            ignored.append(found)
        elif short in names:
            problems.append(f"{found}: is there twice, also as {names[short]}")
        else:
            names[short] = found
    wanted = {
        name: shape
        for entry in layout.entries
        for name, shape in zip(entry.theirs, entry.shapes, strict=True)
    }
    for name, shape in wanted.items():
        if name not in names:
            full = layout.full_name(name)
            problems.append(f"{full}: is missing; expected with the shape {list(shape)}")
            continue
        problems += _differences(names[name], stored[names[name]], shape)
    for short, found in names.items():
        if short not in wanted and short not in layout.copies:
            shape = list(stored[found].shape)
            problems.append(f"{found}: belongs to no part of this model (shape {shape})")
    return Match(names, tuple(ignored), tuple(problems))


def _differences(name: str, found: StoredTensor, shape: tuple[int, ...]) -> Iterable[str]:
    if found.shape != shape:
        yield f"{name}: expected the shape {list(shape)}, found {list(found.shape)}"
    if found.dtype not in EXACT_TYPES:
        yield (
            f"{name}: expected the type {' or '.join(EXACT_TYPES)}, found {found.dtype}, which "
            "float32 does not hold exactly"
        )


def grouped(entries: Iterable[Entry]) -> list[tuple[str, str, tuple[int, ...], int]]:
    """The entries with those of all layers on one line, to show to a person.

    Returns:
        their name, our name, their shape, and how many there are.

    >>> parts = [Entry(f"blocks.{n}.up", (f"h.{n}.w",), ((4, 8),)) for n in range(3)]
    >>> grouped(parts)
    [('h.*.w', 'blocks.*.up', (4, 8), 3)]
    """
    counts: dict[tuple[str, str, tuple[int, ...]], int] = {}
    starred: Callable[[str], str] = lambda name: re.sub(r"\.\d+\.", ".*.", name)  # noqa: E731
    for entry in entries:
        for name, shape in zip(entry.theirs, entry.shapes, strict=True):
            key = (starred(name), starred(entry.ours or "constant"), shape)
            counts[key] = counts.get(key, 0) + 1
    return [(*key, count) for key, count in counts.items()]
