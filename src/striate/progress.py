"""Progress of long work: a bar with rate and time left, or plain lines without a terminal."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO, TypeAlias


class Tracker(Protocol):
    """Counts the finished units of one piece of work."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units as done, and show `note` (a loss, say) beside the rate."""


class Progress:
    """Reports to a person: messages, and the progress of long work.

    By default everything goes to standard error, so that standard output stays free for results.

    Args:
        stream: Where to write.
        quiet: Write nothing at all.
        interval: Seconds between two lines about one piece of work where there is no terminal.
        overwrite: Write such a line over the one before, as a notebook allows.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        quiet: bool = False,
        interval: float = 10.0,
        overwrite: bool = False,
    ) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.quiet = quiet
        self.interval = interval
        self.overwrite = overwrite
        self._to_cover = 0

    def say(self, message: str) -> None:
        """Print one line."""
        self._write(message)

    def _write(self, line: str, *, overwritten: bool = False) -> None:
        if not self.quiet:
            # Blanks hide what is left of a longer line that this one is written over.
            end = "\r" if overwritten else "\n"
            print(line.ljust(self._to_cover), end=end, file=self.stream, flush=True)
            self._to_cover = len(line) if overwritten else 0

    @contextmanager
    def track(self, label: str, total: int | None, unit: str = "items") -> Iterator[Tracker]:
        """Show the progress of `total` units of work inside the `with` block."""
        if self.quiet:
            yield _Silent()
        elif self.stream.isatty():
            with _bar(self.stream, label, total, unit) as tracker:
                yield tracker
        else:
            tracker = _Lines(self, label, total, unit)
            yield tracker
            tracker.close()


ProgressLike: TypeAlias = Progress | Callable[[str], object] | bool | None
"""What public functions take as `progress`; see `as_progress`."""


def as_progress(value: ProgressLike) -> Progress:
    """Return the `Progress` that the argument `progress` of a public function stands for.

    Args:
        value: A `Progress`; or a function that is called with each line, such as `print`; or True
            to write to standard error; or False to write nothing. None writes in a notebook, into
            the cell's output, and nothing elsewhere.
    """
    if isinstance(value, Progress):
        return value
    if callable(value):
        return Progress(_LineStream(value))
    if value is not False and in_notebook():
        return Progress(sys.stdout, interval=1.0, overwrite=True)
    return Progress(quiet=not value)


def in_notebook() -> bool:
    """Whether this process runs the cells of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


class _LineStream(io.StringIO):
    """A stream that calls a function with each line written to it."""

    def __init__(self, call: Callable[[str], object]) -> None:
        super().__init__()
        self._call = call
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._call(line)
        return len(text)


class _Silent:
    def advance(self, count: int = 1, note: str = "") -> None:
        pass


class _Lines:
    """Plain lines, at most one an interval, and one at the end."""

    def __init__(self, progress: Progress, label: str, total: int | None, unit: str) -> None:
        self.progress, self.label, self.total, self.unit = progress, label, total, unit
        self.done = 0
        self.note = ""
        self.start = self.last = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done += count
        self.note = note or self.note
        now = time.monotonic()
        if now - self.last >= self.progress.interval and self.done != self.total:
            self.last = now
            self._print(now, overwritten=self.progress.overwrite)

    def close(self) -> None:
        self._print(time.monotonic())

    def _print(self, now: float, *, overwritten: bool = False) -> None:
        elapsed = max(now - self.start, 1e-9)
        rate = self.done / elapsed
        of = f"/{self.total}" if self.total is not None else ""
        left = ""
        if self.total is not None and self.done < self.total and rate > 0:
            left = f", {duration((self.total - self.done) / rate)} left"
        note = f", {self.note}" if self.note else ""
        line = f"{self.label}: {self.done}{of} {self.unit}, {_rate(rate)}/s, {duration(elapsed)}"
        self.progress._write(line + left + note, overwritten=overwritten)


@contextmanager
def _bar(stream: TextIO, label: str, total: int | None, unit: str) -> Iterator[Tracker]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(file=stream)) as rich:
        task = rich.add_task(label, total=total, rate="", note="")
        start = time.monotonic()

        class Bar:
            def advance(self, count: int = 1, note: str = "") -> None:
                done = rich.tasks[0].completed + count
                rate = done / max(time.monotonic() - start, 1e-9)
                rich.update(task, advance=count, rate=f"{_rate(rate)}/s")
                if note:
                    rich.update(task, note=note)

        yield Bar()


def _rate(rate: float) -> str:
    """A rate with three significant digits: `0.25`, `140`, `12,900`."""
    return f"{float(f'{rate:.3g}'):,.0f}" if rate >= 100 else f"{rate:.3g}"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural where there is not exactly one.

    >>> counted(1, "epoch"), counted(2, "epoch"), counted(2, "class"), counted(2624, "batch")
    ('1 epoch', '2 epochs', '2 classes', '2,624 batches')
    """
    ending = "" if count == 1 else "es" if noun.endswith(("s", "x", "sh", "tch", "nch")) else "s"
    return f"{count:,} {noun}{ending}"


def duration(seconds: float) -> str:
    """Return seconds as a person writes them: `8.4 s`, `2 min 05 s`, `1 h 02 min`.

    >>> duration(8.42), duration(125), duration(3725)
    ('8.4 s', '2 min 05 s', '1 h 02 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
