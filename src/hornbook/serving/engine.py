"""One thread that writes the texts of all requests together, a token of each at a time.

    request A   ──a──a──a──a──a─►            A and B share every step while both are written;
    request B        ──b──b─►                B joined between two of A's steps, and C took
    request C               ──c──c──c─►      B's row. Each text is what it would be alone.

Only this thread touches the model. Requests wait in a queue until there is a row for each of
their texts; what is written is handed out once a step.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hornbook.errors import HornbookError, ModelBroken
from hornbook.generation import Piece, SamplingConfig
from hornbook.generation.scoring import TokenScores, score_ids
from hornbook.generation.writer import Line, Writer
from hornbook.listener import SILENT, Listener
from hornbook.runs.run import Run
from hornbook.serving.limits import Limits
from hornbook.serving.refusal import Refusal

MODEL_FAILED = "The model failed; the server's own output says how."


@dataclass(frozen=True, slots=True)
class Written:
    """A piece of a text: of which prompt and sample stands in it."""

    piece: Piece


@dataclass(frozen=True, slots=True)
class Scored:
    """How likely the tokens of a prompt are, but for its first."""

    prompt: int
    scores: TokenScores


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing more will come, and this is why."""

    refusal: Refusal


Event = Written | Scored | Failed


@dataclass(eq=False)
class Job:
    """What one request wants written.

    Attributes:
        prompts: the ids of its prompts.
        config: its rules; each prompt gets ``config.samples`` texts.
        deliver: is called by the engine's thread with what is new, once a step.
        scored: whether prompts are scored as well.
    """

    prompts: Sequence[Sequence[int]]
    config: SamplingConfig
    deliver: Callable[[list[Event]], None]
    scored: bool = False
    lines: set[Line] = field(default_factory=set, repr=False)


@dataclass
class _Begin:
    """Samples of one prompt that have no row yet."""

    job: Job
    prompt: int
    samples: list[int]


