"""How a run is put together: what is made of what, and which settings each maker reads.

Nothing of it is written down here. The makers of ``runs/assembly.py`` say what they need and what
they give by the types of their arguments and results; which settings they read is found in their
code, as every ``config.…`` that stands there (``settings_read``).

    make_store(split: CorpusSplit, tokenizer: Tokenizer) -> TokenStore

        corpus ────┐
                   ├──► store
        tokenizer ─┘
"""

from __future__ import annotations

import inspect
import typing
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hornbook.corpora import CorpusSplit
from hornbook.data import TokenStore
from hornbook.inspection.diagrams.settings_read import keys_below, keys_read
from hornbook.models import LanguageModel
from hornbook.optimization import LossSum, ObjectiveConfig, model_loss_sum
from hornbook.runs import assembly
from hornbook.runs.config import RunConfig
from hornbook.tokenizers import Tokenizer

MAKERS: tuple[Callable[..., Any], ...] = (
    assembly.read_corpus,
    assembly.make_tokenizer,
    assembly.make_store,
    assembly.make_batches,
    assembly.make_model,
    model_loss_sum,
    assembly.make_optimizer,
    assembly.fingerprints,
)
_THINGS: dict[Any, str] = {
    CorpusSplit: "corpus",
    Tokenizer: "tokenizer",
    TokenStore: "store",
    assembly.Batches: "windows",
    LanguageModel: "model",
    LossSum: "objective",
    torch.optim.Optimizer: "optimizer",
    assembly.Fingerprints: "run",
}
"""What a reader calls what is made."""
_ARGUMENTS = {"model": "model", "targets": "windows"}
"""What an argument is where its type leaves that open."""


@dataclass(frozen=True, slots=True)
class Maker:
    """One thing of a run.

    Attributes:
        thing: what a reader calls it.
        by: the function that makes it.
        needs: the things that it is made of.
        settings: the keys that are read for it; ``room.*`` is a whole group.
    """

    thing: str
    by: str
    needs: tuple[str, ...]
    settings: tuple[str, ...]


def makers() -> list[Maker]:
    """Everything that a run is made of, in the order in which it is made.

    >>> {maker.thing: maker.needs for maker in makers()}["store"]
    ('corpus', 'tokenizer')
    """
    found = [_maker(function) for function in MAKERS]
    last = found.pop()
    # A run keeps what it was made of and all of its settings.
    needs = (*last.needs, "model", "optimizer")
    return [*found, Maker(last.thing, "runs/folder.py", needs, ("all settings, in run.toml",))]


def shared_settings(found: Sequence[Maker]) -> list[str]:
    """Keys that more than one thing reads, those that most read first."""
    counts = Counter(key for maker in found for key in set(maker.settings))
    order = [key for maker in found for key in maker.settings]
    several = {key for key, count in counts.items() if count > 1}
    return sorted(several, key=lambda key: (-counts[key], order.index(key)))


def _maker(function: Callable[..., Any]) -> Maker:
    hints = typing.get_type_hints(function)
    thing = next(_THINGS[kind] for kind in _kinds(hints.pop("return")) if kind in _THINGS)
    needs = []
    for name in inspect.signature(function).parameters:
        named = [_THINGS[kind] for kind in _kinds(hints.get(name)) if kind in _THINGS]
        needs += named or ([_ARGUMENTS[name]] if name in _ARGUMENTS else [])
    settings = keys_read(function, RunConfig)
    if ObjectiveConfig in hints.values():
        settings += keys_below(RunConfig, ObjectiveConfig)
    return Maker(thing, function.__name__, tuple(dict.fromkeys(needs)), tuple(settings))


def _kinds(hint: Any) -> list[Any]:
    """A type, or those of a tuple."""
    return [hint, *typing.get_args(hint)]
