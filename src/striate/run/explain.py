"""`explain`: pictures of where a trained network looked for its answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from striate.data.layouts.edge_list import EDGES, NODES
from striate.data.layouts.node_source import NodeSource
from striate.data.source import Item, Reading, Skip
from striate.data.unlabelled import Input
from striate.errors import ArgumentError, DataError, StorageError, UnknownNameError, one_line
from striate.explain import METHODS, explain, overlay
from striate.explain.signal_picture import signal_svg
from striate.explain.volume_picture import orthogonal_slices
from striate.files import write_atomic
from striate.kinds.graph.drawing import GraphHeat, graph_picture, seen_graph
from striate.kinds.node.drawing import node_picture
from striate.kinds.node.inputs import NodeInputs
from striate.kinds.signal.inputs import SignalFeed
from striate.kinds.volume.inputs import VolumeFeed
from striate.models import Network
from striate.nn.layout import placed
from striate.ops.graph_batch import GraphBatch
from striate.progress import Progress
from striate.report import Drawing, Picture, svg_document
from striate.run.predictor import BATCH_SIZE, FeedPredictor, NodePredictor, Predictor
from striate.run.run import AnyPrediction, Prediction, Run
from striate.typing import Kind, PathLike

DEFAULT_FOLDER: Final = "explained"

_LEAST_SIDE: Final = 256
_GAP: Final = 8

Heat: TypeAlias = Float[np.ndarray, "*space"]
"""From 0 to 1 at each place of the network's input."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An item, and what the network says of it.

    Attributes:
        id: of the item.
        answer: for a person, such as "cat 93.1%" or "4.2 mm".
        target: number of the output that the answer came from.
        reading: of the item; of an image the square that the network takes.
    """

    id: str
    answer: str
    target: int
    reading: Reading


@dataclass(frozen=True, kw_only=True)
class Explained:
    """An item whose picture is written.

    Attributes:
        id: of the item.
        answer: what the network says of it.
        asked: the class that the picture speaks of, where it was asked for; else empty.
        path: of the picture.
    """

    id: str
    answer: str
    asked: str
    path: Path

    def as_line(self) -> str:
        """The result for a person."""
        asked = f"for {one_line(self.asked)}: " if self.asked else ""
        return f"{one_line(self.id)}: {one_line(self.answer)}; {asked}{self.path}"


def explain_inputs(
    trained: Run,
    inputs: Sequence[Input],
    *,
    method: str = "gradcam",
    target: str | None = None,
    out: PathLike = DEFAULT_FOLDER,
    progress: Progress | None = None,
) -> Iterator[Explained]:
    """Write a picture for each input, one after the other.

    Args:
        trained: a finished run.
        inputs: as `Run.predict` takes them; after a graph of nodes those of its nodes to explain,
            all without any.
        method: a name of `striate.explain.METHODS`.
        target: the class to explain; each input's predicted one by default.
        out: folder of the pictures, made where it is missing.
        progress: is told of inputs that cannot be read.

    Raises:
        UnknownNameError: no such method, class or node.
        ArgumentError: a class for a run that predicts numbers; a picture would replace an input.
        DataError: there is no such path, or not one input can be read.
        StorageError: a picture could not be written.
    """
    METHODS.get(method)
    number = None if target is None else _class_number(trained, target)
    folder = Path(out)
    if isinstance(trained.predictor, NodePredictor):
        names = _Names(inputs[:1])
        found = _nodes(trained, trained.predictor, inputs, number, method)
    else:
        names = _Names(inputs)
        found = _items(trained, inputs, number, method, progress or Progress(quiet=True))
    for item, answer, picture in found:
        content, suffix = encoded(picture)
        path = names.path(folder, f"{_stem(item)}-{method}", suffix)
        _make(folder)
        write_atomic(path, content)
        yield Explained(id=item, answer=answer, asked=target or "", path=path)


_Found: TypeAlias = tuple[str, str, Picture]
"""An item's id, what the network says of it, and its picture."""


def _items(
    trained: Run, inputs: Sequence[Input], number: int | None, method: str, progress: Progress
) -> Iterator[_Found]:
    for subject in subjects_of(trained, inputs, progress):
        asked = subject.target if number is None else number
        shown, heat = seen(trained.predictor, subject.reading, asked, method)
        picture = picture_of(trained.record.kind, shown, heat, subject.id)
        yield subject.id, subject.answer, picture


