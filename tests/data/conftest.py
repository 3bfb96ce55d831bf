"""Images in memory, for the tests of this room."""

import hashlib

import numpy as np
import pytest

from striate.data.source import Item, Listing, Reading, Source, UnreadableItem


class ArraySource(Source):
    """Images from a dictionary of id -> (label, array); None cannot be read."""

    kind = "image"
    name = "arrays"

    def __init__(self, images, **listing):
        self.images = {name: image for name, (_, image) in images.items()}
        items = tuple(Item(id=name, label=label) for name, (label, _) in images.items())
        self.listing = Listing(**{"items": items, **listing})

    def read(self, item, size=None):
        array = self.images[item.id]
        if array is None:
            raise UnreadableItem("empty file")
        return Reading(array=array, sha256=hashlib.sha256(array.tobytes()).hexdigest())


def _photographs(count, height=40, width=48, seed=0):
    """Smooth random pictures, (3, height, width) uint8 each, no two alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 3, 8, 8))
    rows, columns = np.linspace(0, 6.99, height), np.linspace(0, 6.99, width)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None], (columns - left)[None, :]
    upper = coarse[:, :, top][..., left] * (1 - right) + coarse[:, :, top][..., left + 1] * right
    lower = (
        coarse[:, :, top + 1][..., left] * (1 - right)
        + coarse[:, :, top + 1][..., left + 1] * right
    )
    return (upper * (1 - down) + lower * down).astype(np.uint8)


@pytest.fixture
def array_source():
    return ArraySource


@pytest.fixture
def photographs():
    return _photographs
