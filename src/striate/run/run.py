"""A finished run: its model, its report, and what can be done with them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from striate.data.unlabelled import Input
from striate.errors import ArgumentError, one_line
from striate.progress import ProgressLike, as_progress
from striate.run.folder import REPORT_HTML
from striate.run.opened import OpenedRun
from striate.tasks.prediction import Prediction
from striate.typing import PathLike

if TYPE_CHECKING:
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


class Run(OpenedRun):
    """A finished run.

    Args:
        path: Its folder, or `hf://user/name[@revision]` for one on the Hugging Face hub.
        device: Where to compute: "auto", "cpu" or "cuda".
        engine: What answers in `predict` and `evaluate`: "torch"; "onnx" or "openvino", whose file
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

    def _repr_html_(self) -> str:
        """The result as a notebook shows it."""
        if not self.has_report:
            return escape(repr(self))
        rows = "".join(f"<li>{escape(line)}</li>" for line in self.summary().splitlines())
        return f"<b>{escape(str(self.folder.path))}</b><ul>{rows}</ul>"

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
                one item or a batch of them, channels first); PIL images; the bytes of a file, or
                one that is open; SMILES of molecules. A column of names (`table["path"]`) is a
                sequence.
            progress: Told of the work, and of what cannot be read.

        Returns:
            A prediction for each item, in order. That of an item which cannot be read has no
            label and says why in `reason`.

        Raises:
            DataError: There is nothing to predict, or nothing of it is there.
        """
        progress = as_progress(progress)
        source = self.open(inputs)
        unread = self.task.prediction_type
        found = [unread(item=skip.id, reason=skip.reason) for skip in source.listing.skipped]
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
                "occlusion"; "auto" takes the one of these two that holds better on validation
                items of the run, which is found out once.
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
            ArgumentError: `other` is no run.
        """
        from striate.run.compare import compare

        given: object = other
        if not isinstance(given, Run):
            what = f"the other run is of type {type(given).__name__}"
            raise ArgumentError(what, fix="open its folder with striate.load")
        return compare(self, given)

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
