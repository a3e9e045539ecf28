"""Cells in processes of their own, each with its share of the cores.

    this process     worker 1            worker 2
    hands out        wide, seed 1        narrow, seed 1      over a pipe each
    hears            12 steps done       crashed: it says so, and another one is begun
    Ctrl-C           stops at its next step, with a checkpoint; so does the other

A worker reads the text once and then does one cell after another. One that dies (killed, out of
memory) costs its cell and nothing else. All end with this process, whatever ends it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from hornbook.errors import HornbookError
from hornbook.experiments.cell_work import CellWork
from hornbook.experiments.outcomes import Outcome
from hornbook.experiments.record import StudyRecord
from hornbook.listener import Progress
from hornbook.training import Interrupted
from hornbook.training.interruption import Interruption

LOOKS_EVERY = 0.2
"""How often a signal is looked for while workers are busy [seconds]."""
PATIENCE = 60.0
"""How long workers may take to end with a checkpoint after a signal [seconds]."""
DIED = "its process died{how}"


class WorkersStopped(HornbookError):  # noqa: N818 - it says what happened
    """A signal stopped the workers; each has kept a checkpoint.

    Attributes:
        signal: what stopped them.
    """

    def __init__(self, number: signal.Signals) -> None:
        self.signal = number
        super().__init__("stopped")


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    work: CellWork | None = None
    progress: Progress = field(default_factory=Progress)


def work_in_processes(
    record: StudyRecord,
    todo: Sequence[CellWork],
    jobs: int,
    *,
    began: Callable[[CellWork], Progress],
    ended: Callable[[CellWork, Outcome], None],
) -> None:
    """Do all of ``todo`` in up to ``jobs`` processes.

    Args:
        record: the study.
        todo: in this order, as processes become free.
        jobs: how many at once.
        began: called when a cell begins; gives where to count its progress.
        ended: called with what a cell came to.

    Raises:
        WorkersStopped: after a signal, when all have stopped.
        HornbookError: what a worker could not go on with; the others have stopped.
    """
    waiting = list(reversed(todo))
    workers: list[_Worker] = []
    with Interruption() as interruption:
        try:
            while waiting or any(worker.work for worker in workers):
                while waiting and len(workers) < jobs:
                    workers.append(_begun(record))
                for worker in workers:
                    if worker.work is None and waiting:
                        _hand_out(worker, waiting.pop(), began)
                _listen(record, workers, ended)
                if interruption.requested is not None:
                    raise WorkersStopped(interruption.requested)
        finally:
            _end(workers)


def _begun(record: StudyRecord) -> _Worker:
    # Begun anew and not forked: a copy of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, record), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _hand_out(worker: _Worker, work: CellWork, began: Callable[[CellWork], Progress]) -> None:
    worker.work = work
    worker.progress = began(work)
    worker.progress.__enter__()
    with contextlib.suppress(OSError):  # if it died just now, listening tells
        worker.pipe.send(work)


def _listen(
    record: StudyRecord,
    workers: list[_Worker],
    ended: Callable[[CellWork, Outcome], None],
) -> None:
    """Hear what workers have to say, for a moment."""
    by_pipe = {worker.pipe: worker for worker in workers}
    for pipe in wait(list(by_pipe), LOOKS_EVERY):
        worker = by_pipe[pipe]  # pyright: ignore[reportArgumentType]
        work = worker.work
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, OSError):
            workers.remove(worker)
            worker.process.join()
            if work is not None:
                _finish(worker)
                ended(work, work.crashed(record, DIED.format(how=_how(worker.process.exitcode))))
            continue
        if kind == "advance":
            worker.progress.advance(content)
        elif kind == "ended" and work is not None:
            _finish(worker)
            ended(work, content)
        elif kind == "stopped":
            raise WorkersStopped(content)
        elif kind == "failed":
            raise content


def _finish(worker: _Worker) -> None:
    worker.progress.__exit__(None, None, None)
    worker.work = None


def _end(workers: list[_Worker]) -> None:
    """Stop all: those at work with a checkpoint, and by force those that take too long."""
    for worker in workers:
        with contextlib.suppress(OSError):
            worker.pipe.send(None)
        if worker.work is not None:
            _finish(worker)
            if worker.process.pid is not None and worker.process.is_alive():
                _ask_to_stop(worker.process.pid)
    for worker in workers:
        worker.process.join(PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        # Not before: who tells of a step and finds nobody there ends at once, without a checkpoint.
        worker.pipe.close()


def _ask_to_stop(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f" with exit code {code}"
    try:
        return f", killed by {signal.Signals(-code).name}"
    except ValueError:
        return f", killed by signal {-code}"


class _Told(Progress):
    """Progress that is told over a pipe; an end of the pipe ends this process as well."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def advance(self, amount: int) -> None:
        self._pipe.send(("advance", amount))


def _serve(pipe: Connection, record: StudyRecord) -> None:
    """What a worker does: one cell after the other, until there are none."""
    # A Ctrl-C goes to every process of the terminal, but only the first one is to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from hornbook.experiments.preparation import Preparation

    preparation = Preparation()
    while True:
        try:
            work: CellWork | None = pipe.recv()
        except EOFError:
            return
        if work is None:
            return
        _use_threads(work.threads)
        try:
            answer: tuple[str, Any] = ("ended", work.done(record, preparation, _Told(pipe)))
        except Interrupted as stop:
            answer = ("stopped", stop.outcome.signal or signal.SIGTERM)
        except HornbookError as error:
            answer = ("failed", _portable(error))
        try:
            pipe.send(answer)
        except OSError:  # nobody listens any more
            return


def _use_threads(count: int) -> None:
    """Compute with so many threads, also outside of training; 0 leaves it as it is."""
    if not count:
        return
    import torch

    torch.set_num_threads(count)
    os.environ["OMP_NUM_THREADS"] = str(count)


def _portable(error: HornbookError) -> HornbookError:
    """An error that survives the way through a pipe: its kind and its words."""
    return HornbookError(str(error))
