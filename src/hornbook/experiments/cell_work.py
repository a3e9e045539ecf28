"""The work of one cell with one seed, whatever the kind of study, and what becomes of a crash.

A cell that diverges has an outcome like any other. One that crashes (no memory, a bug) is told
in the table as well, the others go on, and it is tried again when the study is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hornbook.errors import CorpusError, TrainingStopped
from hornbook.experiments.cells import run_cell
from hornbook.experiments.decoding import sample_cell
from hornbook.experiments.outcomes import Measurement, Outcome, SampledTexts
from hornbook.experiments.preparation import Preparation
from hornbook.experiments.record import StudyRecord
from hornbook.listener import Progress
from hornbook.training import Interrupted

LONGEST_REASON = 500
"""Characters of an error that a table can hold."""


@dataclass(frozen=True, slots=True)
class CellWork:
    """What is to be done.

    Attributes:
        folder: the study's.
        cell: the cell's name.
        seed: of its run, or of its draws.
        threads: its share of the cores; 0 means all.
    """

    folder: Path
    cell: str
    seed: int
    threads: int = 0

    def done(self, record: StudyRecord, preparation: Preparation, progress: Progress) -> Outcome:
        """Do it, and give what it came to.

        Raises:
            Interrupted: when a signal stopped it; it can go on.
            TrainingStopped: when the disk cannot be written.
            CorpusError: when the text cannot be read any more.
        """
        work = run_cell if record.study.kind == "training" else sample_cell
        try:
            return work(
                self.folder, record, self.cell, self.seed, preparation, progress,
                threads=self.threads,
            )  # fmt: skip
        except (Interrupted, TrainingStopped, CorpusError):
            raise
        except Exception as error:  # the others go on, whatever it was
            return self.crashed(record, f"{type(error).__name__}: {error}")

    def crashed(self, record: StudyRecord, reason: str) -> Outcome:
        """The outcome of a cell that crashed."""
        reason = " ".join(reason.split())[:LONGEST_REASON]
        said = {"cell": self.cell, "seed": self.seed, "failed": reason, "crashed": True}
        if record.study.kind == "decoding":
            return SampledTexts(**said, texts=0, tokens=0)
        return Measurement(
            **said,
            steps=0,
            batch_size=record.plan[self.cell].batch_size,
            examples=0,
            tokens=0,
            epochs=0.0,
            training_seconds=0.0,
            parameters=0,
        )
