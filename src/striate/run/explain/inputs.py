"""Explanation images: the evidence for what a network predicts, item by item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from striate.data.source import Reading, Skip
from striate.data.unlabelled import Input, several
from striate.errors import ArgumentError, DataError, one_line
from striate.explain import EXPLANATIONS
from striate.explain.fidelity import NUM_STEPS
from striate.progress import Progress, ProgressLike, as_progress
from striate.report import Drawing
from striate.run.explain.best import best_methods
from striate.run.explain.files import ExplanationFiles, stem_of
from striate.run.explain.pictures import PictureMaker, on_card
from striate.run.run import Run
from striate.tasks.prediction import Prediction
from striate.typing import PathLike

AUTO: Final = "auto"
"""Stands for the method that holds best on validation items of the run."""

HIGHER: Final = "a higher value"
"""What evidence is for where a number is predicted."""

BATCH_SIZE: Final = 8
"""Items that are read before the first of them is explained."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """An item, what is predicted for it, and the image of the evidence.

    Attributes:
        item: Name of the item.
        prediction: What the network predicts for it.
        target: The class whose evidence is shown; None where a number is predicted, and the
            evidence is for a higher one.
        method: What the evidence is: the name of the method, or what the network's own map shows.
        check: What blanking what is marked has shown, and what the fit found that the model follows
            for this class, as clauses; empty where neither is known.
        image: The explanation image: pixels, or the text of an SVG document.
        path: The file it was written to; None where it was not.
    """

    item: str
    prediction: Prediction
    target: str | None
    method: str
    check: str
    image: Drawing
    path: Path | None

    def as_line(self) -> str:
        """The result as a line for a person."""
        evidence = one_line(self.target or HIGHER)
        written = "" if self.path is None else f": {self.path}"
        told = f" ({self.check})" if self.check else ""
        return f"{self.prediction.as_text()}; evidence for {evidence}{told}{written}"


def explain_inputs(
    run: Run,
    inputs: Sequence[Input] | Input,
    *,
    method: str = AUTO,
    target: str | None = None,
    out: PathLike | None = None,
    progress: ProgressLike = None,
) -> Iterator[Explained]:
    """Explain what a run predicts for each input, one after the other.

    Args:
        run: A finished run.
        inputs: What `Run.predict` takes. After a graph of nodes come the names of the nodes to
            explain; without any, all are explained.
        method: Name of a method in `EXPLANATIONS`, or "auto" for the one that holds best on
            validation items of the run, which is found out once.
        target: The class to show the evidence for. By default the one predicted for each input.
        out: Folder to write the explanation images to, made where it is missing. By default
            nothing is written.
        progress: Told of inputs that cannot be read.

    Raises:
        UnknownNameError: There is no such method, class or node.
        ArgumentError: A class was given for a run that predicts numbers, a file would replace
            an input, or the images would lie among the data.
        DataError: There is no such path, or not one input can be read.
        StorageError: An explanation image could not be written.
    """
    given = several(inputs)
    requested = None if target is None else run.task.output_named(target, run.classes)
    if method != AUTO:
        EXPLANATIONS.get(method)
    progress = as_progress(progress)
    files = None if out is None else ExplanationFiles(Path(out), given, run.record.data)
    doubts = {found.label: found for found in run.followed}
    for doubt in doubts.values():
        progress.say(doubt.as_line())
    draw: PictureMaker | None = None
    for reading, prediction in _read(run, given, progress):
        if draw is None:  # only once there is something to explain
            methods = best_methods(run, progress) if method == AUTO else [method]
            draw = PictureMaker(run.kind, run.predictor, methods, steps=NUM_STEPS, choosy=True)
        number = prediction.output if requested is None else requested
        num_told = len(draw.choices())
        picture = draw(reading, number, prediction.item)
        for choice in draw.choices()[num_told:]:
            progress.say(f"{choice.topic}: {choice.choice} ({choice.why})")
        if picture is None:
            why = draw.choices()[-1].why
            raise ArgumentError("this network cannot be explained", why=why)
        chosen = picture.method
        explained = run.task.output_name(number, run.classes)
        checks = [picture.check()]
        if explained in doubts:
            checks.append(f"the model follows what is in the {doubts[explained].part}: look there")
        caption = (
            prediction.item,
            f"Prediction: {prediction.answer()}",
            f"Evidence for: {explained or HIGHER} (method: {chosen})",
            *(check.capitalize() for check in checks if check),
        )
        card = on_card(picture, caption)
        stem = f"{stem_of(prediction.item)}-{chosen}"
        yield Explained(
            item=prediction.item,
            prediction=prediction,
            target=explained,
            method=chosen,
            check="; ".join(filter(None, checks)),
            image=card,
            path=None if files is None else files.write(stem, card),
        )


def _read(
    run: Run, given: Sequence[Input], progress: Progress
) -> Iterator[tuple[Reading, Prediction]]:
    """Read and predict the inputs, a batch at a time; say which cannot be read."""
    source = run.open(given)
    skipped = list(source.listing.skipped)
    items = run.read(source, source.listing.items)
    num_told = num_read = 0
    while some := list(islice(items, BATCH_SIZE)):
        skipped += [read for _, read in some if isinstance(read, Skip)]
        for skip in skipped[num_told:]:
            progress.say(f"skipped {one_line(skip.id)}: {one_line(skip.reason)}")
        num_told = len(skipped)
        readable = [(item, read) for item, read in some if isinstance(read, Reading)]
        num_read += len(readable)
        if readable:
            outputs = run.outputs(reading for _, reading in readable)
            predictions = run.answers([item for item, _ in readable], outputs)
            yield from zip((reading for _, reading in readable), predictions, strict=True)
    if not num_read:
        raise DataError("not one input can be read", why=skipped[0].reason if skipped else "")
