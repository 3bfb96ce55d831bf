"""The run folder: all that a run leaves behind, read and written."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from striate.errors import RunError, StorageError, nearest
from striate.files import csv_text, unescape_cell, write_atomic
from striate.typing import Kind

RUN: Final = "run.json"
LOCK: Final = "data.lock.json"
MODEL: Final = "model.safetensors"
HISTORY: Final = "history.csv"
PREDICTIONS: Final = "predictions.csv"
REPORT_JSON: Final = "report.json"
REPORT_HTML: Final = "report.html"
CHECKPOINTS: Final = "checkpoints"

FORMAT: Final = 1


class ModelRecord(BaseModel):
    """Which network the weights belong to.

    Attributes:
        name: what `create_model` takes.
        options: its further arguments.
        sha256: of the file of the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any]
    sha256: str


class PreprocessingRecord(BaseModel):
    """How an item becomes the network's input.

    Attributes:
        mean: per channel, in units of a full scale of 1.
        std: likewise.
        image_size: the shorter side is resized to this, and the central square taken.
        symmetry: the set of symmetries whose logits are averaged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    symmetry: str


class FeedRecord(BaseModel):
    """How a signal, a volume or a graph becomes the network's input.

    Attributes:
        feed: what the kind's feed needs to be made again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feed: dict[str, Any]


class NumbersRecord(BaseModel):
    """How outputs become numbers: mean + std * output, plus and minus `half_width`.

    Attributes:
        mean: of the training targets.
        std: of the training targets.
        half_width: of the prediction interval; None where there is none.
        level: share of new items whose number it is to hold.
        num_items: held-out items that it was taken from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    std: float
    half_width: float | None = None
    level: float | None = None
    num_items: int | None = None


class RunRecord(BaseModel):
    """`run.json`: what is needed to use the model, and to know how it came to be.

    Probabilities are softmax(logits / temperature + bias), without the bias where it is empty; where
    numbers are predicted there are no classes, and `numbers` says how they are read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    striate: str
    task: str
    kind: Kind
    data: str
    classes: tuple[str, ...]
    model: ModelRecord
    preprocessing: PreprocessingRecord | FeedRecord
    method: str
    temperature: float = 1.0
    bias: tuple[float, ...] = ()
    numbers: NumbersRecord | None = None
    config: dict[str, Any]
    seed: int
    device: str
    versions: dict[str, str]
    command: list[str]
    created: str


class RunFolder:
    """A run folder on disk.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make the folder, and make sure that files can be written to it.

        Raises:
            StorageError: it cannot be made or written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StorageError(
                f"cannot write to the run folder {str(path)!r}",
                why=error.strerror or str(error),
                fix="choose another folder with --out",
            ) from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A folder that holds a finished run.

        Raises:
            RunError: there is none; the nearest names beside it are suggested.
        """
        if not (path / RUN).is_file():
            raise RunError(
                f"no finished run at {str(path)!r}", why=f"{RUN} is missing", fix=_suggestion(path)
            )
        return cls(path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises:
            RunError: another process holds it.
        """
        with (self.path / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                owner = file.read().strip() or "another program"
                raise RunError(
                    f"run folder {str(self.path)!r} is in use by process {owner}",
                    fix="wait for it to end, or choose another folder with --out",
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
            file.truncate(0)

    def record(self) -> RunRecord:
        """The content of `run.json`.

        Raises:
            RunError: it is damaged, or of another version of the format.
        """
        path = self.path / RUN
        try:
            return RunRecord.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RunError(
                f"cannot read {str(path)!r}", why=f"{where} {first['msg']}".strip()
            ) from None

    def write_record(self, record: RunRecord) -> None:
        """Write `run.json`."""
        self.write_json(RUN, record.model_dump(mode="json"))

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of the folder.

        Raises:
            RunError: it is missing or no JSON.
        """
        path = self.path / name
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {str(path)!r}", why=str(error)) from None

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file of the folder; NaN and infinities are refused."""
        text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=True)
        write_atomic(self.path / name, text.encode())

    def write_csv(
        self, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        """Write a CSV file of the folder; no cell can be taken for a formula."""
        write_atomic(self.path / name, csv_text(columns, rows).encode())

    def read_csv(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file of the folder, by column."""
        with (self.path / name).open(newline="", encoding="utf-8") as file:
            return [
                {column: unescape_cell(cell) for column, cell in row.items()}
                for row in csv.DictReader(file)
            ]

    def finished(self) -> bool:
        """Whether a run has ended in this folder."""
        return (self.path / RUN).is_file() and (self.path / REPORT_JSON).is_file()


def next_folder(parent: Path, name: str) -> Path:
    """The first of `name-1`, `name-2`, ... that is not there yet."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def last_folder(parent: Path, name: str) -> Path:
    """The last of `name-1`, `name-2`, ... that is there; the first where there is none."""
    number = 1
    while (parent / f"{name}-{number + 1}").exists():
        number += 1
    return parent / f"{name}-{number}"


def _suggestion(path: Path) -> str:
    if (path / CHECKPOINTS).is_dir():
        return "it was interrupted: go on with the same `striate fit` command and --resume"
    parent = path.parent
    names = [p.name for p in parent.iterdir() if (p / RUN).is_file()] if parent.is_dir() else []
    near = nearest(path.name, names) or sorted(names)[:3]
    if near:
        return "did you mean " + " or ".join(repr(str(parent / n)) for n in near) + "?"
    return "make one with `striate fit DATA`"
