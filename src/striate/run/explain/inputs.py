"""Explanation images: the evidence for what a network predicts, item by item."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Final

from PIL import Image

from striate.data.dataset import Dataset
from striate.data.source import Reading, Skip
from striate.data.unlabelled import Input, several
from striate.errors import ArgumentError, DataError, one_line
from striate.explain import EXPLANATIONS, told_as
from striate.explain.drawing import image_card, svg_card
from striate.explain.fidelity import NUM_STEPS
from striate.files import (
    check_output,
    check_output_folder,
    mark_output,
    storage_error,
    write_atomic,
)
from striate.kinds.kind import Kind
from striate.progress import Progress, ProgressLike, as_progress
from striate.report import Drawing, Picture, RunReport
from striate.report.picture import small
from striate.report.schema import Choice
from striate.run.predictor import Predictor
from striate.run.run import Run
from striate.tasks.prediction import Prediction
from striate.tasks.task import Task
from striate.typing import PathLike

AUTO: Final = "auto"
"""Stands for the method that suits the kind of the items."""

HIGHER: Final = "a higher value"
"""What evidence is for where a number is predicted."""

OTHERWISE: Final = ("occlusion", "gradcam")
"""Methods that take the place of the one that suits a kind, where it fails: the first asks nothing of
a network but its outputs, the second is quick."""

REPORT_STEPS: Final = 4
"""Points of the curves by which the pictures of a report are checked: 40 passes for each."""

NUM_CHECKED: Final = 4
"""Number of a report's pictures that are checked: a report must not take long."""

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
        method: Name of a method in `EXPLANATIONS`, or "auto" for the one that suits the kind of
            the items.
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
    files = None if out is None else _Files(Path(out), given, run.record.data)
    methods = preferred(run.kind) if method == AUTO else (method,)
    draw = PictureMaker(run.kind, run.predictor, methods, steps=NUM_STEPS, choosy=True)
    doubts = {found.label: found for found in run.followed}
    for doubt in doubts.values():
        progress.say(doubt.as_line())
    for reading, prediction in _read(run, given, progress):
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
        card = _on_card(picture, caption)
        stem = f"{_stem(prediction.item)}-{chosen}"
        yield Explained(
            item=prediction.item,
            prediction=prediction,
            target=explained,
            method=chosen,
            check="; ".join(filter(None, checks)),
            image=card,
            path=None if files is None else files.write(stem, card),
        )


def preferred(kind: Kind) -> list[str]:
    """The methods that "auto" tries for a kind, in this order, each once."""
    return list(dict.fromkeys((kind.explanation, *OTHERWISE)))


def mistake_pictures(
    kind: Kind, task: Task, report: RunReport, predictor: Predictor, dataset: Dataset
) -> tuple[dict[str, Picture], list[Choice]]:
    """The worst mistakes of a report, each with the evidence for its prediction and what is like it.

    Args:
        kind: Kind of the items.
        task: Task of the run.
        report: The evaluation.
        predictor: The network and its inputs.
        dataset: The data that were evaluated.

    Returns:
        A picture for each mistake by the item's name, made by the method that suits the kind; and
        where that fails what was done instead, for the report. A picture never ends a fit.
    """
    # The report shows an odd name in another form than the data have it.
    position = {one_line(item.id): index for index, item in enumerate(dataset.items)}
    nearest = {one.id: [near.id for near in one.nearest] for one in report.worst_mistakes}
    pictures: dict[str, Picture] = {}
    draw = PictureMaker(
        kind,
        predictor,
        preferred(kind),
        steps=REPORT_STEPS,
        num_checked=NUM_CHECKED,
    )
    for item, target in task.mistakes(report, dataset.classes):
        if item in position:
            reading, name = dataset.store[position[item]], dataset.items[position[item]].id
            picture = draw(reading, target, name)
            if picture is not None:
                near = (dataset.store[position[other]] for other in nearest[item])
                drawn = tuple(map(small_drawing, repeat(kind), near))
                marked = picture.overlay is None
                pictures[item] = replace(
                    picture, image=_on_card(picture) if marked else picture.image, nearest=drawn
                )
    return pictures, draw.choices()


def small_drawing(kind: Kind, reading: Reading) -> Drawing | None:
    """A small picture of an item as it is; None where its kind has none."""
    drawing = kind.thumbnail(reading)
    return None if drawing is None else small(drawing)


