"""`export`: a finished run as a file for an inference engine, checked to answer as the run does."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data import snapshot as lock
from striate.data.layouts import open_source
from striate.data.source import Reading, Skip
from striate.engines import Engine, Session, load_engines
from striate.engines.engine import first_line
from striate.errors import ArgumentError, EngineError, StriateError, one_line
from striate.files import size_text, storage_error, write_atomic
from striate.metrics import NumberCalibration
from striate.progress import Progress
from striate.run.exportable import deployment_of
from striate.run.folder import LOCK
from striate.run.predictor import BATCH_SIZE, FeedPredictor, ImagePredictor
from striate.run.run import Run, stacked
from striate.typing import PathLike

Outputs: TypeAlias = tuple[NDArray[Any], ...]
"""Uncalibrated outputs, and probabilities or numbers."""

FOLDER: Final = "export"
"""Of a run, for exported files."""

TOLERANCE: Final = 1e-4
"""Difference of outputs, relative to the greatest output or to 1, beyond which a file is refused."""

MOST_CHECKED: Final = 512
"""Test items that are answered by both, spread over all."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """How a file's answers compare with the run's.

    Attributes:
        items: what was answered by both: "test items", or "random inputs".
        count: how many.
        same: with the same most probable class; of numbers, those that differ by no more than
            `TOLERANCE`.
        largest: difference of an output, relative to the greatest output or to 1.
    """

    items: str
    count: int
    same: int
    largest: float

    @property
    def passed(self) -> bool:
        """Whether the file may be used in the run's place."""
        return self.same == self.count and self.largest <= TOLERANCE

    def as_text(self) -> str:
        """A line for a person."""
        return (
            f"{self.same} of {self.count} {self.items} answered the same; outputs differ by at most "
            f"{self.largest:.1e}"
        )


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file for an inference engine.

    Attributes:
        path: of the file.
        files: all that belong to it; the card is the last.
        engine: that reads it.
        card: what a user of the file must know.
        check: of its answers.
    """

    path: Path
    files: tuple[Path, ...]
    engine: Engine
    card: dict[str, Any]
    check: Check

    def as_text(self) -> str:
        """What was written, and how it is used."""
        size = sum(path.stat().st_size for path in self.files)
        lines = [f"{self.path} ({size_text(size)}, for {self.engine.reader})", self.check.as_text()]
        given = self.card["input"]
        lines.append(
            f"input {given['name']}: {given['type']} {_shape(given['shape'])}, {given['means']}"
        )
        lines += [
            f"output {output['name']}: float32 {_shape(output['shape'])}, {output['means']}"
            for output in self.card["outputs"]
        ]
        lines.append(f"all of this and the classes: {self.files[-1]}")
        return "\n".join(lines)


def export(
    run: PathLike,
    to: str,
    *,
    out: PathLike | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a finished run into a file that answers without Striate, and check its answers.

    The file takes pixels of 0 to 255 (of other kinds: what the feed makes of an item) and gives
    calibrated probabilities, or numbers. It is refused where it answers a test item otherwise than
    the run.

    Args:
        run: its folder.
        to: name of the engine.
        out: where to write; by default `export/model` in the run's folder.
        progress: is told of the work.

    Raises:
        UnknownNameError: there is no such engine.
        ArgumentError: `out` does not end as the engine's files do.
        MissingExtraError: the engine is not installed.
        RunError: there is no finished run.
        EngineError: the engine cannot take the network, or answers otherwise.
        StorageError: the file cannot be written.
    """
    progress = progress or Progress(quiet=True)
    engine = load_engines().get(to)
    engine.require()
    trained = Run(run, device="cpu")
    path = Path(out) if out else trained.folder.path / FOLDER / f"model{engine.suffix}"
    if path.suffix != engine.suffix:
        raise ArgumentError(f"--out {str(path)!r}", fix=f"let it end in {engine.suffix}")
    deployment = deployment_of(trained)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            part = Path(folder) / path.name
            progress.say(f"writing {path.name} for {engine.reader}")
            engine.write(deployment, part)
            check = _checked(engine.load(part), trained, deployment.example, progress)
            if not check.passed:
                raise EngineError(f"{engine.reader} answers otherwise", why=check.as_text())
            files = []
            for file in sorted(Path(folder).iterdir()):
                files.append(file.replace(path.with_name(file.name)))
    except OSError as error:
        raise storage_error(path, 0, error) from None
    card = {**deployment.card, "check": asdict(check)}
    card_path = path.with_name(f"{path.name}.json")
    write_atomic(card_path, json.dumps(card, indent=2, ensure_ascii=False).encode())
    return Exported(path=path, files=(*files, card_path), engine=engine, card=card, check=check)


