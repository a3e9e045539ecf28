"""float16's gradients would vanish: so the loss is made large before it is differentiated.

float16 knows nothing between 0 and 6e-8, and most gradients of a trained model lie there. If the
loss is multiplied by 65,536, every gradient is, and none vanishes; before the weights move they
are divided again. Too large a scale makes them overflow to infinity instead: then the step is
skipped and the scale halved. After 2,000 steps in which nothing overflowed it is doubled
(Micikevicius et al., 2018, section 3.2).

    step            1        2        3       …      2,002
    overflows      yes      yes       no      no       no
    scale used   65,536   32,768   16,384   16,384   16,384, then 32,768

The numbers are those of ``torch.amp.GradScaler``. What differs: overflow is seen in the norm of
the gradient, which is computed anyway and over all ranks, and nothing is read from the device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

FIRST_SCALE = 2.0**16
GROWTH_INTERVAL = 2000
"""Steps in a row without overflow, after which the scale is doubled."""


class LossScale:
    """The factor, as a number on the device that nobody waits for.

    Args:
        device: where the loss is.

    >>> scale = LossScale(torch.device("cpu"))
    >>> scale.update(torch.tensor(False))                      # a step that overflowed
    >>> scale.to_json()
    {'scale': 32768.0, 'steps_without_overflow': 0}
    """

    def __init__(self, device: torch.device) -> None:
        self.value = torch.tensor(FIRST_SCALE, device=device)
        self._since = torch.tensor(0, dtype=torch.int32, device=device)

    def update(self, healthy: torch.Tensor) -> None:
        """Learn whether a step was ``healthy`` ([] bool): nothing overflowed."""
        grows = healthy & (self._since + 1 >= GROWTH_INTERVAL)
        grown = torch.where(grows, self.value * 2, self.value)
        # A scale may grow until it is infinite itself; PyTorch's stops there as well.
        grown = torch.where(grown.isfinite(), grown, self.value)
        self.value = torch.where(healthy, grown, self.value * 0.5)
        self._since = torch.where(healthy & ~grows, self._since + 1, 0)

    def to_json(self) -> dict[str, float | int]:
        """What a checkpoint must hold; waits for the device."""
        return {
            "scale": float(self.value.item()),
            "steps_without_overflow": int(self._since.item()),
        }

    def restore(self, kept: Mapping[str, float | int]) -> None:
        """Go on from what ``to_json`` gave."""
        assert math.isfinite(kept["scale"])
        self.value.fill_(kept["scale"])
        self._since.fill_(int(kept["steps_without_overflow"]))
