"""``hornbook sample``: let a run go on from a prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hornbook.cli import sampling_options as options
from hornbook.cli.input_text import read_text
from hornbook.cli.shared_options import Compiled, Device, Quantise, RunToRead, bring
from hornbook.errors import HornbookError


def sample(
    context: typer.Context,
    run: RunToRead,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROMPT]",
            help="What to go on from. Without it, prompts are read from standard input, a line "
            "each, and on a terminal a small prompt opens.",
            show_default=False,
        ),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Below 1 safer, above 1 wilder, 0 always the likeliest.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Choose among so many tokens; 0: all.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Choose among the likeliest with this probability.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The most tokens to add.")] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="End where this would appear; may be repeated."),
    ] = None,
    min_tokens: options.MinTokens = None,
    min_p: options.MinP = None,
    typical_p: options.TypicalP = None,
    repetition_penalty: options.RepetitionPenalty = None,
    presence_penalty: options.PresencePenalty = None,
    frequency_penalty: options.FrequencyPenalty = None,
    no_repeat_ngram: options.NoRepeatNgram = None,
    logit_bias: options.LogitBias = None,
    pattern: options.Pattern = None,
    allowed: options.Allowed = None,
    banned: options.Banned = None,
    words: options.Settings = None,
    beams: options.Beams = None,
    length_penalty: options.LengthPenalty = None,
    contrast: options.Contrast = None,
    candidates: options.Candidates = None,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same text.")] = None,
    samples: Annotated[int, typer.Option(help="How many texts to draw.")] = 1,
    prompts: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Read prompts from a file, a line each; -: from a pipe."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a sample, each on its own line.")
    ] = False,
    quantise: Quantise = None,
    compiled: Compiled = False,
    device: Device = "auto",
) -> None:
    """Let a trained model go on from a prompt.

    What is not given is taken from the run's own sampling settings. The prompt is printed
    first, then the text as the model writes it.

    \b
    Examples:
      hornbook sample runs/poems-tiny "The river"
      hornbook sample runs/poems-tiny@400 "The river" --temperature 0.5 --samples 3 --seed 7
      hornbook sample runs/poems-tiny "On " --pattern "[A-Z][a-z]+, \\d+ (May|June)"
      hornbook sample runs/poems-tiny "The river" --beams 8 --samples 2 --no-repeat-ngram 3
      hornbook sample runs/poems-tiny
      hornbook sample runs/poems-tiny --prompts beginnings.txt --json
    """
    from hornbook.cli.prompt import Prompt
    from hornbook.cli.samples import (
        finished,
        print_found,
        print_objects,
        print_pieces,
        print_samples,
        tell_of_unknown,
    )
    from hornbook.cli.screen import ScreenListener, on_terminal
    from hornbook.cli.searches import chosen_search
    from hornbook.generation import SamplingConfig
    from hornbook.runs.run import open_run

    opened = open_run(run)
    given = {name: context.params.get(name) for name in SamplingConfig.model_fields}
    changes = options.changed_settings(given, words)
    search = chosen_search(
        opened,
        changes,
        beams=beams,
        length_penalty=length_penalty,
        contrast=contrast,
        candidates=candidates,
    )
    beginnings = _beginnings(prompt, prompts)
    settings = opened.sampling(changes)  # mistakes show before weights are read
    bring(opened, device, quantise)
    if compiled:
        with ScreenListener() as listener:
            opened.compile([settings.samples], listener=listener)
    tell_of_unknown(opened, beginnings or ())
    texts_of = search or (lambda beginning: opened.samples(beginning, **changes))
    try:
        if (
            beginnings is None
            and not as_json
            and search is None
            and on_terminal(sys.stdin)
            and on_terminal(sys.stdout)
        ):
            Prompt(opened, changes).open()
        elif as_json:
            print_objects(opened, finished(map(texts_of, beginnings or [""])), settings.seed)
        elif beginnings is None or len(beginnings) == 1:
            beginning = beginnings[0] if beginnings else ""
            if search is None:
                print_pieces(beginning, opened.stream(beginning, **changes), settings.samples)
            else:
                print_found(search(beginning))
        else:
            print_samples(finished(map(texts_of, beginnings)))
    except KeyboardInterrupt:
        print(flush=True)  # so that the message begins on a line of its own
        raise


def _beginnings(prompt: str | None, prompts: str | None) -> list[str] | None:
    """The prompts that were given; ``None`` where nobody gave any."""
    from hornbook.cli.samples import prompt_lines
    from hornbook.cli.screen import on_terminal

    if prompt is not None and prompts is not None:
        raise HornbookError("Give either a PROMPT or --prompts FILE, not both.")
    if prompt is not None:
        return [prompt]
    if prompts is not None and prompts != "-":
        lines = prompt_lines(read_text(Path(prompts)))
        if not lines:
            raise HornbookError(f"{prompts} is empty: it should hold a prompt in each line.")
        return lines
    if prompts is None and on_terminal(sys.stdin):  # nobody should wonder what it waits for
        return None
    return prompt_lines(read_text(None)) or None
