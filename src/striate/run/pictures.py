"""Pictures of a fit's worst mistakes, as their kind asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from striate.data.dataset import Dataset, ImageDataset, ReadDataset
from striate.data.source import Reading
from striate.kinds.node.drawing import node_picture
from striate.kinds.node.inputs import NodeInputs
from striate.report import AnyReport, Picture, Report
from striate.run.explain import picture_of, seen
from striate.run.predictor import FeedPredictor, NodePredictor, Predictor

METHOD: Final = "gradcam"

VOLUME_METHOD: Final = "occlusion"
"""Of volumes: three views have fine maps of little meaning, and few mistakes are drawn."""


def image_pictures(
    report: AnyReport, predictor: Predictor, dataset: ImageDataset, size: int
) -> dict[str, Picture]:
    """The worst mistakes as the network saw them, and where it looked for its answer."""
    pictures = {}
    for item, position, target in _mistakes(report, dataset):
        pixels = dataset.pixels.center_crops([position], size)
        reading = Reading(array=pixels[0].numpy(), sha256="")
        shown, heat = seen(predictor, reading, target, METHOD)
        pictures[item] = picture_of("image", shown, heat)
    return pictures


def feed_pictures(
    report: AnyReport, predictor: FeedPredictor, dataset: ReadDataset
) -> dict[str, Picture]:
    """The same for signals, volumes and graphs."""
    pictures = {}
    for item, position, target in _mistakes(report, dataset):
        method = VOLUME_METHOD if dataset.kind == "volume" else METHOD
        shown, heat = seen(predictor, dataset.readings[position], target, method)
        pictures[item] = picture_of(dataset.kind, shown, heat, item)
    return pictures


def node_pictures(
    report: AnyReport, predictor: NodePredictor, inputs: NodeInputs, dataset: ReadDataset
) -> dict[str, Picture]:
    """The same for nodes, each among those that it is joined to."""
    return {
        item: node_picture(predictor, inputs, dataset.items[position], target, METHOD)
        for item, position, target in _mistakes(report, dataset)
    }


def _mistakes(report: AnyReport, dataset: Dataset) -> Iterator[tuple[str, int, int]]:
    """The id of each mistake, its position, and the output that its prediction came from."""
    position = {item.id: index for index, item in enumerate(dataset.items)}
    number = {name: k for k, name in enumerate(dataset.classes)}
    if isinstance(report, Report):
        # The report shows an odd name in another form than the data has it.
        found = [(mistake.id, number.get(mistake.prediction)) for mistake in report.worst_mistakes]
    else:
        found = [(mistake.id, 0) for mistake in report.worst_mistakes]
    for item, target in found:
        if item in position and target is not None:
            yield item, position[item], target
