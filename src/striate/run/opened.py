"""What a finished run consists of, and how items become predictions."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from striate.data.sandbox import DecoderPool, read_all, read_item
from striate.data.source import Item, Reading, Skip, Source, UnreadableItem
from striate.data.unlabelled import Alone, Input, is_array, names_in, several
from striate.device import choose_device, keep_freed_memory
from striate.errors import RunError, RunWarning, UnknownNameError, WeightsError
from striate.files import sha256_file
from striate.kinds.kind import Kind, kind_named
from striate.models import Network, create_model
from striate.progress import Progress
from striate.report.schema import FollowedPart, RunReport
from striate.run.checksums import CHECKSUMS
from striate.run.folder import HELD_OUT, MODEL, NOVELTY, REPORT_JSON
from striate.run.predictor import Described, Predictor
from striate.run.results import with_novelty
from striate.run.sharing.hub import opened
from striate.tasks.prediction import Calibration, Prediction
from striate.tasks.task import Task, task_named
from striate.typing import PathLike

if TYPE_CHECKING:
    from striate.metrics.novelty import NoveltyDetector
    from striate.metrics.unlabelled.held_out import HeldOutItems


ENGINE_CHOICES: Final = ("auto", "torch", "onnx", "openvino")
"""What can answer in `predict` and `evaluate`."""


class OpenedRun:
    """What a finished run consists of, each part loaded at its first use.

    Args:
        path: Its folder.
        device: Where to compute: "auto", "cpu" or "cuda".
        engine: What answers; see `Run`.
    """

    def __init__(self, path: PathLike, *, device: str = "auto", engine: str = "torch") -> None:
        if engine not in ENGINE_CHOICES:
            raise UnknownNameError("engine", engine, ENGINE_CHOICES)
        self.engine = engine
        self.folder = opened(path)
        self.record = self.folder.record()
        for line in self._doubts():
            warnings.warn(line, RunWarning, stacklevel=2)
        self.device = choose_device(device)

    def __repr__(self) -> str:
        if not self.has_report:
            return f"Run({str(self.folder.path)!r}: {self.record.method}, the fit has not ended)"
        figures = ", ".join(self.task.summary(self.report))
        return f"Run({str(self.folder.path)!r}: {self.record.method}, {figures})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers; empty where numbers are predicted."""
        return self.record.classes

    @property
    def has_report(self) -> bool:
        """Whether the fit has ended; before, the model is the best so far and not evaluated."""
        return self.record.search != "running"

    def _doubts(self) -> list[str]:
        """What to know before the run is used, a line each: what is unfinished, or was changed."""
        path = str(self.folder.path)
        if self.folder.checksums() is None:
            return [f"run {path!r} has no {CHECKSUMS}: damage to its files would not be noticed"]
        doubts = [str(self.folder.changed(name)) for name in self.folder.damaged()]
        if not self.has_report:
            doubts.append(f"the fit in {path!r} has not ended: its model is the best so far")
        return doubts

    @cached_property
    def kind(self) -> Kind:
        """The kind of the items."""
        return kind_named(self.record.kind)

    @cached_property
    def task(self) -> Task:
        """What is predicted."""
        return task_named(self.record.task)

    @cached_property
    def report(self) -> RunReport:
        """The evaluation, as in `report.json`.

        Raises:
            RunError: There is none yet, for the fit has not ended, or it has another form.
        """
        if not self.has_report:
            raise RunError(
                f"the fit in {str(self.folder.path)!r} has not ended",
                why="its model can be used, but its test items were not looked at yet",
                fix="go on with the same fit and `resume=True`",
            )
        document = self.folder.read_json(REPORT_JSON)
        try:
            return self.task.read_report(document)
        except ValidationError as error:
            raise RunError(
                f"cannot read {str(self.folder.path / REPORT_JSON)!r}",
                why=f"version {self.record.striate} of Striate wrote it in another form "
                f"({error.errors()[0]['msg']})",
                fix="fit again for a report; the model can still predict",
            ) from None

    @property
    def followed(self) -> tuple[FollowedPart, ...]:
        """Parts at the border of items that the model follows; none where there is no report."""
        try:
            return self.report.followed
        except RunError:  # the fit has not ended, or another version wrote the report
            return ()

    @property
    def metrics(self) -> dict[str, float | None]:
        """The figures on the test items, by name."""
        return {name: figure.value for name, figure in self.report.test}

    @property
    def model(self) -> Network:
        """The trained network, in evaluation mode."""
        return self.predictor.network

    @cached_property
    def calibration(self) -> Calibration:
        """Makes answers of the network's outputs."""
        return self.task.calibration(self.record.calibration)

    @cached_property
    def novelty_detector(self) -> NoveltyDetector | None:
        """What tells how strange an item is; None where the run has none, as of earlier versions.

        Raises:
            RunError: Its file is damaged.
        """
        from striate.metrics.novelty import NoveltyDetector

        if not (self.folder.path / NOVELTY).is_file():
            return None
        tensors = self.folder.read_arrays(NOVELTY)
        return NoveltyDetector.from_tensors(tensors) if "middles" in tensors else None

    @cached_property
    def held_out(self) -> HeldOutItems | None:
        """Held-out items that new ones are compared with; None of runs of earlier versions.

        Raises:
            RunError: Their file is damaged.
        """
        from striate.metrics.unlabelled.held_out import HeldOutItems

        if not (self.folder.path / HELD_OUT).is_file():
            return None
        return HeldOutItems.from_tensors(self.folder.read_arrays(HELD_OUT))

    @cached_property
    def predictor(self) -> Predictor:
        """The network with the inputs that it takes.

        Raises:
            RunError: The weights' file is missing or damaged.
        """
        record = self.record
        path = self.folder.path / MODEL
        if not path.is_file() or sha256_file(path) != record.model.sha256:
            what = self.folder.changed(MODEL).what
            raise RunError(what, fix="restore it, or fit again")
        keep_freed_memory()
        try:
            network = create_model(record.model.name, weights=path, **record.model.options)
        except WeightsError as error:
            raise RunError(f"cannot use {str(path)!r}", why=str(error)) from None
        inputs = self.kind.inputs_type.from_json(record.preprocessing)
        inputs.adapt(network)
        network = network.to(self.device).eval()
        return Predictor(network=network, inputs=inputs, device=self.device)

    @cached_property
    def chosen_engine(self) -> str:
        """The engine's name; of "auto" that of the fastest, maybe in bfloat16, which answers
        for many items alone.
        """
        if self.engine != "auto":
            return self.engine
        from striate.run.engines.measure import fastest

        return fastest(self)

    @cached_property
    def _answering(self) -> Predictor:
        """The predictor with the engine that was chosen."""
        if self.chosen_engine == "torch":
            return self.predictor
        from striate.run.engines.files import EngineFile
        from striate.run.engines.narrow import NARROW, narrow_session

        quiet, name = Progress(quiet=True), self.chosen_engine
        if name in NARROW:
            return replace(self.predictor, engine=lambda: narrow_session(self, name, quiet))
        session = EngineFile.of(self, name).session
        always = self.engine != "auto"
        return replace(self.predictor, engine=lambda: session(quiet), engine_for_few=always)

    def make_ready(self) -> None:
        """Load the network and the engine that was chosen, whose file is written if need be.

        Raises:
            RunError: The weights' file is missing or damaged.
            EngineError: The engine cannot take the network, or answers otherwise than torch.
            MissingExtraError: The engine is not installed.
        """
        self._answering.make_ready()

    def open(self, inputs: Sequence[Input] | Input) -> Source:
        """The source of what is to be predicted; see `predict`."""
        # An image of Pillow's is an array too, and one image whatever its axes.
        # A name taken out of an array of names can become an array too.
        named = isinstance(inputs, str | bytes) or names_in(inputs) is not None
        alone = is_array(inputs) and not hasattr(inputs, "getbands") and not named
        given = [Alone(cast("Any", inputs))] if alone else several(inputs)
        return self.kind.open(given, self.predictor.inputs)

    def read(self, source: Source, items: Iterable[Item]) -> Iterator[tuple[Item, Reading | Skip]]:
        """Each item as the model takes it, or why it cannot."""
        inputs = self.predictor.inputs
        for item, reading in read_all(source, items, inputs.read_size):
            if isinstance(reading, Skip):
                yield item, reading
                continue
            try:
                yield item, inputs.checked(reading)
            except UnreadableItem as error:
                yield item, Skip(id=item.id, reason=error.reason)

    def read_one(self, source: Source, item: Item, pool: DecoderPool) -> Reading:
        """One item as the model takes it, decoded by processes that go on living.

        Args:
            source: What `open` gave.
            item: One of its items.
            pool: The processes.

        Raises:
            UnreadableItem: It cannot be read, or does not fit the model.
        """
        inputs = self.predictor.inputs
        return inputs.checked(read_item(source, item, inputs.read_size, pool))

    def answered(
        self, read: Iterable[tuple[Item, Reading | Skip]], *, together: bool | None = None
    ) -> Iterator[Prediction]:
        """A prediction for each item, in order, a batch at a time.

        Args:
            read: What `read` gives.
            together: Whether to compute in filled batches, as of many items, or one by one, as of
                a few; None decides by the number of items.
        """
        waiting: deque[tuple[Item, str | None]] = deque()

        def readings() -> Iterator[Reading]:
            for item, reading in read:
                if isinstance(reading, Skip):
                    waiting.append((item, reading.reason))
                else:
                    waiting.append((item, None))
                    yield reading

        predictor, unread = self._answering, self.task.prediction_type
        for part in (
            predictor.parts(readings())
            if together is None
            else predictor.parts_of(readings(), together=together)
        ):
            count = len(part.outputs)
            readable = [item for item, reason in waiting if reason is None][:count]
            answers = iter(self.described(readable, [part]))
            while count:
                item, reason = waiting.popleft()
                count -= reason is None
                yield next(answers) if reason is None else unread(item=item.id, reason=reason)
        yield from (unread(item=item.id, reason=reason) for item, reason in waiting)

    def predicted(
        self, items: Sequence[Item], readings: Sequence[Reading], *, together: bool = False
    ) -> list[Prediction]:
        """Predictions of items that were read, the same whatever their company.

        Args:
            items: The items.
            readings: What `read` gave of each.
            together: Whether to compute them in filled batches, as `predict` does of many items,
                and not one by one, as it does of a few; the two may differ by rounding.
        """
        return self.described(items, self._answering.parts_of(readings, together=together))

    def outputs(self, readings: Iterator[Reading]) -> Tensor:
        """(items, outputs) uncalibrated outputs of what `read` gives, a batch at a time."""
        return self._joined(list(self._answering.output_parts(readings)))

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(parts)) if parts else torch.empty(0, max(1, len(self.classes)))

    def described(self, items: Sequence[Item], parts: Iterable[Described]) -> list[Prediction]:
        """Predictions of items from what the network makes of them, with their novelty.

        Args:
            items: The items, complete once all parts have come.
            parts: Outputs and features, a batch at a time.
        """
        outputs, novelty, detector = [], [], self.novelty_detector
        for part in parts:
            outputs.append(part.outputs)
            if detector is not None and part.features.shape[1]:
                novelty.append(detector.novelty(part.features.numpy()))
        answers = self.answers(items, self._joined(outputs))
        return with_novelty(answers, np.concatenate(novelty)) if novelty else answers

    def answers(self, items: Sequence[Item], outputs: Tensor) -> list[Prediction]:
        """Predictions of items from their outputs."""
        ids = [item.id for item in items]
        return self.task.predictions(ids, outputs, self.calibration, self.classes)
