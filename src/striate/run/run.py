"""A finished run in use: its report, its network, and predictions from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from striate.data.layouts import open_source
from striate.data.layouts.node_source import NodeSource
from striate.data.sandbox import read_all
from striate.data.source import Item, Reading, Skip, Source, UnreadableItem
from striate.data.stores.pixels import center_crop, resize_shorter
from striate.data.unlabelled import Input, open_inputs
from striate.device import choose_device, keep_freed_memory
from striate.errors import ArgumentError, DataError, RunError, WeightsError, one_line
from striate.files import sha256_file
from striate.kinds import feed_of
from striate.kinds.graph.inputs import GraphFeed
from striate.metrics import Calibration, NumberCalibration, PredictionInterval, number_text
from striate.models import Network, create_model
from striate.progress import Progress
from striate.report import AnyReport, Report, read_report
from striate.run.folder import (
    MODEL,
    REPORT_HTML,
    REPORT_JSON,
    FeedRecord,
    PreprocessingRecord,
    RunFolder,
    RunRecord,
)
from striate.run.predictor import (
    TOGETHER,
    FeedPredictor,
    ImagePredictor,
    NodePredictor,
    Predictor,
    in_batches,
)
from striate.tasks import AnyCalibration
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

    def cells(self) -> list[float | str]:
        """The answer and every probability, for a CSV file."""
        return [self.label, *(f"{value:.9g}" for value in self.probabilities)]

    def answer(self, top: int = 1) -> str:
        """The most probable classes, for a person."""
        return ", ".join(f"{label} {p:.1%}" for label, p in self.top(top))

    def as_text(self, top: int = 1) -> str:
        """A line for a person."""
        return f"{one_line(self.id)}: {self.answer(top)}"


@dataclass(frozen=True, kw_only=True)
class NumberPrediction:
    """What a model of numbers says of one item.

    Attributes:
        id: of the item: its path as given, or its place in an array.
        value: in the unit of the training targets.
        half_width: of the interval around it; None where the fit had too few items for one.
    """

    id: str
    value: float
    half_width: float | None

    def cells(self) -> list[float | str]:
        """The number and its interval, for a CSV file."""
        if self.half_width is None:
            return [self.value, "", ""]
        return [self.value, self.value - self.half_width, self.value + self.half_width]

    def answer(self, top: int = 1) -> str:
        """The number with its interval, for a person; there is one, whatever `top`."""
        interval = "" if self.half_width is None else f" ± {number_text(self.half_width)}"
        return number_text(self.value) + interval

    def as_text(self, top: int = 1) -> str:
        """A line for a person."""
        return f"{one_line(self.id)}: {self.answer(top)}"


AnyPrediction: TypeAlias = Prediction | NumberPrediction


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
    def report(self) -> AnyReport:
        """The evaluation, as in `report.json`."""
        return read_report(self.folder.read_json(REPORT_JSON))

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
        network = network.to(self.device).eval()
        prepared = record.preprocessing
        if isinstance(prepared, FeedRecord):
            feed = feed_of(record.kind).from_json(prepared.feed)
            calibration = self._calibration()
            if isinstance(feed, GraphFeed) and record.model.options["level"] == "node":
                return NodePredictor(
                    network=network, feed=feed, calibration=calibration, device=self.device
                )
            return FeedPredictor(
                network=network, feed=feed, calibration=calibration, device=self.device
            )
        network.preprocessing = Preprocessing(
            mean=prepared.mean, std=prepared.std, size=prepared.image_size
        )
        return ImagePredictor(
            network=network,
            symmetry=prepared.symmetry,
            calibration=self._calibration(),
            device=self.device,
        )

    def _calibration(self) -> AnyCalibration:
        numbers = self.record.numbers
        if numbers is None:
            return Calibration(temperature=self.record.temperature, bias=self.record.bias)
        interval = None
        if numbers.half_width is not None and numbers.level is not None:
            interval = PredictionInterval(
                half_width=numbers.half_width,
                level=numbers.level,
                num_items=numbers.num_items or 0,
            )
        return NumberCalibration(mean=numbers.mean, std=numbers.std, interval=interval)

    def predict(
        self, inputs: Sequence[Input] | Input, *, progress: Progress | None = None
    ) -> list[AnyPrediction]:
        """What the model says of files, folders and arrays.

        Args:
            inputs: paths of files and folders (of nodes: one graph, all of whose nodes are
                answered for), or arrays: of images (uint8, or floats from 0 to 1),
                one image or a batch, channels first or last; of other kinds one item or a batch
                of them, channels first; SMILES of molecules.
            progress: is told of the work, and of files that cannot be read.

        Returns:
            A prediction for each item that can be read, in order: a `Prediction` of a class, or a
            `NumberPrediction`.

        Raises:
            DataError: there is no such path, or not one item can be read.
        """
        progress = progress or Progress(quiet=True)
        given = [inputs] if isinstance(inputs, str | Path | np.ndarray) else list(inputs)
        if isinstance(self.predictor, NodePredictor):
            graph = self.open_graph(given)
            nodes = [Item(id=name) for name in graph.position]
            return self.answers(list(graph.position), self.predictor.outputs(graph, nodes))
        source = self.open(given)
        kept: list[Item] = []
        skipped = list(source.listing.skipped)

        def readable() -> Iterator[Reading]:
            for item, reading in self.read(source, source.listing.items):
                if isinstance(reading, Skip):
                    skipped.append(reading)
                else:
                    kept.append(item)
                    yield reading

        outputs = self.outputs(readable())
        for skip in skipped:
            progress.say(f"skipped {one_line(skip.id)}: {one_line(skip.reason)}")
        if not kept:
            raise DataError("not one input can be read", why=skipped[0].reason)
        return self.answers([item.id for item in kept], outputs)

    def open_graph(self, inputs: Sequence[Input]) -> NodeSource:
        """The graph whose nodes are to be predicted.

        Raises:
            DataError: it is not one graph of nodes.
        """
        if len(inputs) != 1 or isinstance(inputs[0], np.ndarray):
            raise DataError("nodes are predicted in one graph", fix="name one folder or sample")
        source = open_source(inputs[0])
        if not isinstance(source, NodeSource):
            raise DataError(f"{source.name} is not one graph of nodes")
        return source

    def open(self, inputs: Sequence[Input]) -> Source:
        """The source of what is to be predicted; see `predict`."""
        predictor = self.predictor
        if isinstance(predictor, NodePredictor):
            raise ArgumentError("nodes are not looked at one by one", why="each needs its graph")
        if isinstance(predictor, FeedPredictor):
            return open_inputs(inputs, self.record.kind, predictor.feed.input_shape[0])
        return open_inputs(inputs)

    def read(self, source: Source, items: Sequence[Item]) -> Iterator[tuple[Item, Reading | Skip]]:
        """Each item as the model takes it (an image: its central square), or why it is skipped."""
        if self.record.kind == "image":
            yield from read_square(source, items, self.image_size)
            return
        predictor = self.predictor
        assert isinstance(predictor, FeedPredictor)
        for item, reading in read_all(source, items, None):
            if isinstance(reading, Skip):
                yield item, reading
                continue
            try:
                predictor.feed.inputs([reading])
            except UnreadableItem as error:
                yield item, Skip(id=item.id, reason=error.reason)
            else:
                yield item, reading

    def outputs(self, readings: Iterable[Reading]) -> Tensor:
        """(items, outputs) uncalibrated outputs of what `read` gives, a batch at a time."""
        predictor = self.predictor
        width = max(1, len(self.classes))
        if isinstance(predictor, FeedPredictor):
            size = TOGETHER[predictor.feed.kind]
            return in_batches(readings, predictor.outputs, width, size)
        assert isinstance(predictor, ImagePredictor)
        return in_batches(readings, lambda some: predictor.outputs(stacked(some)), width)

    def answers(self, ids: Sequence[str], outputs: Tensor) -> list[AnyPrediction]:
        """Predictions of items from their outputs."""
        calibration = self.predictor.calibration
        if isinstance(calibration, NumberCalibration):
            interval = calibration.interval
            half = None if interval is None else interval.half_width
            return [
                NumberPrediction(id=item, value=float(value), half_width=half)
                for item, value in zip(ids, calibration.numbers(outputs.numpy()), strict=True)
            ]
        return [
            Prediction(id=item, classes=self.classes, probabilities=row)
            for item, row in zip(ids, self.predictor.probabilities(outputs), strict=True)
        ]

    def export(self, to: str, *, out: PathLike | None = None) -> Path:
        """Write the network into a file that answers without Striate; see `striate.run.export`.

        Args:
            to: "onnx", "openvino" or "pt2".
            out: where to write; by default `export/model` in the run's folder.

        Returns:
            The file's path; a card of its inputs and outputs lies beside it as JSON.
        """
        from striate.run.export import export

        return export(self.folder.path, to, out=out).path

    @property
    def image_size(self) -> int:
        """Side of the network's input, in pixels; of images."""
        assert isinstance(self.record.preprocessing, PreprocessingRecord)
        return self.record.preprocessing.image_size

    def summary(self) -> str:
        """The result in a few lines."""
        report = self.report
        names = ("accuracy", "roc_auc", "ece") if isinstance(report, Report) else ("mae", "r2")
        written = "{:.4f}".format if isinstance(report, Report) else number_text
        lines = [f"test items: {report.split_sizes['test']}"]
        for name in names:
            figure = getattr(report.test, name)
            if figure.value is not None:
                low, high = figure.ci95 or (figure.value, figure.value)
                value, low_text, high_text = map(written, (figure.value, low, high))
                lines.append(f"{name}: {value} (95 % interval {low_text} to {high_text})")
        lines.append(f"method: {report.method}, {report.seconds.total:.0f} s")
        lines.append(f"report: {self.folder.path / REPORT_HTML}")
        return "\n".join(lines)


def read_square(
    source: Source, items: Sequence[Item], size: int
) -> Iterator[tuple[Item, Reading | Skip]]:
    """Each image's central square as uint8 (C, size, size), or why it is skipped."""
    for item, reading in read_all(source, items, size):
        if isinstance(reading, Skip):
            yield item, reading
        else:
            assert reading.array.dtype == np.uint8, "images are read as uint8"
            pixels = resize_shorter(reading.array.view(np.uint8), size)
            square = center_crop(torch.from_numpy(pixels), size)
            yield item, replace(reading, array=square.numpy())


def stacked(readings: Sequence[Reading]) -> UInt8[Tensor, "n c s s"]:
    """Squares of one size, as one batch."""
    return torch.stack([torch.from_numpy(reading.array) for reading in readings])


def load(path: PathLike, *, device: str = "auto") -> Run:
    """A finished run.

    Raises:
        RunError: there is no finished run at `path`.
    """
    return Run(path, device=device)
