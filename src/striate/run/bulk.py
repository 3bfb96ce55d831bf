"""Predictions of any number of items into one file: in parts, resumable, by several processes.

Beside the file lies a folder, `.NAME.parts`, until it is finished: `plan.json` says what is predicted
with what, and each part of the rows is a file whose name holds its number, how many of its items
could not be read, and its SHA-256. What a part holds depends on nothing but the plan, so the parts
may be computed by any processes in any order, and again where one is damaged.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from striate.data.source import Item, Reading, Skip, Source
from striate.errors import MachineError, OptionError, RunError, StoppedError, one_line
from striate.files import (
    FileInUseError,
    atomic_file,
    check_output,
    file_lock,
    read_sealed_json,
    sealed_json,
    sha256,
    storage_error,
    write_atomic,
)
from striate.progress import Progress, ProgressLike, Tracker, as_progress
from striate.run.folder import PREDICTIONS
from striate.run.predictor import FEW
from striate.run.tables import Table, table_for
from striate.tasks.prediction import Prediction

if TYPE_CHECKING:
    from striate.run.run import Run

PART_ROWS: Final = 1024
"""Rows of a part, about: what a kill costs at most."""

PLAN: Final = "plan.json"

MAX_TOLD: Final = 20
"""Items that cannot be read and are told one by one; of more the number is told."""

_PATIENCE: Final = 600.0
"""Seconds that one process waits for a part of another."""

_LOOK_EVERY: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class Written:
    """A finished file of predictions.

    Attributes:
        path: The file.
        num_items: Number of its rows: one for each item, in order.
        num_unreadable: Those of them that hold a reason and no prediction; a process that is not the
            first tells of those that it knows of.
    """

    path: Path
    num_items: int
    num_unreadable: int

    def as_json(self) -> dict[str, Any]:
        """The document of `striate predict --out FILE --json`."""
        counts = {"items": self.num_items, "unreadable": self.num_unreadable}
        return {"written": str(self.path), **counts}

    def as_text(self) -> str:
        """A line for a person."""
        unread = f", {self.num_unreadable} of them unreadable" * bool(self.num_unreadable)
        return f"{self.num_items} predictions written to {self.path}{unread}"


def predict_to_file(
    run: Run,
    inputs: Any,
    out: Path,
    *,
    option: str = "out",
    suffix: str | None = None,
    resume: bool = False,
    progress: ProgressLike = None,
    process: int = 0,
    num_processes: int = 1,
    part_rows: int = PART_ROWS,
) -> Written:
    """Write what a run predicts for any number of items; see `Run.predict_to_file`.

    Args:
        run: The run.
        inputs: What `Run.predict` takes.
        out: The file.
        option: What the option is called that names it.
        suffix: The end of the name of such files, where the file's own does not say what it is.
        resume: Go on with a file that was not finished.
        progress: Told of the work, and of what cannot be read.
        process: Number of this process among those that write this file together. The first
            waits for the others and joins the parts.
        num_processes: How many there are. Each is given the same inputs and sees the same files.
        part_rows: Rows of a part; it is rounded up to whole batches.

    Raises:
        OptionError: The file is no table that can be written, replaces one of the user's, or an
            unfinished one is there that is of other inputs or is not to be gone on with.
        DataError: There is nothing to predict.
        RunError: Another process writes the file.
        StorageError: It cannot be written.
        MachineError: Another of the processes has ended.
    """
    table = table_for(suffix or out.suffix, out, run.task, run.classes)
    given = inputs if isinstance(inputs, list | tuple) else [inputs]
    there = out.is_file() and out.stat().st_size > 0
    check_output(
        out,
        [*given, run.folder.path / PREDICTIONS],
        option,
        ours=there and table.wrote(out),
        makes_folder=True,
    )
    source = run.open(inputs)
    work = _Work.of(run, source, table, part_rows)
    parts = _Parts(out, work.plan())
    told = as_progress(progress)
    try:
        with parts.opened(resume, process):
            done = parts.done()
            mine = [number for number in range(work.num_parts) if number % num_processes == process]
            todo = [number for number in mine if number not in done]
            if len(todo) < len(mine):
                told.say(f"{len(mine) - len(todo)} of {len(mine)} parts are there already")
            known = done | work.write(todo, parts, told)
            if process == 0:
                parts.wait(work.num_parts)
                known = parts.done()
                parts.join(work.num_parts, table)
        num_unreadable = sum(part.unreadable for part in known.values())
        written = Written(path=out, num_items=work.num_rows, num_unreadable=num_unreadable)
        if process == 0:
            parts.remove()
    except KeyboardInterrupt:
        raise StoppedError from None
    return written


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is to be predicted, cut into parts.

    Attributes:
        run: The run.
        source: The items.
        table: How rows are written.
        rows: Rows of a part.
    """

    run: Run
    source: Source
    table: Table
    rows: int

    @classmethod
    def of(cls, run: Run, source: Source, table: Table, rows: int) -> _Work:
        batch = run.predictor.inputs.batch_size or 1
        return cls(run=run, source=source, table=table, rows=-(-rows // batch) * batch)

    @property
    def num_rows(self) -> int:
        """Number of all rows: what was left out comes first, as in `Run.predict`."""
        return len(self.source.listing.skipped) + len(self.source.listing.items)

    @property
    def num_parts(self) -> int:
        return max(1, -(-len(self.source.listing.items) // self.rows))

    def items(self, number: int) -> Sequence[Item]:
        """The items of a part."""
        return self.source.listing.items[number * self.rows : (number + 1) * self.rows]

    def plan(self) -> dict[str, Any]:
        """What the content of the parts depends on."""
        ids = hashlib.sha256()
        listing = self.source.listing
        for name in chain((s.id for s in listing.skipped), (i.id for i in listing.items)):
            ids.update(json.dumps(name).encode() + b"\n")
        record = self.run.record
        return {
            "run": sha256(record.model_dump_json().encode()),
            "engine": self.run.engine,
            "items": self.num_rows,
            "ids": ids.hexdigest(),
            "table": self.table.suffix,
            "rows": self.rows,
        }

    def write(self, numbers: Sequence[int], parts: _Parts, progress: Progress) -> dict[int, _Part]:
        """Compute some parts, reading ahead from one to the next; what was written, by number."""
        items = chain.from_iterable(map(self.items, numbers))
        stream = self.run.read(self.source, items)
        total = sum(len(self.items(number)) for number in numbers)
        told, written = _Told(progress), {}
        with progress.track("predicting", total) as tracker:
            for number in numbers:
                left_out = self.source.listing.skipped if number == 0 else ()
                unread = self.run.task.prediction_type
                reading = islice(stream, len(self.items(number)))
                found = [unread(item=skip.id, reason=skip.reason) for skip in left_out]
                found += self._answered(reading, tracker)
                told.unreadable(found)
                content = self.table.part([self._row(p) for p in found])
                written[number] = parts.write(number, content, found)
        told.end()
        return written

    def _answered(
        self, read: Iterator[tuple[Item, Reading | Skip]], tracker: Tracker
    ) -> Iterator[Prediction]:
        together = len(self.source.listing.items) > FEW
        for prediction in self.run.answered(read, together=together):
            tracker.advance()
            yield prediction

    def _row(self, prediction: Prediction) -> list[str | float]:
        if prediction.reason is None:
            cells = self.run.task.cells(prediction)
        else:
            cells = [""] * (len(self.table.columns) - 2)
        return [prediction.item, *cells, prediction.reason or ""]


class _Told:
    """Tells which items cannot be read, of many the first ones and how many there are."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._count = progress, 0

    def unreadable(self, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            if prediction.reason is None:
                continue
            self._count += 1
            if self._count <= MAX_TOLD:
                name, reason = one_line(prediction.item), one_line(prediction.reason)
                self._progress.say(f"cannot read {name}: {reason}")

    def end(self) -> None:
        if self._count > MAX_TOLD:
            self._progress.say(f"{self._count} items in all cannot be read; the file says why")


@dataclass(frozen=True)
class _Part:
    """A part that is there.

    Attributes:
        path: Its file.
        unreadable: How many of its items could not be read.
        sha256: The SHA-256 that the file had when it was written.
    """

    path: Path
    unreadable: int
    sha256: str

    def content(self) -> bytes | None:
        """What the file holds; None where it is not as it was written."""
        content = self.path.read_bytes()
        return content if sha256(content) == self.sha256 else None


class _Parts:
    """The folder of the parts of a file.

    Args:
        out: The file.
        plan: What the parts are of.
    """

    _NAME: Final = re.compile(r"(\d{7})-(\d+)-([0-9a-f]{64})")

    def __init__(self, out: Path, plan: dict[str, Any]) -> None:
        self.out, self._plan = out, plan
        self.folder = out.with_name(f".{out.name}.parts")

    @contextmanager
    def opened(self, resume: bool, process: int) -> Iterator[None]:
        """Hold the folder for this process, with its plan written, and checked by the first one."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(self.out, None, error, fix="choose another name") from None
        try:
            with file_lock(self.folder / f"process-{process}.lock"):
                if process == 0:
                    self._begin(resume)
                else:
                    self._until(lambda: self._read_plan() == self._plan)
                yield
        except FileInUseError as error:
            raise RunError(
                f"{str(self.out)!r} is being written by process {error.owner}",
                fix="wait for it to end, or choose another name",
            ) from None

    def _begin(self, resume: bool) -> None:
        earlier = self._read_plan()
        if earlier is not None and not resume:
            raise OptionError(
                "out",
                str(self.out),
                why="an unfinished one is there",
                fix=f"go on with `resume=True`, or remove {str(self.folder)!r}",
            )
        if earlier is None:
            for part in self.folder.glob("*-*"):
                if self._NAME.fullmatch(part.name):
                    part.unlink()
            write_atomic(self.folder / PLAN, sealed_json(self._plan))
        elif changed := [key for key, value in self._plan.items() if earlier.get(key) != value]:
            raise OptionError(
                "out",
                str(self.out),
                why=f"an unfinished one is there, of other {', '.join(changed)}",
                fix=f"choose another name, or remove {str(self.folder)!r}",
            )

    def _read_plan(self) -> dict[str, Any] | None:
        try:
            return read_sealed_json((self.folder / PLAN).read_bytes())
        except FileNotFoundError:
            return None

    def done(self) -> dict[int, _Part]:
        """The parts that are there, by their numbers."""
        found = [match for path in self.folder.iterdir() if (match := self._match(path))]
        return {
            int(match[1]): _Part(self.folder / match[0], int(match[2]), match[3]) for match in found
        }

    def _match(self, path: Path) -> re.Match[str] | None:
        return self._NAME.fullmatch(path.name)

    def write(self, number: int, content: bytes, predictions: Sequence[Prediction]) -> _Part:
        """Write a part, whole or not at all."""
        unreadable = sum(prediction.reason is not None for prediction in predictions)
        digest = sha256(content)
        path = self.folder / f"{number:07}-{unreadable}-{digest}"
        write_atomic(path, content)
        return _Part(path=path, unreadable=unreadable, sha256=digest)

    def wait(self, count: int) -> None:
        """Wait until every part is there.

        Raises:
            MachineError: None has come for a long time.
        """
        while (there := len(self.done())) < count:
            self._until(lambda there=there: len(self.done()) > there)

    def _until(self, ready: Any) -> None:
        end = time.monotonic() + _PATIENCE
        while not ready():
            if time.monotonic() > end:
                raise MachineError(
                    f"another process that writes {str(self.out)!r} with this one has ended",
                    why=f"nothing came from it for {_PATIENCE:g} s",
                    fix="go on with `resume=True`, with any number of processes",
                )
            time.sleep(_LOOK_EVERY)

    def join(self, count: int, table: Table) -> None:
        """Write the file of all parts, at once.

        Raises:
            RunError: A part is not as it was written; it is removed, so that it is computed anew.
        """
        done = self.done()
        with atomic_file(self.out, folder=self.folder) as file:
            table.join((self._content(done[number]) for number in range(count)), file)

    def _content(self, part: _Part) -> bytes:
        content = part.content()
        if content is None:
            part.path.unlink()
            raise RunError(
                f"{str(part.path)!r} is not as it was written",
                fix="go on with `resume=True`, which computes this part again",
            )
        return content

    def remove(self) -> None:
        """Remove the folder; the file is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)
