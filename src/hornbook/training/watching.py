"""What a line of metrics says of the steps since the line before: time, FLOP, memory, updates.

    "step_time":         {"data": 0.0001, "forward": 0.031, "backward": 0.058, "optimizer": 0.004}
    "flops_per_second":  5.1e10      products of the model, counted; see inspection/accounting
    "flops_utilisation": 0.41        of the device's stated peak; null where none is known
    "update_ratio":      {"matrices": 0.0021, …}     of the last step; see updates
    "peak_memory":       412844032   [bytes]

All but the ratios is told by a clock or a counter, so it may differ when a run is repeated: these
are the names in ``TIMED``.
"""

from __future__ import annotations

from typing import Any

import torch

from hornbook.inspection.accounting.products import training_flops_per_token
from hornbook.listener import Listener
from hornbook.models import LanguageModel
from hornbook.training.peak_memory import peak_memory
from hornbook.training.peaks import device_peak
from hornbook.training.precision import Precision
from hornbook.training.step import TrainingStep
from hornbook.training.updates import by_role

TIMED = frozenset(
    {
        "seconds",
        "tokens_per_second",
        "waiting_for_data",
        "step_time",
        "flops_per_second",
        "flops_utilisation",
        "peak_memory",
    }
)
"""What two runs of the same settings need not have in common in their lines of metrics."""


class Watch:
    """Knows what the model's arithmetic costs and what the device could do.

    Args:
        model: as it is trained.
        step: its step, whose clock is read.
        context_length: tokens in a row.
        precision: with which the device's peak is looked up.
        devices: how many train together; the peak is that of all of them.
    """

    def __init__(
        self,
        model: LanguageModel,
        step: TrainingStep,
        context_length: int,
        precision: Precision,
        devices: int = 1,
    ) -> None:
        self._step, self._device = step, precision.device
        self._flops_per_row = training_flops_per_token(model, context_length) * context_length
        self._per_token = self._flops_per_row / context_length
        peak = device_peak(precision)
        self._peak = None if peak is None else peak * devices

    def tell(self, listener: Listener) -> None:
        """Say what utilisation will be measured against."""
        peak = "unknown" if self._peak is None else f"{self._peak / 1e12:,.0f} TFLOP/s"
        listener.notice(
            f"a trained token takes {self._per_token / 1e6:,.3g} million FLOP; stated peak of the "
            f"device: {peak}"
        )

    def entry(self, rows: int, seconds: float, ratios: torch.Tensor | None) -> dict[str, Any]:
        """A part of a line of metrics.

        Args:
            rows: windows trained on since the line before.
            seconds: time that their steps took.
            ratios: how far the last step moved each group of weights.
        """
        speed = self._flops_per_row * rows / max(seconds, 1e-9)
        times = self._step.clock.read()
        return {
            "step_time": None if times is None else dict(times),
            "flops_per_second": speed,
            "flops_utilisation": None if self._peak is None else speed / self._peak,
            "update_ratio": None if ratios is None else dict(by_role(self._step.optimizer, ratios)),
            "peak_memory": peak_memory(self._device),
        }
