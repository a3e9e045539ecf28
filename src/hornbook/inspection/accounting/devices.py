"""Known devices: how fast they multiply and how much they hold, as their makers state it.

Products of matrices on NVIDIA's cards, without sparsity, with sums in float32 [10^12 FLOP a
second]. Sources: NVIDIA's data sheets of V100, T4, A10, A100, A40, L4, L40S, H100 and H200; the
white papers of Ampere GA102 and of Ada (appendix A of each) for GeForce. A card that stands here
under no name has no peak: better unknown than wrong.

What a model reaches is less: 30 to 50 % is usual for transformers that fill the card (Chowdhery et
al., 2022, "PaLM", table 3, who call it model FLOPs utilisation).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

from hornbook.errors import HornbookError

GB = 10**9


class Peak(NamedTuple):
    """10^12 FLOP a second; 0 where the card has no units for a type."""

    float32: float
    tf32: float
    bfloat16: float
    float16: float


class Card(NamedTuple):
    """A known device.

    Attributes:
        word: what a person calls it.
        pattern: the whole name that the driver gives.
        memory: how much it holds [bytes].
        peak: how fast it multiplies.
    """

    word: str
    pattern: str
    memory: int
    peak: Peak


CARDS = (
    Card("h200", r"NVIDIA H200", 141 * GB, Peak(67, 494.7, 989.4, 989.4)),
    Card("h200-nvl", r"NVIDIA H200 NVL", 141 * GB, Peak(60, 417.5, 835.5, 835.5)),
    Card("h100", r"NVIDIA H100 80GB HBM3", 80 * GB, Peak(67, 494.7, 989.4, 989.4)),
    Card("h100-nvl", r"NVIDIA H100 NVL", 94 * GB, Peak(60, 417.5, 835.5, 835.5)),
    Card("h100-pcie", r"NVIDIA H100 PCIe", 80 * GB, Peak(51, 378, 756, 756)),
    Card(
        "a100", r"(NVIDIA )?A100-SXM.*-80GB|NVIDIA A100 80GB PCIe", 80 * GB,
        Peak(19.5, 156, 312, 312),
    ),
    Card("a100-40", r"(NVIDIA )?A100-(SXM|PCIE).*", 40 * GB, Peak(19.5, 156, 312, 312)),
    Card("a40", r"NVIDIA A40", 48 * GB, Peak(37.4, 74.8, 149.7, 149.7)),
    Card("a10", r"NVIDIA A10", 24 * GB, Peak(31.2, 62.5, 125, 125)),
    Card("l40s", r"NVIDIA L40S", 48 * GB, Peak(91.6, 183, 362, 362)),
    Card("l4", r"NVIDIA L4", 24 * GB, Peak(30.3, 60, 121, 121)),
    Card("v100", r"Tesla V100-SXM2.*", 16 * GB, Peak(15.7, 0, 0, 125)),
    Card("v100-pcie", r"Tesla V100-PCIE.*", 16 * GB, Peak(14, 0, 0, 112)),
    Card("t4", r"Tesla T4", 16 * GB, Peak(8.1, 0, 0, 65)),
    Card("rtx4090", r"NVIDIA GeForce RTX 4090", 24 * GB, Peak(82.6, 82.6, 165.2, 165.2)),
    Card("rtx3090", r"NVIDIA GeForce RTX 3090", 24 * GB, Peak(35.6, 35.6, 71, 71)),
)  # fmt: skip
"""The first one whose pattern is the whole name counts."""


def card_called(name: str) -> Card | None:
    """The card of which the driver gives this name; ``None`` where it is not known."""
    return next((card for card in CARDS if re.fullmatch(card.pattern, name)), None)


def card_of_word(word: str) -> Card:
    """The card that a person means.

    >>> card_of_word("H100").memory
    80000000000

    Raises:
        HornbookError: when none is called so; it lists those that are known.
    """
    wanted = re.sub(r"[^a-z0-9]", "", word.lower())
    known = {card.word.replace("-", ""): card for card in CARDS}
    found = known.get(wanted) or card_called(word)
    if found is None:
        near = difflib.get_close_matches(wanted, known, n=1)
        meant = f" Did you mean {known[near[0]].word}?" if near else ""
        raise HornbookError(
            f"--device={word} is not known here.{meant} Known: cpu, cuda, mps, "
            f"{', '.join(card.word for card in CARDS)}. Give --memory and leave the device out to "
            "see what fits."
        )
    return found


def peak_of(card: Card, precision: str, *, tf32: bool = False) -> float | None:
    """FLOP a second at which ``card`` multiplies; ``None`` where it has no units for a type.

    Args:
        card: the device.
        precision: float32, bfloat16 or float16.
        tf32: whether inputs of float32 products may be rounded.

    >>> peak_of(card_of_word("a100"), "bfloat16")
    312000000000000.0
    """
    if precision == "float32" and tf32 and card.peak.tf32:
        return card.peak.tf32 * 1e12
    return getattr(card.peak, precision) * 1e12 or None


def precisions(card: Card) -> Iterator[str]:
    """The short types that a card has units for, the best first."""
    for name in ("bfloat16", "float16"):
        if getattr(card.peak, name):
            yield name
