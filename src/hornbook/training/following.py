"""What every rank but the first does: wait for the plan, then train its share of every batch.

The first rank finds the text, trains the tokenizer, makes the tokens, opens the run and picks the
checkpoint. The others read what it has written, so they must see the same folders: on several
machines the run and hornbook's cache lie on a file system that they share.
"""

from __future__ import annotations

from pathlib import Path

from hornbook.errors import RunError
from hornbook.listener import SILENT
from hornbook.runs.assembly import open_store
from hornbook.runs.folder import RunFolder
from hornbook.runs.resolution import check
from hornbook.runs.run import Run
from hornbook.training.equipment import choose_equipment
from hornbook.training.ranks import Ranks
from hornbook.training.session import Interrupted, make_loop


def follow(ranks: Ranks) -> Run:
    """Train along with the first rank; returns the run that it trains.

    Raises:
        ToldElsewhere: when the first rank ended before it had a plan.
        RunError: when the run's folder or its tokens cannot be read from here.
        Interrupted: when a signal stopped all ranks.
    """
    plan = ranks.plan()
    folder = RunFolder(Path(plan["folder"]))
    run = Run(folder)
    if not plan["trains"]:
        return run
    if not folder.is_run():
        raise RunError(
            f"Rank {ranks.rank} sees no run at {folder.path}, where rank 0 has made one. All "
            "machines must share the file system on which it lies; say where with --out."
        )
    config = check(plan["config"])
    equipment = choose_equipment(config, ranks)
    store = open_store(folder, folder.read_manifest())
    loop = make_loop(folder, config, store, equipment, SILENT, plan["from_step"])
    with equipment.in_use():
        outcome = loop.run()
    if outcome.signal is not None:
        raise Interrupted(run, outcome)
    return run
