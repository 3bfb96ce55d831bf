"""`export`: a finished run as a file for an inference engine, checked to answer as the run does."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data import snapshot as lock
from striate.data.layouts.layout import open_source
from striate.data.source import Reading, Skip
from striate.engines import Deployment, Engine, Session, load_engines
from striate.engines.engine import library_errors
from striate.errors import EngineError, OptionError, StriateError, one_line
from striate.files import check_output, size_text, storage_error, write_atomic
from striate.kinds.inputs import Inputs
from striate.models import Network
from striate.nn.fuse import fold_batch_norm
from striate.progress import Progress, ProgressLike, as_progress
from striate.run.folder import LOCK
from striate.run.pictures.certified import FILE, READER, check_pictures, write_pictures
from striate.run.predictor import Described, averaged
from striate.run.run import Run
from striate.typing import PathLike

Outputs: TypeAlias = tuple[NDArray[Any], ...]
"""Uncalibrated outputs, and probabilities or numbers."""

FOLDER: Final = "export"
"""Of a run, for exported files."""

BATCH_SIZE: Final = 8
"""Items that are checked together."""

EXAMPLES: Final = 2
"""Items that a network is traced with; one would be taken for a constant."""

TOLERANCE: Final = 1e-3
"""Difference of a probability, or of a number relative to the greatest or to 1, that is refused.