def _checked(session: Session, trained: Run, example: Tensor, progress: Progress) -> Check:
    """Both answers to the run's test items, or to noise where they cannot be read."""
    items, pairs = "test items", _answered(session, trained, _test_batches(trained, progress))
    if not pairs:
        progress.say("random inputs take the place of the test items")
        items, pairs = "random inputs", _answered(session, trained, _noise(example))
    raw, answers = (
        tuple(np.concatenate([side[place] for side in sides]) for sides in zip(*pairs, strict=True))
        for place in (0, 1)
    )
    apart = np.maximum(_apart(*raw), _apart(*answers))
    same = _same_class(*raw) if trained.classes else apart <= TOLERANCE
    return Check(items=items, count=len(apart), same=int(same.sum()), largest=float(apart.max()))


def _answered(
    session: Session, trained: Run, batches: Iterable[Tensor]
) -> list[tuple[Outputs, Outputs]]:
    """What the run and the file answer to each batch."""
    pairs = []
    for batch in batches:
        try:
            answered = session(batch.numpy())
        except Exception as error:  # every engine has errors of its own
            raise EngineError("the file does not answer", why=first_line(error)) from error
        pairs.append((_expected(trained, batch), answered))
    return pairs


def _apart(expected: NDArray[Any], got: NDArray[Any]) -> NDArray[np.float64]:
    """(items,) greatest difference of each item, relative to the greatest number or to 1."""
    differences = np.abs(expected.astype(np.float64) - got).reshape(len(expected), -1).max(1)
    return np.asarray(differences / max(1.0, float(np.abs(expected).max())))


def _same_class(expected: NDArray[Any], got: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(expected.argmax(1) == got.argmax(1))


def _expected(trained: Run, inputs: Tensor) -> Outputs:
    """The run's own outputs, and the probabilities or numbers that it makes of them."""
    predictor = trained.predictor
    if isinstance(predictor, ImagePredictor):
        outputs = predictor.outputs(inputs)
    else:
        with torch.inference_mode():
            outputs = predictor.network(inputs).float()
    calibration = predictor.calibration
    if isinstance(calibration, NumberCalibration):
        return outputs.numpy(), calibration.numbers(outputs.numpy())
    return outputs.numpy(), predictor.probabilities(outputs)


def _test_batches(trained: Run, progress: Progress) -> Iterator[Tensor]:
    """Inputs of test items; none, and a word about it, where the data are gone."""
    try:
        source = open_source(trained.record.data)
        locked = lock.from_json(trained.folder.read_json(LOCK))
    except StriateError as error:
        progress.say(f"the test items cannot be read: {one_line(str(error))}")
        return
    names = [item.id for item in locked.items if item.split == "test"]
    count = min(MOST_CHECKED, len(names))
    chosen = {names[len(names) * i // count] for i in range(count)}
    items = [item for item in source.listing.items if item.id in chosen]
    readings: list[Reading] = []
    with progress.track("checking", len(items), "items") as tracker:
        for _, reading in trained.read(source, items):
            tracker.advance()
            if isinstance(reading, Skip):
                continue
            readings.append(reading)
            if len(readings) == BATCH_SIZE:
                yield _batch(trained, readings)
                readings = []
    if readings:
        yield _batch(trained, readings)


def _noise(example: Tensor) -> Iterator[Tensor]:
    """Random inputs like the example, in batches of different sizes."""
    generator = torch.Generator().manual_seed(0)
    shape = (2 * BATCH_SIZE, *example.shape[1:])
    if example.dtype == torch.uint8:
        noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    else:
        noise = torch.randn(shape, generator=generator)
    yield from torch.split(noise, BATCH_SIZE - 1)


def _batch(trained: Run, readings: Sequence[Reading]) -> Tensor:
    """Inputs of the file."""
    predictor = trained.predictor
    if isinstance(predictor, FeedPredictor):
        inputs = predictor.feed.inputs(readings)
        assert isinstance(inputs, Tensor), "deployment_of refuses others"
        return inputs
    return stacked(readings)


def _shape(sizes: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, sizes))})"
