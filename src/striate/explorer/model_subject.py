"""A network by name, with a built-in item or one file of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from striate.errors import ArgumentError
from striate.explorer.sample_items import NAMES, planes, sample
from striate.explorer.subject import Entry, Opened, Subject
from striate.models import Network, create_model
from striate.models.catalog import find
from striate.models.network import GridConfig
from striate.weights.manifest import sources

_SIDES: Final = {1: 256, 2: 224, 3: 32}
"""Sides of items by number of axes, at most; a network for larger ones is walked at this."""

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
    """

    def __init__(
        self, name: str, shape: tuple[int, ...] | None = None, files: Sequence[Path] = ()
    ) -> None:
        self.name = name
        self.network, trained = _network(name, shape)
        self.network.eval()
        self.shape = shape or _usual_shape(name, self.network)
        self.classes = ()
        self._files = [*files]
        built_in = Entry(name=NAMES[len(self.shape) - 1])
        self.entries = [*(Entry(name=path.name) for path in files), built_in]
        self.notes = (
            () if trained else ("The weights are random: this network has learnt nothing.",)
        )

    def open(self, number: int) -> Opened:
        """Read a file, or draw the sample."""
        raw = self._read(self._files[number]) if number < len(self._files) else sample(self.shape)
        if raw.dtype == np.uint8:
            x = self.network.preprocessing.normalize(torch.from_numpy(raw)[None])
        else:
            x = torch.from_numpy(raw)[None]
        return Opened(x=x, raw=raw)

    def _read(self, path: Path) -> NDArray[Any]:
        """A file, brought to the shape of the network's items."""
        from striate.data.stores.pixels import resize_shorter, viewable
        from striate.kinds.reading import read

        channels, *space = self.shape
        kind: Any = {1: "signal", 2: "image", 3: "volume"}[len(space)]
        array = read(path, kind).array
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


def _usual_shape(name: str, network: Network) -> tuple[int, ...]:
    config = network.config
    side = config.input_size
    if not getattr(config, "made_for_size", False):
        side = max(min(side, _SIDES[config.rank]), network.min_size)
    return (config.in_channels, *(side,) * config.rank)


def _middle(array: NDArray[Any], space: Sequence[int]) -> NDArray[Any]:
    starts = [(n - side) // 2 for n, side in zip(array.shape[1:], space, strict=True)]
    return array[:, starts[0] : starts[0] + space[0], starts[1] : starts[1] + space[1]]