class Engine:
    """Writes jobs; start it once, and stop it at the end.

    Args:
        run: the model, on its device, and its tokenizer.
        limits: how many texts are written at a time, and how many may wait.
        listener: is told of failures that no request is to blame for.
    """

    def __init__(self, run: Run, limits: Limits, listener: Listener = SILENT) -> None:
        self._run, self._limits, self._listener = run, limits, listener
        self._writer = self._new_writer()
        self._wake = threading.Condition()
        self._waiting: deque[_Begin] = deque()
        self._left: list[Job] = []
        self._jobs: set[Job] = set()
        self._closed = self._stopped = False
        self._owners: dict[Line, Job] = {}
        self._thread = threading.Thread(target=self._work, name="hornbook engine", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    @property
    def jobs(self) -> int:
        """Requests that are not answered to their end."""
        return len(self._jobs)

    def counts(self) -> tuple[int, int]:
        """How many texts are being written, and how many wait."""
        with self._wake:
            return len(self._owners), sum(len(begin.samples) for begin in self._waiting)

    @property
    def closed(self) -> bool:
        """Whether no further job is taken."""
        return self._closed

    def check(self, ids: Sequence[int], config: SamplingConfig) -> None:
        """Raise a ``HornbookError`` when a prompt or a setting does not fit the model."""
        self._writer.check(ids, config)

    def submit(self, job: Job) -> None:
        """Take a job on; its first events come by and by.

        Raises:
            Refusal: too many texts wait, or the engine is closed.
        """
        samples = range(job.config.samples)
        begins = [_Begin(job, number, [*samples]) for number in range(len(job.prompts))]
        with self._wake:
            if self._closed:
                raise Refusal(503, "The server is about to end; it takes nothing new.")
            waiting = sum(len(begin.samples) for begin in self._waiting)
            room = self._limits.rows - len(self._owners) + self._limits.waiting
            if waiting and waiting + len(begins) * len(samples) > room:
                raise Refusal(
                    429,
                    f"{waiting:,} texts are waiting to be written already. Come again in a moment.",
                    code="queue_full",
                )
            self._jobs.add(job)
            self._waiting.extend(begins)
            self._wake.notify()

    def cancel(self, job: Job) -> None:
        """Nobody waits for ``job`` any more: its rows are free before the next step.

        A job that is at its end may be cancelled again.
        """
        with self._wake:
            if job in self._jobs:
                self._left.append(job)
                self._wake.notify()

    def close(self) -> None:
        """Take no further job; those that are there go on."""
        with self._wake:
            self._closed = True

    def stop(self) -> None:
        """End, and tell whoever still waits."""
        with self._wake:
            self._closed = self._stopped = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    # What the engine's own thread does.

    def _work(self) -> None:
        while self._wait_for_work():
            try:
                self._begin_what_fits()
                self._step()
            except Exception as error:
                self._give_up_all(error)
        self._fail(list(self._jobs), Refusal(503, "The server has ended before the text did."))

    def _wait_for_work(self) -> bool:
        """Sleep until there is something to do, and let go of whom nobody waits for."""
        with self._wake:
            while not (self._waiting or self._left or self._owners or self._stopped):
                self._wake.wait()
            if self._stopped:
                return False
            left, self._left = self._left, []
            for job in left:
                self._forget(job)
        return True

    def _begin_what_fits(self) -> None:
        while (begin := self._next_begin()) is not None:
            job = begin.job
            if not self._score(begin):
                continue
            try:
                ids = job.prompts[begin.prompt]
                lines = self._writer.join(
                    ids, job.config, number=begin.prompt, samples=begin.samples
                )
            except HornbookError as error:
                self._fail([job], Refusal(400, str(error)))
                continue
            except Exception:
                self._fail([job], Refusal(500, MODEL_FAILED))
                raise
            with self._wake:
                job.lines.update(lines)
                self._owners.update(dict.fromkeys(lines, job))

    def _score(self, begin: _Begin) -> bool:
        """Score a prompt, if that is asked for; where it fails, no other request is concerned."""
        job = begin.job
        if not job.scored or begin.samples[0] != 0:
            return True
        ids, beside = job.prompts[begin.prompt], job.config.alternatives
        try:
            scores = score_ids(self._run.model, ids, alternatives=beside)
        except Exception as error:
            self._give_up(job, error)
            return False
        job.deliver([Scored(begin.prompt, scores)])
        return True

    def _next_begin(self) -> _Begin | None:
        """What stands first in the queue, or as many of its samples as there are rows for."""
        with self._wake:
            room = self._limits.rows - len(self._owners)
            if room < 1 or not self._waiting:
                return None
            begin = self._waiting[0]
            if len(begin.samples) <= room:
                return self._waiting.popleft()
            first, begin.samples = begin.samples[:room], begin.samples[room:]
            return _Begin(begin.job, begin.prompt, first)

    def _step(self) -> None:
        found: dict[Job, list[Event]] = {}
        broken: list[Job] = []
        for line, piece in self._writer.step():
            job = self._owners[line]
            found.setdefault(job, []).append(Written(piece))
            if piece.ending is not None:
                with self._wake:
                    del self._owners[line]
                    job.lines.remove(line)
            if piece.ending == "broken" and job not in broken:
                broken.append(job)
        for job in broken:
            del found[job]
            self._give_up(job, ModelBroken())
        for job, events in found.items():
            job.deliver(events)
        with self._wake:
            waiting = {begin.job for begin in self._waiting}
            self._jobs -= {job for job in found if not job.lines and job not in waiting}

    def _forget(self, job: Job) -> None:
        """Free everything that a job holds; the lock is held."""
        self._waiting = deque(begin for begin in self._waiting if begin.job is not job)
        for line in job.lines:
            self._writer.leave(line)
            del self._owners[line]
        job.lines.clear()
        self._jobs.discard(job)

    def _fail(self, jobs: Sequence[Job], refusal: Refusal) -> None:
        with self._wake:
            for job in jobs:
                self._forget(job)
        for job in jobs:
            job.deliver([Failed(refusal)])

    def _give_up(self, job: Job, error: Exception) -> None:
        """What went wrong concerns one request alone."""
        self._listener.notice(f"a request failed: {type(error).__name__}: {error}")
        self._fail([job], Refusal(500, MODEL_FAILED))

    def _give_up_all(self, error: Exception) -> None:
        """A step failed: whoever took part in it is told, and the next ones begin afresh."""
        self._listener.notice(f"a step of the model failed: {type(error).__name__}: {error}")
        with self._wake:
            jobs = list(set(self._owners.values()))
            self._writer = self._new_writer()
            self._owners.clear()
            for job in jobs:
                job.lines.clear()
        self._fail(jobs, Refusal(500, MODEL_FAILED))

    def _new_writer(self) -> Writer:
        run = self._run
        return Writer(run.model, run.tokenizer, opening=run.opening)