def _nodes(
    trained: Run,
    predictor: NodePredictor,
    inputs: Sequence[Input],
    number: int | None,
    method: str,
) -> Iterator[_Found]:
    """The nodes named after their graph, or all of them; what `subjects_of` and `seen` are else."""
    graph = _graph(trained, inputs)
    for name in inputs[1:]:
        if str(name) not in graph.position:
            raise UnknownNameError(f"node of {graph.name}", str(name), graph.position)
    chosen = [Item(id=str(name)) for name in inputs[1:] or graph.position]
    outputs = predictor.outputs(graph, chosen)
    around = NodeInputs(graph, predictor.feed)
    answers = trained.answers([item.id for item in chosen], outputs)
    for item, answer in zip(chosen, answers, strict=True):
        asked = _best(answer) if number is None else number
        picture = node_picture(predictor, around, item, asked, method)
        yield item.id, answer.answer(), picture


def _graph(trained: Run, inputs: Sequence[Input]) -> NodeSource:
    try:
        return trained.open_graph(inputs[:1])
    except DataError:
        named = [Path(entry) for entry in inputs[:1] if isinstance(entry, str | Path)]
        if any((path / NODES).is_file() for path in named):
            raise
        # Whatever else it may be taken for, its troubles as such are beside the point.
        raise DataError(
            f"{named[0] if named else 'what is given'} is no graph of nodes",
            fix=f"name the graph (a folder with {NODES} and {EDGES}, or a sample), then its nodes",
        ) from None


def subjects_of(trained: Run, inputs: Sequence[Input], progress: Progress) -> Iterator[Subject]:
    """The inputs of a run that can be read, in order.

    Raises:
        DataError: there is no such path, or not one input can be read.
    """
    source = trained.open(inputs)
    skipped = list(source.listing.skipped)
    for skip in skipped:
        _say(progress, skip)
    items = trained.read(source, source.listing.items)
    num_read = 0
    while some := list(islice(items, BATCH_SIZE)):
        for _, read in some:
            if isinstance(read, Skip):
                skipped.append(read)
                _say(progress, read)
        readable = [(item, reading) for item, reading in some if isinstance(reading, Reading)]
        if not readable:
            continue
        num_read += len(readable)
        outputs = trained.outputs(reading for _, reading in readable)
        answers = trained.answers([item.id for item, _ in readable], outputs)
        for (item, reading), answer in zip(readable, answers, strict=True):
            target = _best(answer)
            yield Subject(id=item.id, answer=answer.answer(), target=target, reading=reading)
    if not num_read:
        raise DataError("not one input can be read", why=skipped[0].reason)


def _best(answer: AnyPrediction) -> int:
    """The output that an answer came from."""
    # By probability: calibration may shift classes, and so change which of them wins.
    return int(answer.probabilities.argmax()) if isinstance(answer, Prediction) else 0


def seen(
    predictor: Predictor, reading: Reading, target: int, method: str
) -> tuple[Reading, Heat | GraphHeat]:
    """An item as the network saw it, and where it speaks for an output."""
    network, device = predictor.network, predictor.device
    if not isinstance(predictor, FeedPredictor):
        pixels = torch.from_numpy(reading.array[None]).to(device)
        return reading, _heat(network, network.preprocessing.normalize(pixels), target, method)
    inputs = placed(predictor.feed.inputs([reading]), device)
    if isinstance(inputs, GraphBatch):
        return seen_graph(network, inputs, reading, target, method)
    heat = _heat(network, inputs, target, method)
    if isinstance(predictor.feed, SignalFeed):
        return _seen_signal(predictor.feed, reading, heat)
    spacing = predictor.feed.spacing if isinstance(predictor.feed, VolumeFeed) else ()
    return replace(reading, array=inputs[0].float().cpu().numpy(), spacing=spacing), heat


def _heat(network: Network, inputs: Tensor, target: int, method: str) -> Heat:
    """Of one item, at the resolution of its input."""
    targets = torch.tensor([target], device=inputs.device)
    return np.asarray(explain(network, inputs, targets, method)[0].float().cpu().numpy())


def _seen_signal(feed: SignalFeed, reading: Reading, heat: Heat) -> tuple[Reading, Heat]:
    """The samples that the network saw, in their own unit; of a spectrogram what any band says."""
    samples = replace(feed, input="raw", normalize="none").inputs([reading])[0].numpy()
    if heat.ndim == 2:
        over_time = heat.max(0)
        moments = np.linspace(0, feed.length - 1, len(over_time))
        heat = np.interp(np.arange(feed.length), moments, over_time).astype(np.float32)
    # Stretched to one length, a signal has no rate any more.
    rate = feed.rate if feed.lengths == "crop" else 0.0
    return replace(reading, array=samples, spacing=(1 / rate,) if rate else ()), heat


