"""``hornbook bench device``: which batch keeps each device of this machine busy."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornbook.cli.shared_options import ConfigFile, Preset, TextWords

if TYPE_CHECKING:
    from hornbook.runs.config import TrainingConfig
    from hornbook.training.device_speed import BatchSpeed, DeviceSpeed, RateSuggestion
    from hornbook.training.device_sweep import Sweep

_RULES = {"linear": "linear", "sqrt": "square root"}


def device(
    words: TextWords = None,
    preset: Preset = None,
    config: ConfigFile = None,
    seconds: Annotated[
        float, typer.Option(min=1, help="About how long all devices together may take.")
    ] = 60.0,
    steps: Annotated[int, typer.Option(min=1, help="The fixed number of steps to time.")] = 10,
    windows: Annotated[
        int, typer.Option(min=1, help="The fixed number of windows (sequences) to time.")
    ] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Train with batches of 1, 2, 4 … windows on the CPU and on each accelerator.

    \b
    Examples:
      hornbook bench device
      hornbook bench device poems.txt --preset tiny --seconds 20
      hornbook bench device runs/poems-tiny training.device=cpu --json

    It says from which batch on a device is busy, and which learning rate to try with it. Where
    there is no accelerator it tries numbers of threads as well. A batch that would need more than
    four fifths of the free memory is not tried. Nothing is kept but the text's tokens, in the
    cache.
    """
    from hornbook.cli.data_source import open_text
    from hornbook.cli.screen import ScreenListener
    from hornbook.training.device_speed import suggest_rate
    from hornbook.training.device_sweep import Sweep, measure_devices

    with ScreenListener() as listener:
        text = open_text(words or (), preset, config, listener)
        sweep = Sweep(
            text.config,
            text.tokenizer,
            text.store,
            steps=steps,
            windows=windows,
            seconds=seconds,
            listener=listener,
        )
        speeds = measure_devices(sweep)
    fastest = max(speeds, key=lambda speed: speed.best_rate)
    suggestion = suggest_rate(text.config.training, fastest.batch_to_try)
    if as_json:
        print(json.dumps(_as_json(sweep, speeds, fastest, suggestion), indent=2))
    else:
        _draw(sweep, speeds, fastest, suggestion)


def _as_json(
    sweep: Sweep,
    speeds: list[DeviceSpeed],
    fastest: DeviceSpeed,
    suggestion: RateSuggestion | None,
) -> dict[str, Any]:
    words = suggestion and dataclasses.asdict(suggestion) | {"settings": suggestion.settings}
    return {
        "context_length": sweep.config.context_length,
        "steps": sweep.steps,
        "windows": sweep.windows,
        "devices": [_device_as_json(speed) for speed in speeds],
        "fastest": fastest.device,
        "suggestion": words,
    }


def _device_as_json(speed: DeviceSpeed) -> dict[str, Any]:
    found = dataclasses.asdict(speed)
    for key in ("batches", "threads"):
        rows: tuple[BatchSpeed, ...] = getattr(speed, key)
        found[key] = [
            dataclasses.asdict(row) | {"windows_per_second": row.windows_per_second} for row in rows
        ]
    return found | {
        "saturated_from": speed.saturated_from,
        "fastest_threads": speed.fastest_threads,
    }


def _draw(
    sweep: Sweep,
    speeds: list[DeviceSpeed],
    fastest: DeviceSpeed,
    suggestion: RateSuggestion | None,
) -> None:
    """Every device, which is the fastest, and what to try there."""
    length = sweep.config.context_length
    print(f"A window is a sequence of {length:,} tokens. ~ is projected from fewer steps.")
    for speed in speeds:
        _draw_device(speed, sweep)
    if len(speeds) > 1:
        _compare(speeds, fastest)
    _advise(fastest, sweep.config.training, suggestion)


