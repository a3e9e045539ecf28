"""Everything that is drawn: progress on standard error, text and tables on standard output.

On a terminal there are bars and one line that follows the training; anywhere else (a pipe, a
log, CI) there are plain lines, at most one every few seconds, without control characters.
"""

from __future__ import annotations

import io
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table
from rich.text import Text

from hornbook.listener import Listener, Progress

PLAIN_EVERY = 5.0
"""Where there is no terminal, progress gives one line in this time [seconds]."""
LIVE_EVERY = 0.2
"""On a terminal, what is shown is refreshed in this time [seconds]."""
WORTH_SAYING = 0.01
"""Time of training spent waiting for data that is shown, as a share."""
_REMEMBERED = 64
"""Steps over which the speed of training is averaged."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class ScreenListener(Listener):
    """Draws what happens; use it as a context manager, so that the screen is left in order.

    Args:
        clock: gives the time; for tests.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bars = _bars(self._console) if on_terminal(sys.stderr) else None
        self._pace = Pace(None)
        self._training: _Drawn | None = None

    def __enter__(self) -> ScreenListener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._training is not None:
            self._training.end()
            self._training = None

    def notice(self, text: str) -> None:
        """Show a fact on a line of its own."""
        self._line(text, style="dim")

    def progress(self, title: str, *, total: int | None, unit: str) -> Progress:
        """Show a long task: a bar, or plain lines."""
        return _TaskProgress(self._draw(title, total), self._clock, total, unit)

    def measured(self, measurement: Mapping[str, Any]) -> None:
        """Show a measurement on the validation side; the others are in the training line."""
        self._pace.look(measurement)
        if "validation_loss" in measurement:
            self._line(measurement_text(measurement), style="bold")

    def sampled(self, step: int, text: str) -> None:
        """Show what the model wrote, set in from the left."""
        lines = "\n".join(f"    {line}" for line in text.splitlines())
        self._line(f"step {step:,}, a sample:\n{lines}")

    def optimizing(self, groups: Sequence[Mapping[str, Any]]) -> None:
        """Show which weights are moved how: a line a group, in columns."""
        rows = [
            [
                group["role"],
                group["rule"],
                f"{group['tensors']:,}",
                f"{group['numbers']:,}",
                f"{group['learning_rate']:.3g}",
                f"{group['weight_decay']:g}",
            ]
            for group in groups
        ]
        headers = ["weights", "moved by", "tensors", "numbers", "learning rate", "decay"]
        self._line(table_text(headers, rows, numbers=headers[2:]), style="dim")

    def training_began(self, step: int, last_step: int) -> None:
        """Remember where training ends, to tell the time left."""
        self._pace = Pace(last_step)

    def stepped(self, step: int, loss: float, tokens: int) -> None:
        """Bring the training line up to date."""
        self._pace.add(self._clock(), step, loss, tokens)
        if self._training is None:
            self._training = self._draw("training", self._pace.steps, bar_title="")
        self._training.show(step, self._pace.describe)

    def _draw(self, title: str, total: int | None, bar_title: str | None = None) -> _Drawn:
        if self._bars is None:
            return _PlainLines(self._clock, lambda text: self._line(f"{title}: {text}"))
        return _Bar(self._clock, self._bars, title if bar_title is None else bar_title, total)

    def _line(self, text: str, style: str = "") -> None:
        text = visible(text)
        if self._bars is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._console.print(Text(text, style=style), soft_wrap=True)


class Pace:
    """How fast training goes, from its last steps, as words.

    Args:
        steps: the last step, if it is known.
    """

    def __init__(self, steps: int | None) -> None:
        self.steps = steps
        self._marks: deque[tuple[float, int, int]] = deque(maxlen=_REMEMBERED)
        self._tokens = 0
        self._loss = float("nan")
        self._waiting: float | None = None
        self._utilisation: float | None = None

    def add(self, moment: float, step: int, loss: float, tokens: int) -> None:
        """Take in that ``step`` ended at ``moment`` [seconds]."""
        self._tokens += tokens
        self._loss = loss
        self._marks.append((moment, step, self._tokens))

    def look(self, measurement: Mapping[str, Any]) -> None:
        """Take in what a line of metrics says of the device."""
        self._waiting = measurement.get("waiting_for_data")
        self._utilisation = measurement.get("flops_utilisation")

    def describe(self) -> str:
        """The training line.

        >>> pace = Pace(steps=10)
        >>> pace.add(0.0, 1, 3.0, 500); pace.add(2.0, 2, 2.5, 500)
        >>> pace.describe()
        'step 2 of 10, loss 2.500, 250 tokens/s, 0:16 left'
        >>> pace.look({"waiting_for_data": 0.12, "flops_utilisation": 0.41})
        >>> pace.describe()
        'step 2 of 10, loss 2.500, 250 tokens/s, 41 % of peak, 12 % waiting for data, 0:16 left'
        """
        began, first, before = self._marks[0]
        now, step, tokens = self._marks[-1]
        of = f" of {self.steps:,}" if self.steps else ""
        words = [f"step {step:,}{of}", f"loss {self._loss:.3f}"]
        if step > first and now > began:
            words.append(f"{(tokens - before) / (now - began):,.0f} tokens/s")
            if self._utilisation is not None:
                words.append(f"{100 * self._utilisation:.0f} % of peak")
            if self._waiting is not None and self._waiting >= WORTH_SAYING:
                words.append(f"{100 * self._waiting:.0f} % waiting for data")
            if self.steps:
                left = (self.steps - step) * (now - began) / (step - first)
                words.append(f"{duration(left)} left")
        return ", ".join(words)