def picture_of(kind: Kind, reading: Reading, heat: Heat | GraphHeat, item: str = "") -> Picture:
    """The picture of an item with its heat, as suits its kind.

    Args:
        kind: of the item.
        reading: of the item, as the network saw it.
        heat: of the same space; of a graph, of its nodes and edges.
        item: its name, which may be a molecule's SMILES.
    """
    if isinstance(heat, GraphHeat):
        return graph_picture(reading, heat, item)
    return GRIDS[kind](reading, heat)


def _image_picture(reading: Reading, heat: Heat) -> Picture:
    pixels = reading.array
    return Picture(
        image=Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))),
        overlay=overlay(pixels, heat),
    )


def _volume_picture(reading: Reading, heat: Heat) -> Picture:
    """Of the mean over the channels."""
    volume = reading.array.astype(np.float32).mean(0)
    return Picture(image=orthogonal_slices(volume, heat, spacing=reading.spacing))


def _signal_picture(reading: Reading, heat: Heat) -> Picture:
    rate = 1 / reading.spacing[0] if reading.spacing else None
    return Picture(image=signal_svg(reading.array.astype(np.float32), heat, rate=rate))


GRIDS: Final[Mapping[Kind, Callable[[Reading, Heat], Picture]]] = {
    "image": _image_picture,
    "signal": _signal_picture,
    "volume": _volume_picture,
}
"""How an item of each kind of grid is drawn with its heat."""


def encoded(picture: Picture) -> tuple[bytes, str]:
    """The picture as the content of a file, and the ending of the file's name.

    An item and its overlay stand side by side; what is small is enlarged.
    """
    if isinstance(picture.image, str):
        return svg_document(picture.image).encode(), ".svg"
    panels = [_enlarged(panel) for panel in (picture.image, picture.overlay) if panel is not None]
    width = sum(panel.width for panel in panels) + _GAP * (len(panels) - 1)
    page = Image.new("RGB", (width, max(panel.height for panel in panels)), "white")
    left = 0
    for panel in panels:
        page.paste(panel, (left, 0))
        left += panel.width + _GAP
    out = BytesIO()
    page.save(out, "PNG")
    return out.getvalue(), ".png"


def _enlarged(drawing: Drawing) -> Image.Image:
    assert not isinstance(drawing, str), "an overlay of pixels lies over pixels"
    factor = max(1, _LEAST_SIDE // min(drawing.size))
    size = drawing.width * factor, drawing.height * factor
    return drawing.convert("RGB").resize(size, Image.Resampling.NEAREST)


def _say(progress: Progress, skip: Skip) -> None:
    progress.say(f"skipped {one_line(skip.id)}: {one_line(skip.reason)}")


def _class_number(trained: Run, name: str) -> int:
    if not trained.classes:
        raise ArgumentError(
            f"--target {name!r} for a run that predicts a number", fix="leave it out"
        )
    if name not in trained.classes:
        raise UnknownNameError("class", name, trained.classes)
    return trained.classes.index(name)


class _Names:
    """File names that are given once, and never the name of an input."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        given = [Path(entry).resolve() for entry in inputs if isinstance(entry, str | Path)]
        self._inputs = given
        self._taken: set[str] = set()

    def path(self, folder: Path, stem: str, suffix: str) -> Path:
        """A path in the folder that was not given before.

        Raises:
            ArgumentError: it is the path of an input.
        """
        number, name = 1, stem + suffix
        while name in self._taken:
            number += 1
            name = f"{stem}-{number}{suffix}"
        self._taken.add(name)
        path = folder / name
        place = path.resolve()
        if path.exists() and any(place == i or i in place.parents for i in self._inputs):
            raise ArgumentError(
                f"{str(path)!r} is one of the inputs", fix="choose another folder with --out"
            )
        return path


def _stem(item_id: str) -> str:
    """A name for a file from that of an item.

    >>> _stem("photos/a cat.jpg"), _stem("two.npy[1]"), _stem("CC(=O)O"), _stem("..")
    ('a_cat', 'two.npy_1', 'CC_O_O', 'item')
    """
    name = re.sub(r"\.\w{1,5}$", "", item_id.rstrip("/").rpartition("/")[2])
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:40] or "item"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot write to {str(folder)!r}",
            why=error.strerror or str(error),
            fix="choose another folder with --out",
        ) from None