def _draw_device(speed: DeviceSpeed, sweep: Sweep) -> None:
    """The tables of one device, and what to read in them."""
    from hornbook.training.device_speed import SATURATED
    from hornbook.training.preflight_machine import in_bytes

    print(f"\n{speed.device}: {speed.name}\n{speed.equipment}\n")
    _draw_rows("batch", speed.batches, sweep)
    print(f"\nends here: {speed.ended}")
    if speed.free_memory is not None:
        print(
            f"memory: {speed.fits:,} windows at once should fit into four fifths of the "
            f"{in_bytes(speed.free_memory)} that are free"
        )
    if all(row.watts is None for row in speed.batches):
        print(f"power: not readable ({speed.power})")
    else:
        print(f"power: {speed.power}")
    if speed.saturated_from is not None:
        print(
            f"saturated from a batch of {speed.saturated_from} on: the smallest with "
            f"{SATURATED:.0%} of the best throughput"
        )
    elif len(speed.batches) > 1:
        print(
            f"not saturated: the largest batch measured, {speed.batches[-1].batch}, is more than "
            "a tenth faster than any other; --seconds gives larger ones time"
        )
    if speed.threads:
        print()
        _draw_rows("threads", speed.threads, sweep)
        print(
            f"\nfastest with {_threads(speed.fastest_threads or 0)}, measured with a batch of "
            f"{speed.threads[0].batch}: training.threads={speed.fastest_threads}"
        )


def _draw_rows(first: str, rows: tuple[BatchSpeed, ...], sweep: Sweep) -> None:
    """A row a batch size, or a number of threads."""
    from hornbook.cli.screen import table_text
    from hornbook.training.preflight_machine import in_bytes, in_words

    headers = [
        first,
        "a step",
        f"{sweep.steps} steps",
        f"{sweep.windows} windows",
        "windows/s",
        "memory",
        "expected",
    ]
    powered = any(row.watts is not None for row in rows)
    cells = [
        [
            str(getattr(row, first)),
            in_words(row.step_seconds),
            f"{'~' * row.steps_projected}{in_words(row.seconds_for_steps)}",
            f"{'~' * row.windows_projected}{in_words(row.seconds_for_windows)}",
            f"{row.windows_per_second:,.1f}",
            "?" if row.memory is None else in_bytes(row.memory),
            in_bytes(row.expected_memory),
            *([_watts(row)] if powered else []),
        ]
        for row in rows
    ]
    headers += ["power"] if powered else []
    print(table_text(headers, cells, numbers=headers))


def _watts(row: BatchSpeed) -> str:
    return "?" if row.watts is None else f"{row.watts:.0f} W"


def _threads(count: int) -> str:
    return f"{count} thread{'' if count == 1 else 's'}"


def _compare(speeds: list[DeviceSpeed], fastest: DeviceSpeed) -> None:
    """Every device beside the first one, which is the CPU."""
    print()
    for speed in speeds:
        beside = "" if speed is speeds[0] else (
            f", {speed.best_rate / speeds[0].best_rate:.1f} times {speeds[0].device}"
        )  # fmt: skip
        mark = "  fastest" if speed is fastest else ""
        print(f"{speed.device}: {speed.best_rate:,.1f} windows/s at best{beside}{mark}")


def _advise(fastest: DeviceSpeed, plan: TrainingConfig, suggestion: RateSuggestion | None) -> None:
    """What to try, and what to be careful of."""
    if suggestion is None:
        if fastest.saturated_from is None:
            return
        print(
            f"\nThe settings' batch of {plan.batch_size} keeps {fastest.device} busy already: a "
            "larger one is no faster, so there is no learning rate to scale."
        )
        return
    rates = ", ".join(f"{_RULES[rule]} {rate:.2g}" for rule, rate in suggestion.rates.items())
    print(
        f"\nA batch of {suggestion.batch} instead of {plan.batch_size} uses {fastest.device} "
        "better. To try:\n"
        f"  {' '.join(suggestion.settings)}\n"
        f"Learning rate {suggestion.rate:g} at {suggestion.base} becomes: {rates}; "
        f"{_RULES[suggestion.rule]} is the rule for {plan.optimizer.kind}.\n"
        f"The same text is then read in {suggestion.steps:,} steps instead of {plan.steps:,}. Both "
        "rules hold for small batches, and fail\nfrom some size on that only a trial finds: "
        "compare validation losses at equal tokens, and look with\nhornbook lr-find."
    )