class _Drawn:
    """One thing on the screen that changes; shows itself no more often than is useful."""

    every = PLAIN_EVERY

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next = clock() + self.every

    def show(self, done: int, describe: Callable[[], str]) -> None:
        if self._clock() >= self._next:
            self._next = self._clock() + self.every
            self.draw(done, describe())

    def draw(self, done: int, text: str) -> None:
        """Show that ``done`` is done, with ``text`` beside it."""

    def end(self) -> None:
        """Leave the screen."""


class _PlainLines(_Drawn):
    def __init__(self, clock: Callable[[], float], line: Callable[[str], None]) -> None:
        super().__init__(clock)
        self._line = line

    def draw(self, done: int, text: str) -> None:
        self._line(text)


class _Bar(_Drawn):
    every = LIVE_EVERY

    def __init__(
        self, clock: Callable[[], float], bars: Bars, title: str, total: int | None
    ) -> None:
        super().__init__(clock)
        self._bars = bars
        self._task: TaskID | None = bars.add_task(title, total=total, details="")
        bars.start()

    def draw(self, done: int, text: str) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=done, details=text)

    def end(self) -> None:
        if self._task is None:
            return
        self._bars.remove_task(self._task)
        self._task = None
        if not self._bars.task_ids:
            self._bars.stop()


class _TaskProgress(Progress):
    """The progress of one task, handed to the room that does it."""

    def __init__(
        self, drawn: _Drawn, clock: Callable[[], float], total: int | None, unit: str
    ) -> None:
        self._drawn, self._total, self._unit = drawn, total, unit
        self._done = 0
        self._clock, self._began = clock, clock()

    def advance(self, amount: int) -> None:
        self._done += amount
        self._drawn.show(self._done, self._describe)

    def _describe(self) -> str:
        done = quantity(self._done, self._unit)
        if not self._total:
            return done
        of = f"{done} of {quantity(self._total, self._unit)}"
        if not 0 < self._done < self._total:
            return of
        each = (self._clock() - self._began) / self._done
        return f"{of}, {duration(each * (self._total - self._done))} left"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._drawn.end()


class _Details(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(task.fields["details"])


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        # Folding it would push lines down the screen at every refresh.
        _Details(table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=console,
        refresh_per_second=1 / LIVE_EVERY,
        transient=True,
    )


def on_terminal(stream: Any) -> bool:
    """Whether a person looks at this stream."""
    return bool(stream.isatty())


def visible(text: str) -> str:
    """Show control characters as pictures: what a model wrote must not steer the terminal.

    >>> visible("a\\x1b[2Jb\\n")
    'a␛[2Jb\\n'
    """

    def picture(found: re.Match[str]) -> str:
        code = ord(found[0])
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\ufffd"

    return _CONTROL.sub(picture, text)


def write_text(text: str) -> None:
    """Write text to standard output at once: as it is into a pipe, made safe on a terminal."""
    sys.stdout.write(visible(text) if on_terminal(sys.stdout) else text)
    sys.stdout.flush()


def measurement_text(measurement: Mapping[str, Any]) -> str:
    """One line about a measurement.

    >>> measurement_text({"step": 100, "validation_loss": 2.5, "bits_per_byte": 1.75})
    'step 100: validation loss 2.500, 1.750 bits per byte'
    """
    names = {
        "validation_loss": "validation loss {:.3f}",
        "bits_per_byte": "{:.3f} bits per byte",
        "training_loss": "training loss {:.3f}",
    }
    known = [
        words.format(measurement[name])
        for name, words in names.items()
        if measurement.get(name) is not None
    ]
    return f"step {measurement['step']:,}: " + ", ".join(known)


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()
) -> None:
    """Print a table on standard output; in a pipe its lines are never cut or folded.

    Args:
        headers: the names of the columns.
        rows: the cells.
        numbers: the columns that stand flush right.
    """
    if on_terminal(sys.stdout):
        Console(highlight=False).print(_table(headers, rows, numbers))
    else:
        print(table_text(headers, rows, numbers=numbers))


def table_text(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()
) -> str:
    """A table as lines that are never cut or folded; the arguments are ``print_table``'s.

    >>> print(table_text(["name", "count"], [["a", "10"], ["bc", "2"]], numbers=["count"]))
    name  count
    a        10
    bc        2
    """
    plain = io.StringIO()
    Console(file=plain, width=1_000_000, color_system=None).print(_table(headers, rows, numbers))
    return "\n".join(line.rstrip() for line in plain.getvalue().splitlines())


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in headers:
        table.add_column(
            Text(header), justify="right" if header in numbers else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table


def quantity(amount: int, unit: str) -> str:
    """An amount with its unit, bytes in the customary larger ones.

    >>> quantity(1500, "B"), quantity(465_000, "bytes"), quantity(3000, "tokens")
    ('1.5 kB', '465.0 kB', '3,000 tokens')
    """
    if unit not in {"B", "bytes"}:
        return f"{amount:,} {unit}"
    size, name = float(amount), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.95:
            break
        size, name = size / 1000, larger
    return f"{size:.0f} B" if name == "B" else f"{size:.1f} {name}"


def duration(seconds: float) -> str:
    """A time as a clock shows it.

    >>> duration(16.2), duration(3725)
    ('0:16', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
