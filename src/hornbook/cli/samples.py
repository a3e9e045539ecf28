"""Samples on their way to standard output: as they are written, one after another, or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from hornbook.cli.screen import on_terminal, write_text

if TYPE_CHECKING:
    from hornbook.generation import Piece, Sample
    from hornbook.runs.run import Run


def print_pieces(prompt: str, pieces: Iterable[Piece], samples: int) -> None:
    """Print one sample as it comes, several each when it and those before it are done."""
    if samples == 1:
        write_text(prompt)
        ending = None
        for piece in pieces:
            write_text(piece.text)
            ending = piece.ending
        write_text("\n")
        _tell_if_stuck(ending, "The text")
        return
    texts = [""] * samples
    done: set[int] = set()
    printed = 0
    for piece in pieces:
        texts[piece.sample] += piece.text
        if piece.ending is not None:
            done.add(piece.sample)
            _tell_if_stuck(piece.ending, f"Sample {piece.sample}")
        while printed in done:
            print_heading(f"sample {printed}")
            write_text(f"{prompt}{texts[printed]}\n")
            printed += 1


def tell_of_unknown(run: Run, prompts: Sequence[str]) -> None:
    """Say so where a model cannot read all of its prompts; the text still goes on from them."""
    ids = [token for prompt in prompts for token in run.tokenizer.encode(prompt)]
    unknown = run.tokenizer.unknown_among(ids)
    if unknown:
        print(
            f"The model does not see all of the prompt: {unknown:,} of {len(ids):,} tokens are "
            "<?>, for text outside its vocabulary.",
            file=sys.stderr,
        )


def _tell_if_stuck(ending: str | None, what: str) -> None:
    if ending == "stuck":
        sys.stdout.flush()
        reason = "ends because its rules left no token that could come next; loosen one of them."
        print(f"{what} {reason}", file=sys.stderr)


def print_heading(words: str) -> None:
    """A line that says which text follows."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if on_terminal(sys.stdout) else ("", "")
    sys.stdout.write(f"{bold}--- {words} ---{plain}\n")


def print_found(found: Sequence[Sample]) -> None:
    """Print what a search found for one prompt, the best first; beams with their scores."""
    from hornbook.generation import Beam

    for number, sample in enumerate(found):
        if len(found) > 1:
            score = f", score {sample.score:.4f}" if isinstance(sample, Beam) else ""
            print_heading(f"text {number}{score}")
        write_text(f"{sample}\n")


def print_samples(numbered: Iterable[tuple[int, int, Sample]]) -> None:
    """Print samples of several prompts, each under the numbers of both."""
    for prompt, number, sample in numbered:
        print_heading(f"prompt {prompt}, sample {number}")
        write_text(f"{sample}\n")


def print_objects(run: Run, numbered: Iterable[tuple[int, int, Sample]], seed: int) -> None:
    """Print one JSON object a sample, each on a line of its own, as soon as it is there."""
    from hornbook.generation import Beam

    for prompt, number, sample in numbered:
        found = {
            "prompt": sample.prompt,
            "text": sample.text,
            "ending": sample.ending,
            "prompt_number": prompt,
            "sample": number,
            "seed": seed,
            "run": str(run.path),
            "step": run.checkpoint.step,
        }
        if isinstance(sample, Beam):
            found |= {"log_probability": sample.log_probability, "score": sample.score}
        print(json.dumps(found, ensure_ascii=False), flush=True)


def prompt_lines(text: str) -> list[str]:
    """The prompts of a file: a line each; an empty line is an empty prompt.

    >>> prompt_lines("a\\n\\nb\\r\\n"), prompt_lines("")
    (['a', '', 'b'], [])
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def finished(samples: Iterable[Sequence[Sample]]) -> Iterator[tuple[int, int, Sample]]:
    """Number the samples of each prompt."""
    for prompt, drawn in enumerate(samples):
        for number, sample in enumerate(drawn):
            yield prompt, number, sample
