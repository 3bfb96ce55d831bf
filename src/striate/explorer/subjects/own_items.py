"""Files of the user's as items of a network that says nothing of how they are prepared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.sandbox import read_item as read_by
from striate.data.source import Reading
from striate.data.stores.resizing import resize_shorter, viewable
from striate.data.unlabelled import Input, open_inputs
from striate.explorer.subjects.decoder import KeptDecoder
from striate.explorer.subjects.sample_items import planes
from striate.typing import Kind

_KINDS: Final[dict[int, Kind]] = {1: "signal", 2: "image", 3: "volume"}
"""What items are, by their number of axes."""


def read_item(given: Input, shape: Sequence[int], decoder: KeptDecoder) -> NDArray[Any]:
    """A file or its content, brought to a shape: of a picture the middle, of others all resampled.

    Args:
        given: The file or its content.
        shape: (channels, *space).
        decoder: Decodes it.

    Returns:
        An array of that shape, as `sample` gives it.

    Raises:
        DataError: It cannot be read.
    """
    channels, *space = shape
    array = read_whole(given, shape, decoder).array
    if len(space) == 2:
        whole = resize_shorter(viewable(array), max(space))
        return planes(_middle(whole, space), channels)
    values = torch.from_numpy(np.array(array, np.float32))[None]
    mode = "linear" if len(space) == 1 else "trilinear"
    resized = torch.nn.functional.interpolate(values, tuple(space), mode=mode)[0]
    spread = (resized - resized.mean()) / resized.std(correction=0).clamp(min=1e-6)
    return planes(spread.numpy(), channels)


def read_whole(
    given: Input, shape: Sequence[int], decoder: KeptDecoder, size: int | None = None
) -> Reading:
    """A file or its content as it is.

    Args:
        given: The file or its content.
        shape: (channels, *space) of what is to be made of it.
        decoder: Decodes it.
        size: Shorter side in pixels that is wanted of a picture; None for all.

    Raises:
        DataError: It cannot be read.
    """
    source = open_inputs([given], _KINDS[len(shape) - 1], shape[0])
    item = source.listing.items[0]
    return decoder.read(item, lambda pool: read_by(source, item, size, pool))


def _middle(array: NDArray[Any], space: Sequence[int]) -> NDArray[Any]:
    starts = [(n - side) // 2 for n, side in zip(array.shape[1:], space, strict=True)]
    return array[:, starts[0] : starts[0] + space[0], starts[1] : starts[1] + space[1]]
