"""A finished run in use: its report, its network, and predictions from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from striate.data.cache import center_crop, resize_shorter
from striate.data.sandbox import read_all
from striate.data.source import Item, Skip, Source
from striate.data.sources.inputs import Input, open_inputs
from striate.device import choose_device, keep_freed_memory
from striate.errors import DataError, RunError, WeightsError, one_line
from striate.metrics import Calibration
from striate.models import Network, create_model
from striate.progress import Progress
from striate.recipes.predictor import Predictor
from striate.report import Report
from striate.run import MODEL, REPORT_HTML, REPORT_JSON, RunFolder, RunRecord, sha256_file
from striate.typing import PathLike
from striate.weights.preprocessing import Preprocessing


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says of one item.

    Attributes:
        id: of the item: its path as given, or its place in an array.
        classes: names, in the order of the probabilities.
        probabilities: calibrated, one a class.
    """

    id: str
    classes: tuple[str, ...]
    probabilities: Float[np.ndarray, " classes"]

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[int(self.probabilities.argmax())]

    def top(self, count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities, the best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.classes[k], float(self.probabilities[k])) for k in order]

    @property
    def display_id(self) -> str:
        """The id with control characters made visible."""
        return one_line(self.id)


class Run:
    """A finished run.

    Args:
        path: its folder.
        device: where to compute: "auto", "cpu" or "cuda".

    Raises:
        RunError: there is no finished run, or its record is damaged.
        DeviceError: the device is not there.
    """

    def __init__(self, path: PathLike, *, device: str = "auto") -> None:
        self.folder = RunFolder.open(Path(path))
        self.record: RunRecord = self.folder.record()
        self.device = choose_device(device)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""
        return self.record.classes

    @cached_property
    def report(self) -> Report:
        """The evaluation, as in `report.json`."""
        return Report.model_validate(self.folder.read_json(REPORT_JSON))

    @property
    def metrics(self) -> dict[str, float | None]:
        """The figures on the test items, by name."""
        return {name: figure.value for name, figure in self.report.test}

    @property
    def model(self) -> Network:
        """The trained network, in evaluation mode."""
        return self.predictor.network

    @cached_property
    def predictor(self) -> Predictor:
        """The network with all it needs to answer.

        Raises:
            RunError: the weights' file is missing or damaged.
        """
        record = self.record
        path = self.folder.path / MODEL
        if not path.is_file() or sha256_file(path) != record.model.sha256:
            state = "is not what the run wrote" if path.exists() else "is missing"
            raise RunError(f"{str(path)!r} {state}", fix="restore it, or fit again")
        keep_freed_memory()
        try:
            network = create_model(record.model.name, weights=path, **record.model.options)
        except WeightsError as error:
            raise RunError(f"cannot use {str(path)!r}", why=str(error)) from None
        prepared = record.preprocessing
        network.preprocessing = Preprocessing(
            mean=prepared.mean, std=prepared.std, size=prepared.image_size
        )
        return Predictor(
            network=network.to(self.device).eval(),
            symmetry=record.preprocessing.symmetry,
            calibration=Calibration(temperature=record.temperature, bias=record.bias),
            device=self.device,
        )

    def predict(
        self, inputs: Sequence[Input] | Input, *, progress: Progress | None = None
    ) -> list[Prediction]:
        """Classify files, folders and arrays.

        Args:
            inputs: paths of files and folders, or arrays of images (uint8, or floats from 0 to 1),
                one image or a batch, channels first or last.
            progress: is told of the work, and of files that cannot be read.

        Returns:
            A prediction for each item that can be read, in order.

        Raises:
            DataError: there is no such path, or not one item can be read.
        """
        progress = progress or Progress(quiet=True)
        given = [inputs] if isinstance(inputs, str | Path | np.ndarray) else list(inputs)
        source = open_inputs(given)
        kept: list[Item] = []
        skipped = list(source.listing.skipped)

        def squares() -> Iterator[Tensor]:
            for item, pixels in read_square(source, source.listing.items, self.image_size):
                if isinstance(pixels, Skip):
                    skipped.append(pixels)
                else:
                    kept.append(item)
                    yield pixels

        logits = self.predictor.stream(squares())
        for skip in skipped:
            progress.say(f"skipped {one_line(skip.id)}: {one_line(skip.reason)}")
        if not kept:
            raise DataError("not one input can be read", why=skipped[0].reason)
        probabilities = self.predictor.probabilities(logits)
        return [
            Prediction(id=item.id, classes=self.classes, probabilities=row)
            for item, row in zip(kept, probabilities, strict=True)
        ]

    @property
    def image_size(self) -> int:
        """Side of the network's input, in pixels."""
        return self.record.preprocessing.image_size

    def summary(self) -> str:
        """The result in a few lines."""
        test = self.report.test
        lines = [f"test items: {self.report.split_sizes['test']}"]
        for name in ("accuracy", "roc_auc", "ece"):
            figure = getattr(test, name)
            if figure.value is not None:
                low, high = figure.ci95 or (figure.value, figure.value)
                lines.append(f"{name}: {figure.value:.4f} (95 % interval {low:.4f} to {high:.4f})")
        lines.append(f"method: {self.report.method}, {self.report.seconds.total:.0f} s")
        lines.append(f"report: {self.folder.path / REPORT_HTML}")
        return "\n".join(lines)


def read_square(
    source: Source, items: Sequence[Item], size: int
) -> Iterator[tuple[Item, Tensor | Skip]]:
    """Each item with its central square as uint8 (C, size, size), or with why it is skipped."""
    for item, reading in read_all(source, items, size):
        if isinstance(reading, Skip):
            yield item, reading
        else:
            assert reading.array.dtype == np.uint8, "images are read as uint8"
            pixels = resize_shorter(reading.array.view(np.uint8), size)
            yield item, center_crop(torch.from_numpy(pixels), size)


def load(path: PathLike, *, device: str = "auto") -> Run:
    """A finished run.

    Raises:
        RunError: there is no finished run at `path`.
    """
    return Run(path, device=device)
