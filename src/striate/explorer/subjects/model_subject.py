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
from striate.errors import ArgumentError
from striate.explorer.subjects.imagenet import NUM_CLASSES, imagenet_names
from striate.explorer.subjects.own_items import read_item
from striate.explorer.subjects.sample_items import NAMES, SIDES, sample
from striate.explorer.subjects.subject import Entry, Opened, Subject
from striate.models import Network, create_model
from striate.models.catalog import find
from striate.models.network import GridConfig
from striate.weights.manifest import sources

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

    network: Network

    def __init__(
        self, name: str, shape: tuple[int, ...] | None = None, files: Sequence[Path] = ()
    ) -> None:
        self.name = name
        self.network, self.trained = _network(name, shape)
        self.network.eval()
        self.shape = shape or _usual_shape(name, self.network)
        self.classes = imagenet_names() if self.trained and _answers(name) == NUM_CLASSES else ()
        # As the network takes them they are small.
        self._raw = [
            *(read_item(existing_path(path), self.shape, self.decoder) for path in files),
            sample(self.shape),
        ]
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
        self._raw.append(read_item(content, self.shape, self.decoder))
        self.entries.append(Entry(name=name))

    def _prepared(self, raw: NDArray[Any]) -> Opened:
        if raw.dtype == np.uint8:
            x = self.network.preprocessing.normalize(torch.from_numpy(raw)[None])
        else:
            x = torch.from_numpy(raw)[None]
        return Opened(x=x, raw=raw)


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


def _usual_shape(name: str, network: Network) -> tuple[int, ...]:
    config = network.config
    side = config.input_size
    if not getattr(config, "made_for_size", False):
        side = max(min(side, SIDES[config.rank]), network.min_size)
    return (config.in_channels, *(side,) * config.rank)
