"""What a published architecture has to say about itself, so that both ways are the same list.

    read         its config.json     ->  our settings
    write        our settings        ->  its config.json
    layout       our settings        ->  which tensor is which (``layout``)
    plain        its own tensors     ->  logits, as on paper (``plain``)

``in_the_way`` names the settings that have no place in an architecture. It knows only those that
have one: a setting that was added to our models later is in the way until somebody finds a place
for it, unless it is what it always was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import ValidationError

from hornbook.interop.foreign_config import ForeignConfig
from hornbook.interop.layout import Layout
from hornbook.models import TransformerConfig

SIZES = frozenset(
    {
        "kind",
        "layers",
        "heads",
        "kv_heads",
        "d_model",
        "d_ff",
        "position_count",
        "tied_head",
        "bias",
    }
    | {"norm_gain", "norm_epsilon", "dropout", "attention_dropout"}
)
"""Settings that both architectures take whatever they are."""

UNSEEN = frozenset({"vocab_multiple", "zero_init", "zero_init_head"})
"""Settings that say how a model begins or how it is computed, and nothing about its logits."""

ReadTensor = Callable[[str], torch.Tensor]
"""From a name in a layout, without its prefix, to that tensor."""


@dataclass(frozen=True)
class ForeignModel:
    """What a ``config.json`` describes.

    Attributes:
        config: our settings of the same model; ``position_count`` is set.
        vocab_size: how many ids it scores.
    """

    config: TransformerConfig
    vocab_size: int


class Form(ABC):
    """One published architecture.

    Attributes:
        name: what a person calls it: ``gpt2``, ``llama``.
        architecture: the class in ``transformers``.
        takes: settings of ours that it takes whatever they are.
        needs: settings that it takes only at these values.
    """

    name: ClassVar[str]
    architecture: ClassVar[str]
    takes: ClassVar[frozenset[str]]
    needs: ClassVar[Mapping[str, tuple[Any, ...]]]

    @abstractmethod
    def read(self, values: ForeignConfig) -> ForeignModel | None:
        """Our settings; what cannot be done is added to ``values.problems``.

        Returns:
            ``None`` where the sizes themselves make no model.
        """

    def is_described_by(self, values: ForeignConfig) -> bool:
        """Whether a ``config.json`` is of this architecture; if not, that is all that is told."""
        found = values.values.get("model_type")
        if found in (None, self.name):
            return True
        values.problems.append(
            f"{values.source}: model_type is {found!r:.60}, and of this layout it is {self.name!r}"
        )
        return False

    @abstractmethod
    def write(self, config: TransformerConfig, vocab_size: int) -> dict[str, Any]:
        """The keys of ``config.json``; ``config.position_count`` is set."""

    @abstractmethod
    def layout(self, config: TransformerConfig, vocab_size: int) -> Layout:
        """Which of our tensors is which of theirs."""

    @abstractmethod
    def plain(
        self, values: Mapping[str, Any], tensor: ReadTensor, ids: torch.Tensor
    ) -> torch.Tensor:
        """Logits [time, vocab_size] for ids [time], from nothing but their own files."""

    def in_the_way(self, config: TransformerConfig) -> Iterator[str]:
        """Every setting that has no place in it, as ``key=value (what it takes)``."""
        usual = TransformerConfig()
        for name in TransformerConfig.model_fields:
            if name in self.takes:
                continue
            value = getattr(config, name)
            allowed = self.needs.get(name, (getattr(usual, name),))
            if value not in allowed:
                yield f"model.{name}={value} (it takes {' or '.join(map(str, allowed))})"


def settings_of(values: ForeignConfig, vocab_size: int, **settings: Any) -> ForeignModel | None:
    """Build the settings, and add to ``values.problems`` what makes them no model."""
    if values.incomplete:
        return None
    try:
        config = TransformerConfig(**settings)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            key = ".".join(map(str, details["loc"]))
            values.problems.append(
                f"{values.source}: gives model.{key}={details['input']}: {details['msg']}"
            )
        return None
    found = [f"{values.source}: gives model.{problem}" for problem in config.conflicts()]
    values.problems += found
    return None if found else ForeignModel(config, vocab_size)
