"""The hidden state that every row of a batch hands on to the next step (``training.carry_state``).

    step            1         2         3
    row 0        h ──► h ──► h ──► h              goes on
    row 1        h ──► 0 ──► h ──► h              a document began with the window: zeros

Each of several ranks keeps the states of its own rows; a checkpoint holds those of all.
"""

from __future__ import annotations

import torch

from hornbook.data.consecutive import ConsecutiveBatches
from hornbook.models import CarriedState, LanguageModel
from hornbook.training.ranks import Ranks


class CarriedRows:
    """The states of this rank's rows.

    Args:
        batches: knows which rows go on.
        ranks: among whom the rows are dealt out.
        model: makes the states of rows that have read nothing; on its device.
        batch_size: rows of all ranks together.
        kept: the states of all rows in a checkpoint, if there is one.

    Attributes:
        state: each row's after the last step, [layers, rows, width] each.
    """

    def __init__(
        self,
        batches: ConsecutiveBatches,
        ranks: Ranks,
        model: LanguageModel,
        batch_size: int,
        kept: CarriedState | None,
    ) -> None:
        self._batches, self._ranks, self._device = batches, ranks, model.device
        self._rows = rows = ranks.rows(batch_size)
        if kept is None:
            self.state: CarriedState = model.init_state(len(rows), self._device)
        else:
            self.state = tuple(t[:, rows.start : rows.stop].to(self._device) for t in kept)

    def before(self, first_example: int) -> CarriedState:
        """The states for the batch from ``first_example`` on: zeros in rows that start afresh."""
        place = first_example + self._rows.start
        goes_on = self._batches.goes_on(place, len(self._rows))
        keep = goes_on.to(self._device)[None, :, None]
        return tuple(torch.where(keep, tensor, 0.0) for tensor in self.state)

    def whole(self) -> CarriedState:
        """The states of all rows, for a checkpoint; every rank must ask for them."""
        return tuple(self._ranks.joined(tensor, dim=1) for tensor in self.state)
