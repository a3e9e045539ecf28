"""What somebody chose for a run: its settings, beside those of the preset that it began from."""

from __future__ import annotations

from typing import Any

from hornbook.errors import ConfigError
from hornbook.runs.config import RunConfig
from hornbook.runs.resolution import differences, resolve
from hornbook.runs.run import Run


def chosen_settings(run: Run) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """The name of what the run began from, and each key that differs: (there, in the run).

    What a setting ``auto`` became is left out: it was nobody's choice.
    """
    preset = run.manifest.preset
    base, name = RunConfig(), "the defaults"
    try:
        if preset:
            base, name = resolve(preset=preset), f"preset {preset}"
    except ConfigError:  # a later hornbook may have other presets
        pass
    changed = differences(base, run.config)
    return name, {key: pair for key, pair in changed.items() if pair[0] != "auto"}
