"""What lies beside an exported ONNX file of pictures: one that takes whole pictures, and its reader.

`pictures.onnx` takes uint8 pictures of any height and width; `predict.py` reads files for it;
`parity.json` says how far the answers of both are from those of the run, for test items and for
odd files.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from striate.data import snapshot as lock
from striate.data.layouts.layout import open_source
from striate.engines.onnx_pictures import PictureShape, add_pictures
from striate.errors import EngineError, StriateError
from striate.files import check_output, write_atomic
from striate.run.deployment.check import (
    TOLERANCE,
    Agreement,
    Decided,
    judged_decisions,
    judged_novelty,
    judged_promise,
)
from striate.run.deployment.novelty import OUTPUT
from striate.run.folder import LOCK
from striate.run.run import Run
from striate.tasks.prediction import Prediction

FILE: Final = "pictures.onnx"
READER: Final = "predict.py"
PARITY: Final = "parity.json"

MOST_FILES: Final = 32
"""Test items that are answered by both, spread over all."""

NOVELTY_TOLERANCE: Final = 0.05
"""Difference of a novelty that is allowed of whole pictures, relative to its size or to 1; of the
largest ones, single levels of the pixels differ."""

_ORIENTATION: Final = 0x0112
"""Number of the tag in EXIF that says how a picture is turned."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How the answers of `predict.py` compare with those of the run.

    Attributes:
        files: Number of pictures that both answered, by what they are: "test items" and odd ones.
        same: How many got the same class, labels or verdict; of a number every one.
        largest: The largest difference of a probability, or of a number relative to the largest
            or to 1.
        worst: What the picture of that difference is.
        beside: Of what is told beside the answers: the class or labels that are decided on, sets of
            classes or intervals, and whether an item is unknown.
    """

    files: dict[str, int]
    same: int
    largest: float
    worst: str
    beside: tuple[Agreement, ...]

    def faults(self) -> str:
        """Why the file may not be used; empty where it may."""
        if self.largest > TOLERANCE:
            return f"answers differ by {self.largest:.1e} ({self.worst}), {TOLERANCE:g} is allowed"
        wrong = (agreement for agreement in self.beside if not agreement.passed)
        return "; ".join(f"{one.as_text()} of {one.count} pictures" for one in wrong)


def check_pictures(path: Path) -> None:
    """Make sure that no file of the user's is where `write_pictures` writes.

    Args:
        path: The ONNX file.

    Raises:
        ArgumentError: There is one.
    """
    ours = path.with_name(PARITY).is_file()
    for name in (FILE, READER, PARITY):
        check_output(path.with_name(name), [], "out", ours=ours, makes_folder=True)


def write_pictures(run: Run, path: Path, card: dict[str, Any], *, force: bool) -> list[Path]:
    """Write what takes whole pictures beside an ONNX file; nothing where the run takes no photos.

    Args:
        run: The run of the file.
        path: The ONNX file, which takes what the network sees of a picture.
        card: Its card.
        force: Whether a file that answers otherwise is kept.

    Returns:
        The files written, the certificate last.

    Raises:
        EngineError: It answers otherwise than the run; nothing is left.
    """
    given = card["input"].get("pictures")
    if given is None:
        return []
    shape = PictureShape(
        size=given["size"],
        max_aspect=given["max_aspect"],
        frame=tuple(given["frame"]),
        fill=None if given["fill"] is None else tuple(given["fill"]),
    )
    files = [path.with_name(name) for name in (FILE, READER, PARITY)]
    add_pictures(path, files[0], shape, card["input"]["name"])
    parity = parity_of(run, files[0])
    if (faults := parity.faults()) and not force:
        files[0].unlink()
        raise EngineError(
            f"{FILE} answers otherwise",
            why=faults,
            fix=f"use {path.name}, or keep the file with `force=True`",
        )
    write_atomic(files[1], Path(__file__).with_name("picture_reader.py").read_bytes())
    text = json.dumps(asdict(parity), indent=2, ensure_ascii=False)
    write_atomic(files[2], text.encode())
    return files


def parity_of(run: Run, path: Path) -> Parity:
    """How the file's answers compare with the run's, for test items and for odd pictures."""
    from striate.run.deployment import picture_reader  # needs ONNX Runtime

    session, card = picture_reader.load(path)
    counts: dict[str, int] = {}
    same, largest, worst = 0, 0.0, ""
    answers, told = [], []
    with tempfile.TemporaryDirectory() as folder:
        for what, picture in _pictures(run, Path(folder)):
            (expected,) = run.predict(picture)
            if expected.reason is not None:
                continue
            found = picture_reader.predict(picture, session, card)
            wanted, got = expected.numbers(), _values(found["answer"])
            apart = float(np.abs(wanted - got).max()) / max(1.0, float(np.abs(wanted).max()))
            alike = _decided(expected.to_json()) == _decided(found)
            counts[what] = counts.get(what, 0) + 1
            same += alike
            if apart >= largest:
                largest, worst = apart, what
            answers.append((wanted, got))
            told.append((expected, found))
    return Parity(
        files=counts, same=same, largest=largest, worst=worst, beside=_beside(run, answers, told)
    )


def _decided(told: dict[str, Any]) -> Decided:
    """What is decided of a picture, by its prediction as JSON or by what the reader tells."""
    return told.get("label"), told.get("undecided"), told.get("labels")


def _values(answer: dict[str, float] | float) -> NDArray[np.float64]:
    return np.array(list(answer.values()) if isinstance(answer, dict) else [answer], np.float64)


def _beside(
    run: Run,
    answers: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    told: Sequence[tuple[Prediction, dict[str, Any]]],
) -> tuple[Agreement, ...]:
    """How what the file tells beside its answers compares with what the run says."""
    found = []
    promise = run.calibration.promise
    wanted, got = (np.array(side) for side in zip(*answers, strict=True))
    decided = [_decided(expected.to_json()) for expected, _ in told]
    if any(map(any, decided)):
        outputs = torch.from_numpy(run.calibration.outputs_of(got if run.classes else got[:, 0]))
        names = [str(number) for number in range(len(got))]
        asked = run.task.predictions(names, outputs, run.calibration, run.classes)
        found.append(
            judged_decisions(
                decided,
                [_decided(entry) for _, entry in told],
                [_decided(one.to_json()) for one in asked],
            )
        )
    if promise is not None:
        given = [promise.read(entry[promise.name], run.classes) for _, entry in told]
        found.append(judged_promise(promise, wanted, got, np.array(given)))
    if OUTPUT in told[0][1]:
        pairs = [(expected.novelty, entry[OUTPUT]) for expected, entry in told]
        expected, given = np.array(pairs, np.float64).T
        found.append(judged_novelty(expected, given, tolerance=NOVELTY_TOLERANCE))
    return tuple(found)


def _pictures(run: Run, folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of test items, then odd pictures that are made of one of them, or of noise."""
    files = _test_files(run)
    yield from (("test items", path) for path in files)
    if files:
        with Image.open(files[0]) as opened:
            picture = opened.convert("RGB")
    else:
        noise = np.random.default_rng(0).integers(0, 256, (160, 200, 3), np.uint8)
        picture = Image.fromarray(noise)
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    picture.save(folder / "rotated.jpg", exif=exif)
    picture.convert("L").save(folder / "grey.png")
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    alpha = picture.copy()
    alpha.putalpha(picture.convert("L"))
    alpha.save(folder / "alpha.png")
    picture.resize((17, 11)).save(folder / "tiny.png")
    picture.resize((3000, 2000)).save(folder / "huge.jpg")
    for name in ("rotated.jpg", "grey.png", "cmyk.jpg", "alpha.png", "tiny.png", "huge.jpg"):
        yield name, folder / name


def _test_files(run: Run) -> list[Path]:
    """Files of test items, spread over all; none where the data are gone or no files."""
    try:
        source = open_source(run.record.data, run.record.kind)
        locked = lock.from_json(run.folder.read_json(LOCK))
    except StriateError:
        return []
    names = set(locked.tested())
    paths = [source.path(item) for item in source.listing.items if item.id in names]
    found = [path for path in paths if path is not None]
    count = min(MOST_FILES, len(found))
    return [found[len(found) * i // count] for i in range(count)]
