"""Where the time of a step goes: data, forward, backward, optimizer.

    begin         forward  backward    forward  backward     optimizer     next begin
      │─────────────►│────────►│──────────►│────────►│────────────►│
      two micro-batches; each mark says what the time since the mark before was spent on

A CPU is asked for the time at each mark. A CUDA device works behind the program's back, so there a
mark is an event in its own queue, and the times between events are read later, when the device has
been waited for anyway.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

import torch

Part = Literal["data", "forward", "backward", "optimizer"]
PARTS: tuple[Part, ...] = ("data", "forward", "backward", "optimizer")


class StepClock:
    """Adds up the time of each part over the steps since it was last read.

    Args:
        device: which one computes.

    >>> clock = StepClock(torch.device("cpu"))
    >>> clock.begin(); clock.mark("forward"); clock.mark("backward"); clock.mark("optimizer")
    >>> sorted(clock.read()), clock.read()
    (['backward', 'data', 'forward', 'optimizer'], None)
    """

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._seconds: dict[Part, float] = dict.fromkeys(PARTS, 0.0)
        self._last = 0.0
        self._events: list[tuple[Part | None, torch.cuda.Event]] = []
        self._steps = 0

    def begin(self) -> None:
        """A step begins."""
        self._steps += 1
        if self._on_cuda:
            self._record(None)
        else:
            self._last = time.perf_counter()

    def mark(self, part: Part) -> None:
        """What was done since ``begin`` or the mark before was this part of the step."""
        if self._on_cuda:
            self._record(part)
            return
        now = time.perf_counter()
        self._seconds[part] += now - self._last
        self._last = now

    def add(self, part: Part, seconds: float) -> None:
        """Count time that was measured elsewhere, such as that of waiting for data."""
        self._seconds[part] += seconds

    def read(self) -> Mapping[Part, float] | None:
        """The mean of each part over the steps since the last reading [seconds a step].

        Waits for the device. ``None`` where there was no step.
        """
        steps, seconds = self._steps, self._seconds
        self._collect()
        self._steps, self._seconds = 0, dict.fromkeys(PARTS, 0.0)
        if not steps:
            return None
        return {part: seconds[part] / steps for part in PARTS}

    def _record(self, part: Part | None) -> None:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._events.append((part, event))

    def _collect(self) -> None:
        if not self._events:
            return
        self._events[-1][1].synchronize()
        before: torch.cuda.Event | None = None
        for part, event in self._events:
            if part is not None and before is not None:
                self._seconds[part] += before.elapsed_time(event) / 1000
            before = event
        self._events.clear()
