"""Where and in which numbers a step is computed, as far as memory depends on it.

CPU, float32        products keep their inputs in 4 bytes a number
CPU, bfloat16       in 2, and a short copy of every weight; norms stay long
CUDA                norms and dropout in one kernel each, which keep less
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hornbook.inspection.accounting.sizes import Sizes
from hornbook.models import TransformerConfig
from hornbook.models.attention_paths import (
    SHORTEST_BLOCKED_ROW,
    SHORTEST_CAPPED_ROW,
    SHORTEST_DOCUMENT_ROW,
)
from hornbook.models.short_attention import LONGEST_ROW

LONG = 4
"""Bytes of a number of float32: weights, gradients, norms and the residual stream, always."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What memory depends on beside sizes.

    Attributes:
        device: ``cpu``, ``cuda`` or ``mps``.
        short: whether products are computed in bfloat16 or float16.
        segmented: whether rows come with documents and padding.
        attention: the kernel that would be taken, a ``fused`` one, or one that is written out and
            keeps its matrix of weights (``materialised``).
    """

    device: str = "cpu"
    short: bool = False
    segmented: bool = False
    attention: Literal["auto", "fused", "materialised"] = "auto"

    @property
    def width(self) -> int:
        """Bytes of a number that a product reads or makes."""
        return 2 if self.short else LONG

    @property
    def fused_norms(self) -> bool:
        """Whether RMSNorm is one step that keeps one tensor of its input's size (or else two)."""
        return self.device == "cuda" or (self.device == "cpu" and self.short)

    def keeps_mask(self, sizes: Sizes) -> bool:
        """Whether each layer keeps a mask of every row; long rows do without (``models.sight``)."""
        longest = SHORTEST_BLOCKED_ROW if self.device == "cuda" else SHORTEST_DOCUMENT_ROW
        return self.segmented and sizes.T.value < longest

    def keeps_weights(self, sizes: Sizes, span: int) -> bool:
        """Whether attention keeps a matrix of weights for every head, as no fused kernel does.

        On a CPU dropout of weights, ALiBi and capped scores have no fused kernel.

        Args:
            sizes: of the model.
            span: the most keys that a query is multiplied with.
        """
        c = sizes.config
        if not isinstance(c, TransformerConfig):
            return False
        if self.attention != "auto":
            return self.attention == "materialised"
        capped = c.attention_softcap > 0
        if self.device == "cuda":
            return capped and sizes.T.value < SHORTEST_CAPPED_ROW
        if c.attention_dropout > 0 or capped:
            return True
        return c.positions == "alibi" and not (self.short and span <= LONGEST_ROW)

    def short_rows(self, sizes: Sizes, span: int) -> bool:
        """Whether attention runs in the kernel of ``models.short_attention``.

        Args:
            sizes: of the model.
            span: the most keys that a query is multiplied with.
        """
        return (
            self.device == "cpu"
            and self.short
            and self.attention == "auto"
            and span <= LONGEST_ROW
            and not self.keeps_weights(sizes, span)
        )
