"""What a fit leaves in its run folder once the model is chosen: figures, pictures, files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from striate.data.dataset import Dataset
from striate.explain import explain, overlay
from striate.progress import Progress
from striate.recipes.baseline import crops
from striate.recipes.predictor import Predictor
from striate.report import Picture, Report
from striate.run import HISTORY, PREDICTIONS, RunFolder


def predict_items(
    predictor: Predictor,
    dataset: Dataset,
    indices: NDArray[np.int64],
    size: int,
    progress: Progress,
    label: str,
    stop: Callable[[], bool],
) -> Tensor:
    """(items, classes) uncalibrated logits of some items, in their order."""
    outputs = []
    with progress.track(label, len(indices), "items") as tracker:
        for pixels in crops(dataset, indices, size, stop=stop):
            outputs.append(predictor.logits(pixels))
            tracker.advance(len(pixels))
    return torch.cat(outputs)


def write_predictions(
    folder: RunFolder,
    dataset: Dataset,
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]],
) -> None:
    """Write `predictions.csv`.

    Args:
        folder: of the run.
        dataset: of the items.
        parts: positions of items and their calibrated probabilities (items, classes).
    """

    def rows() -> Iterator[Sequence[object]]:
        for indices, probabilities in parts:
            for index, row in zip(indices, probabilities, strict=True):
                yield (
                    dataset.items[index].id,
                    str(dataset.splits[index]),
                    dataset.classes[dataset.labels[index]],
                    dataset.classes[int(row.argmax())],
                    *(f"{value:.9g}" for value in row),
                )

    columns = ["item", "split", "label", "prediction", *dataset.classes]
    folder.write_csv(PREDICTIONS, columns, rows())


def write_history(folder: RunFolder, history: Sequence[Mapping[str, float]]) -> None:
    """Write `history.csv`: a row an epoch, none where nothing was trained by epochs."""
    columns = list(history[0]) if history else ["epoch"]
    folder.write_csv(HISTORY, columns, [list(row.values()) for row in history])


def mistake_pictures(
    report: Report, predictor: Predictor, dataset: Dataset, size: int
) -> dict[str, Picture]:
    """The worst mistakes as the network saw them, and where it looked for its answer."""
    position = {item.id: index for index, item in enumerate(dataset.items)}
    number = {name: k for k, name in enumerate(dataset.classes)}
    pictures = {}
    for mistake in report.worst_mistakes:
        if mistake.id not in position or mistake.prediction not in number:
            continue  # the report shows such a name in another form than the data has it
        pixels = dataset.pixels.center_crops([position[mistake.id]], size)
        inputs = predictor.network.preprocessing.normalize(pixels.to(predictor.device))
        target = torch.tensor([number[mistake.prediction]], device=predictor.device)
        heat = explain(predictor.network, inputs, target)[0].float().cpu().numpy()
        image = pixels[0].numpy()
        pictures[mistake.id] = Picture(
            image=Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))),
            overlay=overlay(image, heat),
        )
    return pictures


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    names = ("striate", "torch", "numpy", "pillow", "scikit-learn")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}