Below it a class can differ only in a tie of the two.
"""

MOST_CHECKED: Final = 512
"""Test items that are answered by both, spread over all."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """How a file's answers compare with the run's.

    Attributes:
        items: what was answered by both: "test items", or "random inputs".
        count: How many.
        same: With the same class or labels; of numbers, those that differ by no more than
            `TOLERANCE`.
        largest: Largest difference of a probability, or of a number relative to the greatest or
            to 1. It decides.
        outputs: Largest difference of an uncalibrated output, relative to the greatest or to 1.
    """

    items: str
    count: int
    same: int
    largest: float
    outputs: float

    @property
    def passed(self) -> bool:
        """Whether the file may be used in the run's place."""
        return self.largest <= TOLERANCE

    @property
    def agrees(self) -> bool:
        """Whether, besides, every item has the same class or labels."""
        return self.passed and self.same == self.count

    def as_text(self) -> str:
        """A line for a person."""
        return (
            f"{self.same} of {self.count} {self.items} answered the same; predictions differ by at "
            f"most {self.largest:.1e} ({TOLERANCE:g} is allowed), outputs by {self.outputs:.1e}"
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

    def as_json(self) -> dict[str, Any]:
        """The document of `striate export --json`."""
        return {"files": [str(path) for path in self.files], **self.card}

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
        if path := next((path for path in self.files if path.name == FILE), None):
            reader = path.with_name(READER)
            lines.append(f"whole pictures of any size: {path}, read by `python {reader} PICTURE`")
        lines.append(f"all of this and the classes: {self.files[-1]}")
        return "\n".join(lines)


def export(
    run: Run,
    to: str,
    *,
    out: PathLike | None = None,
    force: bool = False,
    progress: ProgressLike = None,
) -> Exported:
    """Write a finished run into a file that answers without Striate, and check its answers.

    The file takes pixels of 0 to 255 (of other kinds: what the inputs make of an item) and gives
    calibrated probabilities, or numbers. It is refused where it answers a test item otherwise than
    the run: where a probability differs by more than 0.001.

    Args:
        run: The finished run.
        to: Name of the engine.
        out: Where to write; by default `export/model` in the run's folder.
        force: Whether a file that answers otherwise is kept; its card says by how much.
        progress: Told of the work.

    Raises:
        UnknownNameError: There is no such engine.
        ArgumentError: `out` does not end as the engine's files do, or is a file of the user's.
        MissingExtraError: The engine is not installed.
        RunError: The run's weights are missing or damaged.
        EngineError: The engine cannot take the network, or answers otherwise.
        StorageError: The file cannot be written.
    """
    progress = as_progress(progress)
    engine = load_engines().get(to)
    engine.require()
    on_cpu = Run(run.folder.path, device="cpu")
    path = Path(out) if out else run.folder.path / FOLDER / f"model{engine.suffix}"
    if path.suffix != engine.suffix:
        raise OptionError("out", str(path), fix=f"let it end in {engine.suffix}")
    card_path = path.with_name(f"{path.name}.json")
    check_output(path, [], "out", ours=card_path.is_file() or out is None)
    check_output(card_path, [], "out", ours=path.is_file() or out is None)
    if engine.takes_pictures and out is not None:
        check_pictures(path)
    deployment = deployment_of(on_cpu)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            part = Path(folder) / path.name
            progress.say(f"writing {path.name} for {engine.reader}")
            engine.write(deployment, part)
            check = compare_answers(engine.load(part), on_cpu, deployment.example, progress)
            if not (check.passed or force):
                others = (name for name in load_engines().names() if name != engine.name)
                raise EngineError(
                    f"{engine.reader} answers otherwise",
                    why=check.as_text(),
                    fix=f"export to {' or '.join(others)}, or keep the file with `force=True`",
                )
            files = [
                file.replace(path.with_name(file.name)) for file in sorted(Path(folder).iterdir())
            ]
    except OSError as error:
        raise storage_error(path, 0, error) from None
    card = {**deployment.card, "check": asdict(check)}
    write_atomic(card_path, json.dumps(card, indent=2, ensure_ascii=False).encode())
    if engine.takes_pictures:
        progress.say("writing the file that takes whole pictures")
        files += write_pictures(on_cpu, path, card, math.inf if force else TOLERANCE)
    files.append(card_path)
    return Exported(path=path, files=tuple(files), engine=engine, card=card, check=check)


def compare_answers(session: Session, trained: Run, example: Tensor, progress: Progress) -> Check:
    """Both answers to the run's test items, or to noise where they cannot be read.

    Args:
        session: Answers in the run's place.
        trained: The run, opened on the CPU.
        example: Inputs of a few items.
        progress: Told of the work.
    """
    items, pairs = "test items", _answered(session, trained, _test_batches(trained, progress))
    if not pairs:
        progress.say("random inputs take the place of the test items")
        items, pairs = "random inputs", _answered(session, trained, _noise(example))
    raw, answers = (
        tuple(np.concatenate([side[place] for side in sides]) for sides in zip(*pairs, strict=True))
        for place in (0, 1)
    )
    apart = np.maximum(_apart(*answers), _apart(answers[0], trained.calibration.answers(raw[1])))
    return Check(
        items=items,
        count=len(apart),
        same=int(_same(trained, raw, apart).sum()),
        largest=float(apart.max()),
        outputs=float(_apart(*raw).max()),
    )


def _answered(
    session: Session, trained: Run, batches: Iterable[Tensor]
) -> list[tuple[Outputs, Outputs]]:
    """What the run and the file answer to each batch."""
    pairs = []
    for batch in batches:
        with library_errors("the file does not answer"):
            answered = session(batch.numpy())
        pairs.append((_expected(trained, batch), answered))
    return pairs


def _apart(expected: NDArray[Any], got: NDArray[Any]) -> NDArray[np.float64]:
    """(items,) greatest difference of each item, relative to the greatest number or to 1."""
    differences = np.abs(expected.astype(np.float64) - got).reshape(len(expected), -1).max(1)
    return np.asarray(differences / max(1.0, float(np.abs(expected).max())))


def _same(
    trained: Run, raw: Sequence[NDArray[Any]], apart: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(items,) Whether both outputs mean the same class or labels, or a number that is as good."""
    ids = [str(number) for number in range(len(apart))]
    expected, got = (
        trained.task.predictions(
            ids, torch.from_numpy(outputs), trained.calibration, trained.classes
        )
        for outputs in raw
    )
    alike = [(a.label, a.labels) == (b.label, b.labels) for a, b in zip(expected, got, strict=True)]
    return np.array(alike) & (bool(trained.classes) | (apart <= TOLERANCE))


def _expected(trained: Run, inputs: Tensor) -> Outputs:
    """The run's own outputs, and the probabilities or numbers that it makes of them."""
    filled = inputs.clone()  # the answers must not change what the file is given
    with torch.inference_mode():
        outputs = trained.predictor.answers(filled).float().cpu().numpy()
    return outputs, trained.calibration.answers(outputs)


def _test_batches(trained: Run, progress: Progress) -> Iterator[Tensor]:
    """Inputs of test items; none, and a word about it, where the data are gone."""
    try:
        source = open_source(trained.record.data, trained.record.kind)
        locked = lock.from_json(trained.folder.read_json(LOCK))
    except StriateError as error:
        progress.say(f"the test items cannot be read: {one_line(str(error))}")
        return
    names = locked.tested()
    count = min(MOST_CHECKED, len(names))
    chosen = {names[len(names) * i // count] for i in range(count)}
    items = [item for item in source.listing.items if item.id in chosen]
    inputs = trained.predictor.inputs
    readings: list[Reading] = []
    with progress.track("checking", len(items), "items") as tracker:
        for _, reading in trained.read(source, items):
            tracker.advance()
            if isinstance(reading, Skip):
                continue
            readings.append(reading)
            if len(readings) == BATCH_SIZE:
                yield inputs.inputs(readings)
                readings = []
    if readings:
        yield inputs.inputs(readings)


def _noise(example: Tensor) -> Iterator[Tensor]:
    """Random inputs like the example, in batches of different sizes."""
    generator = torch.Generator().manual_seed(0)
    shape = (2 * BATCH_SIZE, *example.shape[1:])
    if example.dtype == torch.uint8:
        noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    else:
        noise = torch.randn(shape, generator=generator)
    yield from torch.split(noise, BATCH_SIZE - 1)


def _shape(sizes: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, sizes))})"


class Answering(nn.Module):
    """From what `Inputs.inputs` gives to uncalibrated outputs and the answers that they mean.

    Args:
        network: In evaluation mode.
        inputs: Normalize, and say which symmetries are averaged.
        calibration: From outputs to answers.
    """

    def __init__(self, network: Network, inputs: Inputs[Any], calibration: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.calibration = calibration
        self._inputs = inputs

    def forward(
        self, inputs: Shaped[Tensor, "n c *space"]
    ) -> tuple[Float[Tensor, "n outputs"], Tensor]:
        """Uncalibrated outputs, and probabilities or numbers."""
        outputs = self.described(inputs).outputs
        return outputs, self.calibration(outputs)

    def described(self, inputs: Shaped[Tensor, "n c *space"]) -> Described:
        """Uncalibrated outputs and features."""
        return averaged(self.network, self._inputs.views(self._inputs.normalized(inputs)))


class Describing(Answering):
    """The same, and the features by which it is told how strange an item is."""

    def forward(  # type: ignore[override]  # one output more
        self, inputs: Shaped[Tensor, "n c *space"]
    ) -> tuple[Float[Tensor, "n outputs"], Tensor, Float[Tensor, "n features"]]:
        """Uncalibrated outputs, probabilities or numbers, and features."""
        described = self.described(inputs)
        return described.outputs, self.calibration(described.outputs), described.features


def deployment_of(run: Run, *, features: bool = False) -> Deployment:
    """What an engine needs to write the run's network into a file.

    Args:
        run: Opened on the CPU.
        features: Whether the file gives the network's features too.

    Raises:
        EngineError: The run's inputs are not one tensor.
    """
    predictor = run.predictor
    given = predictor.inputs.exported
    if given is None:
        raise EngineError(
            f"a network of {run.kind.nouns[1]} is not exported",
            why="its input is a graph of any size, not one tensor",
            fix="use it through striate.load",
        )
    network = predictor.network
    if predictor.inputs.folds:
        network = cast("Network", fold_batch_norm(network, predictor.example))
    answering = Describing if features else Answering
    module = answering(network, predictor.inputs, run.calibration.module())
    shape = predictor.inputs.input_shape
    example = torch.zeros(EXAMPLES, *shape, dtype=given.dtype)
    outputs = run.calibration.outputs(run.classes)
    card = {
        "striate": run.record.striate,
        "task": run.record.task,
        "kind": run.record.kind,
        "weights": run.record.model.sha256,
        "classes": list(run.classes),
        "input": {
            "name": given.name,
            "means": given.means,
            **given.details,
            "type": str(given.dtype).removeprefix("torch."),
            "shape": ["items", *shape],
        },
        "outputs": outputs,
    }
    return Deployment(
        module=module.eval(),
        example=example,
        input_name=given.name,
        output_names=(*(output["name"] for output in outputs), *["features"] * features),
        card=card,
    )
