"""The options of ``hornbook sample`` that set a decoding rule; their order is told in the docs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from hornbook.errors import ConfigError, Problem

MinTokens = Annotated[int | None, typer.Option(help="Neither end nor stop text before.")]
MinP = Annotated[
    float | None,
    typer.Option(help="Keep tokens with this share of the likeliest's."),
]
TypicalP = Annotated[
    float | None,
    typer.Option(help="Keep tokens of usual surprise, to this probability."),
]
RepetitionPenalty = Annotated[
    float | None,
    typer.Option(help="Above 1 avoids what prompt or text hold."),
]
PresencePenalty = Annotated[
    float | None, typer.Option(help="Taken off tokens that the text holds.")
]
FrequencyPenalty = Annotated[float | None, typer.Option(help="The same for each time.")]
NoRepeatNgram = Annotated[int | None, typer.Option(help="No run of so many tokens comes twice.")]
LogitBias = Annotated[
    list[str] | None,
    typer.Option(metavar="ID=NUMBER", help="Added to one token; may be repeated."),
]
Pattern = Annotated[
    str | None,
    typer.Option(metavar="REGEX", help="The text matches this, as a whole."),
]
Allowed = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="The text is one of these; may be repeated."),
]
Banned = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="Stands nowhere in the text; may be repeated."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting of sampling."),
]
Beams = Annotated[
    int | None,
    typer.Option(help="Look for the likeliest text with so many beams."),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        help="Above 0 favours long beams, below 0 short ones; 1 unless given.",
    ),
]
Contrast = Annotated[
    float | None,
    typer.Option(
        metavar="ALPHA",
        help="Contrastive search: how much likeness counts, 0 to 1.",
    ),
]
Candidates = Annotated[
    int | None,
    typer.Option(help="Tokens that it tries at each place; 4 unless given."),
]


def changed_settings(given: dict[str, Any], words: Sequence[str] | None) -> dict[str, Any]:
    """The settings that options and ``--set KEY=VALUE`` change; lists may come as empty.

    >>> changed_settings({"top_k": None, "stop": ["a"], "seed": 3}, ["sampling.min_p=0.1"])
    {'stop': ('a',), 'seed': 3, 'min_p': '0.1'}
    """
    from hornbook.runs.resolution import read_word

    changes: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, list):
            if value:
                changes[name] = tuple(value)
        elif value is not None:
            changes[name] = value
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals:
            problem = Problem(f"--set {word}", "is no setting; write KEY=VALUE, as in min_p=0.1.")
            raise ConfigError([problem])
        name = key.strip().removeprefix("sampling.").replace("-", "_")
        changes[name] = read_word(f"sampling.{name}", value)
    return changes
