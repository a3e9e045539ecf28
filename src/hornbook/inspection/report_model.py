"""The part of a report that follows from the settings: what the model is, and what it costs.

part           parameters   share     FLOPs of a window   share
embedding          16,384   39.4 %                    0   0.0 %
attention           8,192   19.7 %            1,048,576  36.4 %
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hornbook.errors import HornbookError
from hornbook.inspection.accounting.account import Account, account_of
from hornbook.inspection.accounting.parameters import PARTS, Count
from hornbook.inspection.accounting.peak import TOLERANCE
from hornbook.inspection.diagrams.drawing import as_svg
from hornbook.inspection.diagrams.model_flow import flow_of_run
from hornbook.inspection.history import History
from hornbook.inspection.page import Markup, element, facts, table
from hornbook.inspection.training_facts import in_units
from hornbook.runs.run import Run


def model_sections(run: Run, story: History) -> Iterator[Markup]:
    """The diagram and the account of a run that has its tokenizer; of any other, nothing."""
    try:
        vocab_size = run.tokenizer.vocab_size
        made = account_of(run.config, vocab_size=vocab_size, device=_device(run))
        flow = flow_of_run(run.config, vocab_size)
    except HornbookError:  # the rest of the report says what is damaged or missing
        return
    yield element("h2", "What the model costs")
    yield element("p", f"{made.weights:,} parameters, counted by formula.", kind="muted")
    yield _parts_table(made)
    yield facts(_costs(made, story))
    yield element("h2", "The model")
    picture = as_svg(flow, run.name)
    yield element("figure", Markup(picture[picture.index("<svg ") :]))


def _device(run: Run) -> str:
    """What kind of device trained it last; which card it was is not known for sure."""
    sessions = run.manifest.sessions
    name = sessions[-1].hardware.get("device", "cpu") if sessions else "cpu"
    kind = name.partition(":")[0]
    return kind if kind in ("cuda", "mps") else "cpu"


def _parts_table(made: Account) -> Markup:
    weights, flops = _by_part(made.parameters), _by_part(made.products)
    products = made.forward_flops
    rows = [
        [
            part,
            *_of(weights.get(part, 0), made.weights),
            *_of(flops.get(part, 0), products),
        ]
        for part in PARTS
        if part in weights or part in flops
    ]
    totals = [_of(whole, whole) for whole in (made.weights, products)]
    rows.append(["total", *totals[0], *totals[1]])
    headers = ["part", "parameters", "share", "FLOPs of a window, forward", "share of FLOPs"]
    return table(headers, rows, numbers=headers[1:], best=len(rows) - 1)


def _by_part(counts: Sequence[Count]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part, _, amount in counts:
        found[part] = found.get(part, 0) + amount.value
    return found


def _of(value: int, everything: int) -> list[str]:
    return [f"{value:,}", f"{100 * value / everything:.1f} %"] if everything else ["–", "–"]


def _costs(made: Account, story: History) -> Iterator[tuple[str, str]]:
    if made.training_flops:
        token = made.training_flops / made.sizes.T.value
        yield "a token in training", f"{in_units(token)}FLOP, forward and backward"
        if story.tokens_seen:
            yield "all of the training", f"{in_units(token * story.tokens_seen)}FLOP"
    if made.kept:
        told = f"about {in_units(made.memory.peak)}B by formula (±{100 * TOLERANCE:.0f} %)"
        yield "tensors of a training step", f"{told}, most of them at: {made.memory.moment}"
