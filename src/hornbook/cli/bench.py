"""``hornbook bench``: what this machine does, and how fast."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.cli import bench_device
from hornbook.cli.shared_options import ConfigFile, Preset, TextWords

if TYPE_CHECKING:
    from hornbook.training.equipment import Equipment
    from hornbook.training.step_speed import StepSpeed

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure this machine: how fast it trains, and in which way.

    \b
    Examples:
      hornbook bench step
      hornbook bench step poems.txt --preset tiny
      hornbook bench device
    """


@app.command()
def step(
    words: TextWords = None,
    preset: Preset = None,
    config: ConfigFile = None,
    steps: Annotated[int, typer.Option(min=1, help="How many to measure of each way.")] = 20,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile as well, which takes up to a minute.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Take a few steps in the way that is chosen for this machine, and in those beside it.

    \b
    Examples:
      hornbook bench step
      hornbook bench step poems.txt --preset tiny model.layers=4
      hornbook bench step runs/poems-tiny --steps 50 --compile

    Nothing is kept but the text's tokens, in the cache. A step counts with its data, forward and
    backward pass and optimizer; the loss says that the ways compute the same.
    """
    from hornbook.cli.data_source import open_text
    from hornbook.cli.screen import ScreenListener
    from hornbook.training.equipment import choose_equipment
    from hornbook.training.step_speed import fast_paths, measure_steps

    with ScreenListener() as listener:
        text = open_text(words or (), preset, config, listener)
        equipment = choose_equipment(text.config)
        speeds = measure_steps(
            text.config,
            text.tokenizer,
            text.store,
            steps=steps,
            compiled=compiled,
            listener=listener,
        )
    paths = fast_paths(equipment)
    if as_json:
        ways = [
            dataclasses.asdict(speed) | {"tokens_per_second": speed.tokens_per_second}
            for speed in speeds
        ]
        print(json.dumps({"chosen": str(equipment), "fast_paths": paths, "ways": ways}, indent=2))
    else:
        _draw(equipment, paths, speeds)


app.command("device")(bench_device.device)


def _draw(equipment: Equipment, paths: list[str], speeds: list[StepSpeed]) -> None:
    """The choice, why, and a row for each way."""
    from hornbook.training.step_time import PARTS

    print(f"chosen: {equipment}")
    for path in paths:
        print(f"  - {path}")
    wide = max(len(str(speed.way)) for speed in speeds)
    print(f"\n{'':<{wide}}  ms a step    tokens/s  {'  '.join(PARTS)} [ms]     loss")
    for speed in speeds:
        parts = "  ".join(f"{1e3 * speed.parts.get(part, 0):{len(part)}.1f}" for part in PARTS)
        print(
            f"{speed.way!s:<{wide}}  {1e3 * speed.seconds:9.1f}  {speed.tokens_per_second:10,.0f}"
            f"  {parts}       {speed.loss:6.3f}{'  chosen' if speed.chosen else ''}"
        )
