"""Pictures of items with the evidence for an output, by the first of some methods that does not fail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Final

from PIL import Image

from striate.data.dataset import Dataset
from striate.data.source import Reading
from striate.errors import one_line
from striate.explain import told_as
from striate.explain.drawing import image_card, svg_card
from striate.kinds.kind import Kind
from striate.report import Drawing, Picture, RunReport
from striate.report.picture import small
from striate.report.schema import Choice
from striate.run.predictor import Predictor
from striate.tasks.task import Task

OTHERWISE: Final = ("occlusion", "gradcam")
"""Methods that take the place of the one that suits a kind, where it fails: the first asks nothing of
a network but its outputs, the second is quick."""

REPORT_STEPS: Final = 4
"""Points of the curves by which the pictures of a report are checked: 40 passes for each."""

NUM_CHECKED: Final = 4
"""Number of a report's pictures that are checked: a report must not take long."""


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
                    picture, image=on_card(picture) if marked else picture.image, nearest=drawn
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


def on_card(picture: Picture, caption: Sequence[str] = ()) -> Drawing:
    """The picture with its heat map beside it and a caption below.

    Args:
        picture: The picture.
        caption: The lines of the caption; none for no caption.
    """
    if isinstance(picture.image, str):
        return svg_card(picture.image, caption)
    panels = (picture.image, picture.overlay)
    return image_card([panel for panel in panels if isinstance(panel, Image.Image)], caption)


def preferred(kind: Kind) -> list[str]:
    """The methods that "auto" tries for a kind, in this order, each once."""
    return list(dict.fromkeys((kind.explanation, *OTHERWISE)))