class PictureMaker:
    """`Kind.picture` of a network, by the first of some methods that does not fail.

    Args:
        kind: Kind of the items.
        predictor: The network and its inputs.
        methods: Names of the methods, the preferred first.
        steps: Points of the curves by which an explanation is checked.
        num_checked: Number of items whose explanation is checked.
        choosy: Whether the next method is tried where one finds nothing, or nothing true.
    """

    def __init__(
        self,
        kind: Kind,
        predictor: Predictor,
        methods: Sequence[str],
        *,
        steps: int,
        num_checked: float = math.inf,
        choosy: bool = False,
    ) -> None:
        self._picture = partial(
            kind.picture, predictor.network, predictor.inputs, device=predictor.device
        )
        self._network = predictor.network
        self._steps, self._num_checked, self._choosy = steps, num_checked, choosy
        self._left = list(methods)
        self._failures: list[tuple[str, str]] = []

    @property
    def method(self) -> str:
        """The method that is used; empty where all have failed."""
        return self._left[0] if self._left else ""

    def __call__(self, reading: Reading, target: int, item: str) -> Picture | None:
        """The picture of an item; None where every method fails.

        Where no evidence is found, or the check fails, the next method is tried for this item; of
        those that all fail the check the first that finds any evidence is taken.
        """
        found: list[Picture] = []
        steps = self._steps if self._num_checked > 0 else 0
        self._num_checked -= 1
        for method in tuple(self._left):
            try:
                picture = self._picture(reading, target, method, item=item, steps=steps)
            # Networks of other libraries raise whatever they like.
            except Exception as error:
                why = str(error).partition("\n")[0] or type(error).__name__
                self._failures.append((method, why))
                self._left.remove(method)
                continue
            found.append(replace(picture, method=told_as(method, self._network)))
            if not self._choosy or (picture.found and picture.faithful is not False):
                return found[-1]
        return max(found, key=lambda picture: picture.found, default=None)

    def choices(self) -> list[Choice]:
        """What took the place of a method that failed, and why."""
        return [
            Choice(
                topic="explanation",
                choice=self.method or "none",
                why=f"{name} cannot explain this network: {why}",
            )
            for name, why in self._failures
        ]


def _on_card(picture: Picture, caption: Sequence[str] = ()) -> Drawing:
    if isinstance(picture.image, str):
        return svg_card(picture.image, caption)
    panels = (picture.image, picture.overlay)
    return image_card([panel for panel in panels if isinstance(panel, Image.Image)], caption)


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


class _Files:
    """Writes images into a folder under names that are given once, and never that of an input.

    Args:
        folder: The folder.
        inputs: What is explained.
        data: What the run learnt from.

    Raises:
        OptionError: The folder is a part of the data, or of an input, where an explanation would be
            taken for an item.
    """

    def __init__(self, folder: Path, inputs: Sequence[Input], data: str = "") -> None:
        check_output_folder(folder, [*inputs, *filter(None, [data])], "out")
        self._folder, self._inputs = folder, inputs
        self._taken: set[Path] = set()

    def write(self, stem: str, card: Drawing) -> Path:
        """Write an image and return its path.

        Raises:
            ArgumentError: It would replace an input.
            StorageError: It could not be written.
        """
        out, svg = BytesIO(), isinstance(card, str)
        if isinstance(card, str):
            out.write(card.encode())
        else:
            card.save(out, "PNG")
        path = self.path(stem, ".svg" if svg else ".png")
        try:
            mark_output(self._folder)
        except OSError as error:
            raise storage_error(self._folder, 0, error) from None
        write_atomic(path, out.getvalue())
        return path

    def path(self, stem: str, suffix: str) -> Path:
        """Return a path that was not given before; raise ArgumentError where it is an input's."""
        names = chain([stem], (f"{stem}-{number}" for number in count(2)))
        path = next(p for name in names if (p := self._folder / (name + suffix)) not in self._taken)
        self._taken.add(path)
        check_output(path, self._inputs, "out")
        return path


def _stem(item: str) -> str:
    """Return a name for a file from that of an item.

    >>> _stem("photos/a cat.jpg"), _stem("two.npy[1]"), _stem("CC(=O)O"), _stem("..")
    ('a_cat', 'two.npy_1', 'CC_O_O', 'item')
    """
    name = re.sub(r"\.\w{1,5}$", "", item.rstrip("/").rpartition("/")[2])
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:40] or "item"
