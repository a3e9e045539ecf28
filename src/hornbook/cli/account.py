"""``hornbook account``: what a model learns, computes and needs, and by which formula."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornbook.cli.sizes import parse_size
from hornbook.cli.subject import subject_of

if TYPE_CHECKING:
    from hornbook.inspection.accounting.account import Account
    from hornbook.inspection.accounting.parameters import Count

_PRECISIONS = {"float32": 4, "bfloat16": 2, "float16": 2}


def account(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="PRESET | RUN [key=value ...]",
            help="A preset or a run's folder, and settings to change.",
            show_default=False,
        ),
    ],
    batch: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Windows that go through the model at once."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="cpu, cuda, mps, or a card such as h100 or rtx4090."),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory that there is, such as 16GiB: what fits in it?"),
    ] = None,
    vocab_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Entries of the vocabulary.")
    ] = None,
    utilisation: Annotated[
        float,
        typer.Option(min=0.001, max=1.0, help="Share of the device's peak that is reached."),
    ] = 0.4,
    flops: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=1.0, help="What the device could do at best, in FLOP a second."
        ),
    ] = None,
    tokens: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=1.0, help="Tokens to train on, as in 300e9; those of the settings."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Account for a model without building it: parameters, FLOPs, memory and time, by formula.

    \b
    Examples:
      hornbook account small
      hornbook account gpt2-xl-swiglu --batch 1 --device h100 --tokens 40e9
      hornbook account small model.layers=12 --memory 16GiB
      hornbook account runs/poems-tiny --json
    """
    from hornbook.inspection.accounting.account import account_of

    there = parse_size(memory, "--memory") if memory is not None else None
    config, name, found, why = subject_of(words, vocab_size)
    made = account_of(config, vocab_size=found, batch=batch, device=device)
    if there is None and made.card is not None:
        there = made.card.memory
    peak = flops or made.peak_flops
    speed = None if peak is None else made.tokens_per_second(peak * utilisation)
    wanted = int(tokens or made.planned_tokens)
    answers = _Answers(there, peak, utilisation, speed, wanted)
    if as_json:
        print(json.dumps(_as_json(made, name, why, answers), indent=2))
    else:
        _print(made, name, why, answers)


class _Answers:
    """What was asked beside the account: what fits, and how long it takes."""

    def __init__(
        self,
        memory: int | None,
        peak: float | None,
        utilisation: float,
        speed: float | None,
        tokens: int,
    ) -> None:
        self.memory, self.peak, self.utilisation = memory, peak, utilisation
        self.speed, self.tokens = speed, tokens

    @property
    def days(self) -> float | None:
        return None if self.speed is None else self.tokens / self.speed / 86_400


def _print(made: Account, name: str, why: str, answers: _Answers) -> None:
    from hornbook.cli.screen import print_table

    sizes = made.sizes
    print(f"{name}: {sizes.config.kind}, {made.weights:,} parameters")
    print(f"vocabulary: {sizes.V.value:,} entries ({why})\n")
    print_table(
        ["", "number", "what it is"],
        [[letter, f"{value:,}", meaning] for letter, value, meaning in sizes.legend()],
        numbers=["number"],
    )
    print("\nParameters")
    _print_counts(made.parameters, "parameters", made.weights)
    held = " · ".join(f"{_bytes(made.weights * w)} in {n}" for n, w in _PRECISIONS.items())
    print(held)
    if made.products:
        print("\nFLOPs of the products of one window, forward")
        _print_counts(made.products, "FLOPs", made.forward_flops)
        print(f"backward   2 × forward   {2 * made.forward_flops:,}")
        each = made.training_flops / sizes.T.value
        print(f"training   3 × forward   {made.training_flops:,}, {each:,.0f} a token")
    _print_memory(made, answers)
    _print_time(made, answers)


def _print_counts(counts: Sequence[Count], unit: str, everything: int) -> None:
    from hornbook.cli.screen import print_table

    rows = [
        [part, what, amount.formula, f"{amount.value:,}", _share(amount.value, everything)]
        for part, what, amount in counts
    ]
    rows.append(["total", "", "", f"{everything:,}", _share(everything, everything)])
    print_table(["part", "what", "formula", unit, "share"], rows, numbers=[unit, "share"])
    parts: dict[str, int] = {}
    for part, _, amount in counts:
        parts[part] = parts.get(part, 0) + amount.value
    told = (f"{part} {_share(value, everything)}" for part, value in parts.items())
    print(f"by part: {' · '.join(told)}")


