"""``hornbook sample --beams`` and ``--contrast``: texts that are looked for instead of drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hornbook.errors import HornbookError

if TYPE_CHECKING:
    from hornbook.generation import Sample
    from hornbook.runs.run import Run

OF_DRAWS = ("temperature", "top_k", "top_p", "min_p", "typical_p", "seed")
"""Settings that say how to draw."""

Search = Callable[[str], "Sequence[Sample]"]
"""A prompt to the texts that were found, the best first."""


def chosen_search(
    run: Run,
    changes: dict[str, Any],
    *,
    beams: int | None,
    length_penalty: float | None,
    contrast: float | None,
    candidates: int | None,
) -> Search | None:
    """The search that the options ask for; ``None`` where texts are to be drawn.

    Raises:
        HornbookError: the options do not go together.
    """
    if beams is None and length_penalty is not None:
        raise HornbookError("--length-penalty is for --beams N, which was not given.")
    if contrast is None and candidates is not None:
        raise HornbookError("--candidates is for --contrast ALPHA, which was not given.")
    if beams is None and contrast is None:
        return None
    if beams is not None and contrast is not None:
        raise HornbookError("--beams and --contrast are two searches; give one of them.")
    name = "--contrast" if beams is None else "--beams"
    needless = [f"--{key.replace('_', '-')}" for key in OF_DRAWS if key in changes]
    if needless:
        raise HornbookError(
            f"{name} draws nothing, so {', '.join(needless)} would change nothing; leave out the "
            "one or the other."
        )
    if beams is not None:
        penalty = 1.0 if length_penalty is None else length_penalty
        return lambda prompt: run.beam_search(
            prompt, beams=beams, length_penalty=penalty, **changes
        )
    if changes.get("samples", 1) != 1:
        raise HornbookError("--contrast finds one text a prompt; leave out --samples.")
    assert contrast is not None
    tried = 4 if candidates is None else candidates
    return lambda prompt: [
        run.contrastive_search(prompt, alpha=contrast, candidates=tried, **changes)
    ]
