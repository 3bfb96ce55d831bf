"""Progress of long work: a bar with rate and time left, or plain lines without a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO


class Tracker(Protocol):
    """Counts finished units of one piece of work."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more units are done; `note` is shown beside the rate (a loss, say)."""


class Progress:
    """Reports to a person: messages and the progress of long work.

    Everything goes to standard error, so that standard output stays free for results.

    Args:
        stream: where to write.
        quiet: write nothing at all.
        interval: seconds between plain lines where the stream is no terminal.
    """

    def __init__(
        self, stream: TextIO | None = None, *, quiet: bool = False, interval: float = 10.0
    ) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.quiet = quiet
        self.interval = interval

    def say(self, message: str) -> None:
        """Print one line."""
        if not self.quiet:
            print(message, file=self.stream, flush=True)

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
            self._print(now)

    def close(self) -> None:
        self._print(time.monotonic())

    def _print(self, now: float) -> None:
        elapsed = max(now - self.start, 1e-9)
        rate = self.done / elapsed
        of = f"/{self.total}" if self.total is not None else ""
        left = ""
        if self.total is not None and self.done < self.total and rate > 0:
            left = f", {duration((self.total - self.done) / rate)} left"
        note = f", {self.note}" if self.note else ""
        self.progress.say(
            f"{self.label}: {self.done}{of} {self.unit}, {rate:.3g}/s, {duration(elapsed)}{left}{note}"
        )


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
                rich.update(task, advance=count, rate=f"{rate:.3g}/s")
                if note:
                    rich.update(task, note=note)

        yield Bar()


def duration(seconds: float) -> str:
    """Seconds as a person writes them: `8.4 s`, `2 min 05 s`, `1 h 02 min`.

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