def _print_memory(made: Account, answers: _Answers) -> None:
    from hornbook.cli.screen import print_table
    from hornbook.inspection.accounting.peak import TOLERANCE, largest_batch

    plan, memory = made.plan, made.memory
    print(f"\nMemory of {_step_in_words(made) if made.kept else 'counting pairs'}")
    rows = [[what, amount.formula, _bytes(amount.value)] for _, what, amount in made.standing]
    print_table(["what stands there", "formula", "bytes"], rows, numbers=["bytes"])
    if made.kept:
        kept = sum(count.amount.value for count in made.kept)
        without = " without checkpointing" if plan.checkpointing else ""
        print(f"\nKept for the backward pass{without} [bytes]")
        _print_counts(made.kept, "bytes", kept)
        for how, size in made.kept_otherwise().items():
            print(f"{_bytes(size):>9}  {how}")
    print()
    print_table(
        ["moment of the step", "memory in use"],
        [[moment, _bytes(size)] for moment, size in memory.moments.items()],
        numbers=["memory in use"],
    )
    print(f"peak: about {_bytes(memory.peak)} (±{TOLERANCE:.0%}), in the moment: {memory.moment}")
    if answers.memory is not None and made.kept:
        fits = largest_batch(plan, answers.memory)
        limit = _bytes(answers.memory)
        print(f"largest batch that fits in {limit}: {fits:,} windows at once" if fits else
              f"not even one window at once fits in {limit}")  # fmt: skip


def _step_in_words(made: Account) -> str:
    plan = made.plan
    where = made.card.word if made.card else plan.how.device
    windows = "window" if plan.sizes.B.value == 1 else "windows"
    checkpointing = ", activation checkpointing" if plan.checkpointing else ""
    return (
        f"a training step: {plan.sizes.B.value:,} {windows} at once on {where}, "
        f"products in {made.precision}, {plan.optimizer.kind}{checkpointing}"
    )


def _print_time(made: Account, answers: _Answers) -> None:
    if not made.products:
        return
    print("\nTime")
    if answers.speed is None or answers.days is None:
        print("the device's peak is unknown; name a --device or its --flops")
        return
    print(
        f"{answers.speed:,.0f} tokens a second at {answers.utilisation:.0%} of "
        f"{(answers.peak or 0) / 1e12:,.4g} TFLOP/s"
    )
    print(f"{answers.tokens:,} tokens take {_days(answers.days)}")


def _as_json(made: Account, name: str, why: str, answers: _Answers) -> dict[str, Any]:
    from hornbook.inspection.accounting.peak import largest_batch

    memory = made.memory
    there = answers.memory
    return {
        "name": name,
        "kind": made.sizes.config.kind,
        "vocabulary": {"size": made.sizes.V.value, "source": why},
        "sizes": {letter: value for letter, value, _ in made.sizes.legend()},
        "parameters": {"total": made.weights, "parts": list(_lines(made.parameters))},
        "bytes": {n: made.weights * width for n, width in _PRECISIONS.items()},
        "flops": {
            "forward": made.forward_flops,
            "backward": 2 * made.forward_flops,
            "training": made.training_flops,
            "products": list(_lines(made.products)),
        },
        "memory": {
            "device": made.card.word if made.card else made.plan.how.device,
            "precision": made.precision,
            "optimizer": made.plan.optimizer.kind,
            "standing": list(_lines(made.standing)),
            "kept": list(_lines(made.kept)),
            "kept_in_step": memory.kept,
            "kept_otherwise": made.kept_otherwise(),
            "moments": memory.moments,
            "peak": memory.peak,
            "available": there,
            "largest_batch": None if there is None else largest_batch(made.plan, there),
        },
        "time": {
            "peak_flops_per_second": answers.peak,
            "utilisation": answers.utilisation,
            "tokens_per_second": answers.speed,
            "tokens": answers.tokens,
            "days": answers.days,
        },
    }


def _lines(counts: Sequence[Count]) -> Iterator[dict[str, Any]]:
    for part, what, amount in counts:
        yield {"part": part, "what": what, "formula": amount.formula, "value": amount.value}


def _bytes(size: int) -> str:
    from hornbook.cli.screen import quantity

    return quantity(size, "B")


def _share(value: int, everything: int) -> str:
    return f"{100 * value / max(everything, 1):.1f} %"


def _days(days: float) -> str:
    """A time in days, or in what suits it better.

    >>> _days(3.21), _days(0.1), _days(0.001), _days(1000.0)
    ('3.2 days', '2.4 hours', '1.4 minutes', '2.7 years')
    """
    for size, name in ((365.25, "years"), (1.0, "days"), (1 / 24, "hours"), (1 / 1440, "minutes")):
        if days >= size:
            return f"{days / size:.1f} {name}"
    return f"{days * 86_400:.2g} seconds"
