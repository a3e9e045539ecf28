"""What training cost and what went wrong in it, in words, out of the lines of a run.

Runs of earlier versions have lines that say less; what is not there is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hornbook.data.provenance import in_words

PARTS = ("data", "forward", "backward", "optimizer")
_LARGER = ("", "k", "M", "G", "T", "P")


def training_facts(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and texts for what the last line of ``metrics.jsonl`` knows of the steps before it.

    >>> times = {"data": 0.0, "forward": 0.01, "backward": 0.03, "optimizer": 0.01}
    >>> dict(training_facts({"step_time": times, "peak_memory": 3e8}))["a step"]
    '50.0 ms: data 0 %, forward 20 %, backward 60 %, optimizer 20 %'
    """
    times = _numbers(entry.get("step_time"))
    whole = sum(times.get(part, 0.0) for part in PARTS)
    if whole > 0:
        shares = ", ".join(f"{part} {times.get(part, 0.0) / whole:.0%}" for part in PARTS)
        yield "a step", f"{1000 * whole:,.1f} ms: {shares}".replace("%", " %")
    waiting = _number(entry.get("waiting_for_data"))
    if waiting is not None:
        yield "waiting for data", f"{100 * waiting:.1f} % of the time"
    speed = _number(entry.get("flops_per_second"))
    if speed:
        share = _number(entry.get("flops_utilisation"))
        of_peak = "utilisation unknown: no peak is stated for this device"
        if share is not None:
            of_peak = f"{100 * share:.1f} % of the device's stated peak"
        yield "arithmetic", f"{in_units(speed)}FLOP/s of the model's own, {of_peak}"
    memory = _number(entry.get("peak_memory"))
    if memory:
        yield "most memory", f"{in_units(memory)}B"
    ratios = _numbers(entry.get("update_ratio"))
    if ratios:
        listed = ", ".join(f"{name} {ratio:.2g}" for name, ratio in ratios.items())
        yield "last update, by length of the weights", listed
    skipped = _number(entry.get("skipped_steps"))
    if skipped:
        yield "steps skipped for overflow", f"{skipped:,.0f}"


def notes_table(notes: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows for the lines of ``notes.jsonl``.

    >>> layers = {"token_embedding": 9.1, "blocks.0": 2.2}
    >>> note = {"step": 8, "what": "the loss jumped", "loss": 3.4, "usual_loss": 2.1,
    ...         "gradient_norm_by_layer": layers, "documents": [[3, 5], [9, 9]]}
    >>> notes_table([note])[1]
    [['8', 'the loss jumped', '3.400', '2.100', 'token_embedding 9.1', '3–5, 9']]
    """
    headers = ["step", "what", "loss", "usual", "largest gradient", "documents"]
    rows = []
    for note in notes:
        step = note.get("step")
        if not isinstance(step, int):
            continue
        losses = [_number(note.get(key)) for key in ("loss", "usual_loss")]
        norms = _numbers(note.get("gradient_norm_by_layer"))
        layer = max(norms, key=lambda name: norms[name], default=None)
        rows.append(
            [
                f"{step:,}",
                str(note.get("what", "")),
                *("–" if loss is None else f"{loss:.3f}" for loss in losses),
                "–" if layer is None else f"{layer} {norms[layer]:.2g}",
                _listed(note.get("documents")),
            ]
        )
    return headers, rows


def in_units(number: float) -> str:
    """A large number with three digits and its unit's letter.

    >>> in_units(51_234_000_000), in_units(412_844_032), in_units(7)
    ('51.2 G', '413 M', '7 ')
    """
    place = 0
    while abs(number) >= 999.5 and place < len(_LARGER) - 1:
        number, place = number / 1000, place + 1
    digits = max(0, 2 - int(math.log10(max(abs(number), 1)))) if place else 0
    return f"{number:.{digits}f} {_LARGER[place]}"


def _listed(documents: Any) -> str:
    """Stretches of document numbers; what is none is left out."""
    if not isinstance(documents, list):
        return "–"
    return in_words([(p[0], p[1]) for p in documents if isinstance(p, list) and len(p) == 2])


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    found = ((str(name), _number(number)) for name, number in value.items())
    return {name: number for name, number in found if number is not None}
