"""A finished run: its model, its report, and what can be done with them."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from striate.data.sandbox import DecoderPool, read_all, read_item
from striate.data.source import Item, Reading, Skip, Source, UnreadableItem
from striate.data.unlabelled import Alone, Input, is_array, several
from striate.device import choose_device, keep_freed_memory
from striate.errors import RunError, RunWarning, UnknownNameError, WeightsError, one_line
from striate.files import sha256_file
from striate.kinds.kind import Kind, kind_named
from striate.models import Network, create_model
from striate.progress import Progress, ProgressLike, as_progress
from striate.report.schema import RunReport
from striate.run.checksums import CHECKSUMS
from striate.run.folder import HELD_OUT, MODEL, NOVELTY, REPORT_HTML, REPORT_JSON
from striate.run.predictor import Described, Predictor
from striate.run.results import with_novelty
from striate.run.sharing.hub import opened
from striate.tasks.prediction import Calibration, Prediction
from striate.tasks.task import Task, task_named
from striate.typing import PathLike

if TYPE_CHECKING:
    from striate.metrics.novelty import NoveltyDetector
    from striate.metrics.unlabelled.held_out import HeldOutItems
    from striate.run.bulk import Written
    from striate.run.compare import Compared
    from striate.run.evaluate import Evaluated
    from striate.run.evaluate.corrupted import Robustness
    from striate.run.explain import Explained
    from striate.run.plot import RunPlots
    from striate.run.sharing.hub import Pushed
    from striate.run.sharing.mlflow_model import Logged
    from striate.run.unlabelled.drift import Drift
    from striate.run.unlabelled.suggest import Suggested


ENGINE_CHOICES: Final = ("auto", "torch", "onnx", "openvino")
"""What can answer in `predict` and `evaluate`."""


class Run:
    """A finished run.

    Args:
        path: Its folder, or `hf://user/name[@revision]` for one on the Hugging Face hub.
        device: Where to compute: "auto", "cpu" or "cuda".
        engine: What answers in `predict`, `predicted` and `evaluate`: "torch"; "onnx" or "openvino", whose file
            is written into the cache once and checked to answer as torch does; "auto" for the
            fastest by `striate engines RUN --measure` where there are more than 16 items.

    Raises:
        UnknownNameError: There is no such engine.
        RunError: There is no finished run, or its record is damaged; of one on the hub, any file.
        DeviceError: The device is not there.
        WeightsUnavailableError: The hub cannot be reached, and the run is not in its cache.

    Warns:
        RunWarning: The fit has not ended, a file was changed since the run wrote it, or the run
            has no checksums. A changed file that is needed is an error where it is read.
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

    def _repr_html_(self) -> str:
        """The result as a notebook shows it."""
        if not self.has_report:
            return escape(repr(self))
        rows = "".join(f"<li>{escape(line)}</li>" for line in self.summary().splitlines())
        return f"<b>{escape(str(self.folder.path))}</b><ul>{rows}</ul>"

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
        return NoveltyDetector.from_tensors(self.folder.read_arrays(NOVELTY))

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
        """The engine's name; of "auto" that of the fastest, which answers for many items alone."""
        if self.engine != "auto":
            return self.engine
        from striate.run.measure import fastest

        return fastest(self)

    @cached_property
    def _answering(self) -> Predictor:
        """The predictor with the engine that was chosen."""
        if self.chosen_engine == "torch":
            return self.predictor
        from striate.run.engine_files import EngineFile

        quiet = Progress(quiet=True)
        session = EngineFile.of(self, self.chosen_engine).session
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

    def predict(
        self,
        inputs: Sequence[Input] | Input,
        *,
        progress: ProgressLike = None,
    ) -> list[Prediction]:
        """What the model predicts for files, folders, arrays and pictures.

        Args:
            inputs: One input or a sequence of them: paths of files and folders (of nodes: one
                graph, all of whose nodes are answered for); arrays and tensors (images uint8, or
                floats from 0 to 1, one image or a batch, channels first or last; of other kinds
                one item or a batch of them, channels first); PIL images; the bytes of a file;
                SMILES of molecules.
            progress: Told of the work, and of what cannot be read.

        Returns:
            A prediction for each item, in order. That of an item which cannot be read has no
            label and says why in `reason`.

        Raises:
            DataError: There is nothing to predict, or nothing of it is there.
        """
        progress = as_progress(progress)
        source = self.open(inputs)
        found = [Prediction(item=skip.id, reason=skip.reason) for skip in source.listing.skipped]
        found += self.answered(self.read(source, source.listing.items))
        for prediction in found:
            if prediction.reason is not None:
                name, reason = one_line(prediction.item), one_line(prediction.reason)
                progress.say(f"cannot read {name}: {reason}")
        return found

    def predict_to_file(
        self,
        inputs: Sequence[Input] | Input,
        out: PathLike,
        *,
        resume: bool = False,
        progress: ProgressLike = None,
    ) -> Written:
        """Write what the model predicts for any number of items to a CSV or a Parquet file.

        No more than a part of the predictions is in memory at a time. Parts lie beside the file
        until all are there; the file is then written at once, so that an unfinished one is never
        taken for a finished one.

        Args:
            inputs: What `predict` takes.
            out: The file, its name ending in .csv or .parquet (which needs the extra `parquet`).
            resume: Go on with a file that was not finished, from the same inputs.
            progress: Told of the work, and of what cannot be read.

        Returns:
            The file's path, and how many items it tells of.

        Raises:
            OptionError: The file is none of these, replaces one of the user's, or an unfinished
                one is there that is of other inputs or is not to be gone on with.
            DataError: There is nothing to predict.
            StorageError: It cannot be written.
        """
        from striate.run.bulk import predict_to_file

        return predict_to_file(self, inputs, Path(out), resume=resume, progress=progress)

    def open(self, inputs: Sequence[Input] | Input) -> Source:
        """The source of what is to be predicted; see `predict`."""
        # An image of Pillow's is an array too, and one image whatever its axes.
        alone = is_array(inputs) and not hasattr(inputs, "getbands")
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

        predictor = self._answering
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
                unread = Prediction(item=item.id, reason=reason)
                yield next(answers) if reason is None else unread
        yield from (Prediction(item=item.id, reason=reason) for item, reason in waiting)

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

    def evaluate(self, data: PathLike | None = None, *, progress: ProgressLike = None) -> Evaluated:
        """How good the model is, with 95 % intervals.

        Args:
            data: Labelled items; without it, the figures of the run's own test items are given.
            progress: Told of the work.

        Raises:
            DataError: The data cannot be used, or have classes that the model does not know.
        """
        from striate.run.evaluate import evaluate

        return evaluate(self, data, progress=progress)

    def robustness(
        self,
        data: PathLike | None = None,
        *,
        max_items: int = 500,
        seed: int = 0,
        progress: ProgressLike = None,
    ) -> Robustness:
        """How good the model stays under common corruptions, each at five severities.

        Images are blurred, darkened, written as a poor JPEG and more; recordings and volumes have
        corruptions of their own; graphs have none.

        Args:
            data: Labelled items; without it, the run's own test items.
            max_items: Number of items, at most; of more, so many are drawn.
            seed: Seed of the draw, and of what is random in the corruptions. What happens to an
                item depends on it and on the item's id alone.
            progress: Told of the work.

        Raises:
            RunError: The kind of the items has no corruptions.
            DataError: The data cannot be used, or have classes that the model does not know.
        """
        from striate.run.evaluate.corrupted import corrupted

        return corrupted(self, data, max_items=max_items, seed=seed, progress=progress)

    def explain(
        self,
        inputs: Sequence[Input] | Input,
        *,
        method: str = "auto",
        target: str | None = None,
        out: PathLike | None = None,
        progress: ProgressLike = None,
    ) -> list[Explained]:
        """Where the network found evidence for its predictions, as pictures.

        Args:
            inputs: What `predict` takes.
            method: Name of a method in `striate.explain.EXPLANATIONS`, such as "gradcam" or
                "occlusion"; "auto" takes the one that suits the kind of data.
            target: The class to explain; by default the predicted one of each input.
            out: Folder to write the pictures to; without it nothing is written.
            progress: Told of what cannot be read.

        Raises:
            UnknownNameError: There is no such method or class.
            DataError: There is no such path, or not one input can be read.
        """
        from striate.run.explain import explain_inputs

        return list(
            explain_inputs(self, inputs, method=method, target=target, out=out, progress=progress)
        )

    def compare(self, other: Run) -> Compared:
        """Compare with another run on the test items that both have, the other minus this one.

        Raises:
            RunError: The classes differ, or no test item is in both with one label.
        """
        from striate.run.compare import compare

        return compare(self, other)

    def drift(
        self,
        data: Sequence[Input] | Input,
        *,
        time: str = "auto",
        seed: int = 0,
        progress: ProgressLike = None,
    ) -> Drift:
        """Whether new items without labels are like those that the run was made from.

        Args:
            data: What `predict` takes, or a manifest with a column of paths.
            time: Column of the manifest with dates or numbers, by which windows of time are
                compared; "order" for the order in which the items come; "auto" for a column named
                `date`, `time` or `timestamp` if there is one; "none" for no windows.
            seed: Seed of the draws and of the permutations.
            progress: Told of the work, and of what cannot be read.

        Raises:
            DataError: There is nothing to read, or the column is not there or has no dates.
            RunError: The run keeps no held-out items, as of earlier versions.
        """
        from striate.run.unlabelled.drift import drift

        return drift(self, data, time=time, seed=seed, progress=progress)

    def suggest(
        self,
        inputs: Sequence[Input] | Input,
        count: int,
        *,
        seed: int = 0,
        progress: ProgressLike = None,
    ) -> Suggested:
        """Which items without labels to label next, so that the next fit learns most from them.

        Args:
            inputs: What `predict` takes.
            count: Number of items to suggest, 1 or more.
            seed: Seed of the choice.
            progress: Told of the work, and of what cannot be read.

        Raises:
            ArgumentError: `count` is less than 1.
            DataError: There is nothing to read.
        """
        from striate.run.unlabelled.suggest import suggest

        return suggest(self, inputs, count, seed=seed, progress=progress)

    def model_card(self) -> str:
        """A model card in the layout of Hugging Face: data, figures, limits, time and hardware.

        Returns:
            Markdown with a head in YAML; `striate card` writes it to `MODEL_CARD.md`.

        Raises:
            RunError: The fit has not ended, so that there are no figures.
        """
        from striate.run.card import model_card

        return model_card(self)

    def push_to_hub(
        self,
        repo: str,
        *,
        token: str | None = None,
        private: bool = False,
        novelty: bool = False,
    ) -> Pushed:
        """Push the run to the Hugging Face hub, where `striate.load("hf://user/name")` takes it from.

        The weights, `run.json`, the report, the history, checksums and the model card as README.md
        are pushed, without paths of this machine, ids, pictures or labels of items, or the command
        line. Names of classes, the data's own name and figures are told.

        Args:
            repo: The repository, as "user/name"; it is made where it is not there.
            token: A token of the hub that may write; by default the one of `hf auth login`.
            private: Whether a new repository is private; a public one is then refused.
            novelty: Whether `novelty.safetensors` goes with it, by which unknown items are told. It
                holds features of known items, which tell something of them.

        Returns:
            The address with its commit, the page, and the names of the files.

        Raises:
            OptionError: `repo` is no such name.
            RunError: The fit has not ended, a file is damaged, or the hub refuses.
            WeightsUnavailableError: The hub cannot be reached.
            MissingExtraError: The hub's client is not installed.
        """
        from striate.run.sharing.hub import push

        return push(self, repo, token=token, private=private, novelty=novelty)

    def log_to_mlflow(self, name: str = "model") -> Logged:
        """Log the run to MLflow: options, figures, curves, the report, and a model that predicts.

        It is logged to where `mlflow.set_tracking_uri` points, as a run of its own, or below the
        run that is active. `mlflow.pyfunc.load_model` on its model predicts as this run does.
        Paths of this machine, and ids and pictures of items, are left out as by `push_to_hub`.

        Args:
            name: Name of the model.

        Returns:
            The id of MLflow's run, and the URI of the model.

        Raises:
            RunError: The fit has not ended, or a file is damaged.
            MissingExtraError: MLflow is not installed.
        """
        from striate.run.sharing.mlflow_model import log_model

        return log_model(self, name)

    def export(self, to: str, *, out: PathLike | None = None) -> Path:
        """Write the network into a file that answers without Striate.

        Args:
            to: "onnx", "openvino" or "pt2"; or "web" for a folder with a page that runs the file in
                the browser, of runs of pictures.
            out: Where to write; by default `export/model`, or `export/web`, in the run's folder.

        Returns:
            The path; a card of its inputs and outputs lies beside the file, or in the folder, as
            JSON.

        Raises:
            EngineError: The engine cannot take the network, or answers otherwise.
        """
        from striate.run.deployment.web import WEB, export_page
        from striate.run.export import export

        if to == WEB:
            return export_page(self, out=out).path
        return export(self, to, out=out).path

    @property
    def plot(self) -> RunPlots:
        """Figures for notebooks and papers: `confusion()`, `calibration()`, `history()`.

        They come from `report.json` alone and need the extra `plot`.
        """
        from striate.run.plot import RunPlots

        return RunPlots(self.report)

    def summary(self) -> str:
        """The result in a few lines."""
        report = self.report
        ended = ["the search was ended early; --resume goes on"] * (
            self.record.search == "ended early"
        )
        return "\n".join(
            [
                f"test items: {report.split_sizes['test']}"
                + (f", each in one of {report.folds.num_folds} folds" if report.folds else ""),
                *self.task.summary(report),
                f"method: {report.method}, {report.seconds.total:.0f} s",
                *ended,
                f"report: {self.folder.path / REPORT_HTML}",
            ]
        )


def load(path: PathLike, *, device: str = "auto", engine: str = "torch") -> Run:
    """A finished run.

    Args:
        path: Its folder, or `hf://user/name[@revision]` for one on the Hugging Face hub (extra
            `hub`), which is kept in the hub's cache and then needs no network.
        device: Where to compute: "auto", "cpu" or "cuda".
        engine: What answers: "torch", "onnx", "openvino" or "auto"; see `Run`.

    Raises:
        UnknownNameError: There is no such engine.
        RunError: There is no finished run at `path`, or a file from the hub is not what was pushed.
        WeightsUnavailableError: The hub cannot be reached, and the run is not in its cache.
        MissingExtraError: The hub's client is not installed.
    """
    return Run(path, device=device, engine=engine)
