"""A network by name, with a built-in item or one file of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.folder_walk import existing_path
from striate.data.sandbox import read_all
from striate.data.source import Skip
from striate.data.stores.pixels import resize_shorter, viewable
from striate.data.unlabelled import Input, open_inputs
from striate.errors import ArgumentError, DataError
from striate.explorer.sample_items import NAMES, planes, sample
from striate.explorer.subject import Entry, Opened, Subject
from striate.models import Network, create_model
from striate.models.catalog import find
from striate.models.network import GridConfig
from striate.typing import Kind
from striate.weights.manifest import sources

_SIDES: Final = {1: 256, 2: 224, 3: 32}
"""Sides of items by number of axes, at most; a network for larger ones is walked at this."""

_KINDS: Final[dict[int, Kind]] = {1: "signal", 2: "image", 3: "volume"}
"""What items are, by their number of axes."""

_IMAGENET_CLASSES: Final = 1000

_TEXT_SIDE: Final = 64
"""Side for plain networks from a line of text, which are made for any."""


class ModelSubject(Subject):
    """A network by name, as good as its weights: pretrained where a package has them, else random.

    Args:
        name: What `create_model` takes.
        shape: (channels, *space) of items; None for what suits the network.
        files: Pictures, series or volumes of the user's.

    Raises:
        UnknownNameError: There is no such network.
        ArgumentError: It takes graphs, or not such items.
        DataError: A file cannot be read.
    """

    def __init__(
        self, name: str, shape: tuple[int, ...] | None = None, files: Sequence[Path] = ()
    ) -> None:
        self.name = name
        self.network, self.trained = _network(name, shape)
        self.network.eval()
        self.shape = shape or _usual_shape(name, self.network)
        self.classes = (
            _imagenet_names() if self.trained and _answers(name) == _IMAGENET_CLASSES else ()
        )
        # As the network takes them they are small; a process to decode one takes long to start.
        self._raw = [*(self._read(existing_path(path)) for path in files), sample(self.shape)]
        names = [*(path.name for path in files), NAMES[len(self.shape) - 1]]
        self.entries = [Entry(name=name) for name in names]
        self.notes = (
            () if self.trained else ("The weights are random: this network has learnt nothing.",)
        )

    def open(self, number: int) -> Opened:
        """One of the files, or the sample."""
        return self._prepared(self._raw[number])

    def add(self, name: str, content: bytes) -> None:
        """Take the content of a file as one more item."""
        self._raw.append(self._read(content))
        self.entries.append(Entry(name=name))

    def _prepared(self, raw: NDArray[Any]) -> Opened:
        if raw.dtype == np.uint8:
            x = self.network.preprocessing.normalize(torch.from_numpy(raw)[None])
        else:
            x = torch.from_numpy(raw)[None]
        return Opened(x=x, raw=raw)

    def _read(self, given: Input) -> NDArray[Any]:
        """A file or its content, brought to the shape of the network's items."""
        channels, *space = self.shape
        kind = _KINDS[len(space)]
        source = open_inputs([given], kind, channels)
        ((item, reading),) = read_all(source, source.listing.items[:1], None, workers=1)
        if isinstance(reading, Skip):
            raise DataError(f"cannot read {item.id}", why=reading.reason)
        array = reading.array
        if len(space) == 2:
            whole = resize_shorter(viewable(array), max(space))
            return planes(_middle(whole, space), channels)
        values = torch.from_numpy(np.array(array, np.float32))[None]
        mode = "linear" if len(space) == 1 else "trilinear"
        resized = torch.nn.functional.interpolate(values, tuple(space), mode=mode)[0]
        spread = (resized - resized.mean()) / resized.std(correction=0).clamp(min=1e-6)
        return planes(spread.numpy(), channels)


def _network(name: str, shape: tuple[int, ...] | None) -> tuple[Network, bool]:
    """The network, and whether its weights are trained."""
    variant = find(name)
    config = variant.config
    if not variant.ranks:
        raise ArgumentError(f"{name} takes graphs", why="the page shows series, images and volumes")
    options: dict[str, Any] = {}
    if shape is not None:
        options = {"rank": len(shape) - 1, "in_channels": shape[0]}
        if isinstance(config, GridConfig) and config.made_for_size:
            options["input_size"] = shape[1]
    elif variant.family == "text" and config.input_size > _TEXT_SIDE:
        options = {"input_size": _TEXT_SIDE}
    torch.manual_seed(0)
    for source in sources(variant.family, name):
        if source.kind == "package" and find_spec(source.location) is not None:
            return create_model(name, weights=source.name, **options), True
    return create_model(name, **options), False


def _answers(name: str) -> int:
    """Number of outputs of a network by name."""
    return int(getattr(find(name).config, "num_classes", 0))


def _imagenet_names() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes, from timm's files where it is installed; else none.

    Timm is not imported: that takes seconds.
    """
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        return ()
    folder = Path(spec.origin).parent / "data" / "_info"
    try:
        synsets = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()
        lines = (folder / "imagenet_synset_to_lemma.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    lemmas = dict(line.split("\t", 1) for line in lines if "\t" in line)
    names = tuple(lemmas[synset].partition(",")[0] for synset in synsets if synset in lemmas)
    return names if len(names) == _IMAGENET_CLASSES else ()


def _usual_shape(name: str, network: Network) -> tuple[int, ...]:
    config = network.config
    side = config.input_size
    if not getattr(config, "made_for_size", False):
        side = max(min(side, _SIDES[config.rank]), network.min_size)
    return (config.in_channels, *(side,) * config.rank)


def _middle(array: NDArray[Any], space: Sequence[int]) -> NDArray[Any]:
    starts = [(n - side) // 2 for n, side in zip(array.shape[1:], space, strict=True)]
    return array[:, starts[0] : starts[0] + space[0], starts[1] : starts[1] + space[1]]
