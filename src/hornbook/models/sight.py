"""What a token sees of the tokens before it: all of them or the last few, some of them quieter.

    all                window of 3          ALiBi, slope ½
    #                  #                     0
    #  #               #  #                 -½   0
    #  #  #            #  #  #              -1  -½   0
    #  #  #  #         .  #  #  #           -1½ -1  -½   0

Layers differ at most in whether they have a window. So what attention needs is made once a
batch, for all layers without one and for all with one; how it is computed is told in
``attention_paths``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from hornbook.models.alibi import alibi_slopes, distance_bias
from hornbook.models.attention import Attend, causal_attention
from hornbook.models.attention_paths import AttentionPath, masked_attention
from hornbook.models.block_attention import block_attention
from hornbook.models.document_layout import DocumentLayout
from hornbook.models.masks import band, sawtooth
from hornbook.models.window_pairs import attention_in_window, longest_square


class Sight(nn.Module):
    """The masks and biases of a model.

    Args:
        context_length: the most tokens in a row.
        windows: for each layer, how many of the last tokens it sees; 0 means all.
        alibi_heads: how many heads have an ALiBi slope; 0 where order is known otherwise.
        cap: what no score reaches (``soft_cap``); 0 for none.
    """

    allowed: torch.Tensor
    near: torch.Tensor
    slopes: torch.Tensor
    places: torch.Tensor

    def __init__(
        self,
        context_length: int,
        *,
        windows: Sequence[int],
        alibi_heads: int = 0,
        cap: float = 0.0,
    ) -> None:
        super().__init__()
        self.windows, self.cap, self.biased = tuple(windows), cap, alibi_heads > 0
        self.register_buffer("allowed", band(context_length), persistent=False)
        if any(self.windows):
            near = band(context_length, max(self.windows))
            self.register_buffer("near", near, persistent=False)
        # Whole numbers, so that a model in bfloat16 still counts beyond 256.
        self.register_buffer("places", torch.arange(context_length), persistent=False)
        if self.biased:
            # The table of [heads, context, context] would be too large to keep: 50 MB for GPT-2.
            self.register_buffer("slopes", alibi_slopes(alibi_heads), persistent=False)

    def attends(
        self,
        path: AttentionPath,
        *,
        time: int,
        seen: int = 0,
        missing: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
        layout: DocumentLayout | None = None,
    ) -> list[Attend]:
        """For each layer, how its queries look at its keys.

        Args:
            path: the way of computing it.
            time: tokens in a row.
            seen: tokens of a cache before them.
            missing: [batch] ``int64``, how many of these each row lacks, the oldest ones; ``None``
                where none lacks any.
            segments: [batch, time] ``int64`` documents of the rows, for masked and blocks.
            layout: where documents stand, for documents.
        """
        if path == "documents":
            assert layout is not None
            time = layout.longest
        last = seen + time
        # A window that reaches back to the first token is none.
        windows = [window if window < last else 0 for window in self.windows]
        held = None
        if missing is not None:
            held = (self.places[:last] >= missing[:, None])[:, None, None]
        made: dict[int, Attend] = {}
        for window in set(windows):
            if path == "blocks":
                assert segments is not None
                made[window] = self._in_blocks(window, segments)
            elif path == "masked":
                assert segments is not None
                made[window] = self._masked(window, segments)
            else:
                made[window] = self._in_order(window, time, seen, held)
                if layout is not None and path == "documents":
                    made[window] = layout.within_documents(made[window])
        return [made[window] for window in windows]

    def _in_blocks(self, window: int, segments: torch.Tensor) -> Attend:
        slopes = self.slopes if self.biased else None
        return block_attention(segments, window=window, slopes=slopes, cap=self.cap)

    def _masked(self, window: int, segments: torch.Tensor) -> Attend:
        """Under a mask of documents."""
        time = segments.shape[1]
        mask = sawtooth(segments)[:, None]
        if window:
            mask = mask & self.near[-time:, -time:]
        return masked_attention(self._quieter(mask), self.cap)

    def _in_order(
        self, window: int, time: int, seen: int, held: torch.Tensor | None = None
    ) -> Attend:
        """For rows of one document: only the order and the distance count.

        Args:
            window: how many of the last tokens are seen; 0 means all.
            time: tokens in a row.
            seen: tokens of a cache before them.
            held: [batch, 1, 1, seen + time] bool, what each row has; ``None`` where all have all.
        """
        plain = not self.biased and not self.cap
        if time == 1 and not self.biased:
            # A lone new token sees all that a cache hands out of its row.
            return masked_attention(held, self.cap)
        if window and not seen:
            # Rows that are longer do without their own mask.
            size = min(time, longest_square(window))
            by_mask = masked_attention(self._quieter(self.near[-size:, -size:]), self.cap)
            first = causal_attention if plain else by_mask
            return attention_in_window(window, first, by_mask)
        if not window and not seen and plain:
            return causal_attention
        keys = min(seen, window - 1) + time if window else seen + time
        mask = (self.near if window else self.allowed)[-time:, -keys:]
        if held is not None:
            mask = mask & held[..., -keys:]
        return masked_attention(self._quieter(mask), self.cap)

    def _quieter(self, mask: torch.Tensor) -> torch.Tensor:
        """With ALiBi, what is added to scores, instead of what may be seen."""
        if not self.biased:
            return mask
        queries, keys = mask.shape[-2:]
        bias = distance_bias(self.slopes, self.places[:keys], queries)
        return torch.where(mask, bias, float("-inf"))
