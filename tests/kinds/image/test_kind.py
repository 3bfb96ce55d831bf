import hashlib

import numpy as np
import pytest

from striate.data.source import Item, Listing, Reading, Source, UnreadableItem
from striate.errors import DataError
from striate.kinds.image.kind import choose_size


class Sized(Source):
    """Images of given heights and widths; None cannot be read."""

    kind = "image"
    name = "sized"

    def __init__(self, shapes):
        self.shapes = {str(n): shape for n, shape in enumerate(shapes)}
        self.listing = Listing(items=tuple(Item(id=name, label="a") for name in self.shapes))
        self.reads = 0

    def read(self, item, size=None):
        self.reads += 1
        if self.shapes[item.id] is None:
            raise UnreadableItem("empty file")
        pixels = np.zeros((3, *self.shapes[item.id]), np.uint8)
        return Reading(array=pixels, sha256=hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([(200, 300)] * 3, 200),
        ([(300, 140), (150, 900), (160, 161)], 150),
        ([(64, 64)] * 3, 128),
        ([(2000, 3000)] * 3, 300),
        ([None, (180, 180), None], 180),
    ],
)
def test_image_size_is_the_median_shorter_side_within_bounds(shapes, size):
    chosen, choice = choose_size(Sized(shapes), None)
    assert chosen == size
    assert choice.topic == "image size" and choice.choice == f"{size} px"
    assert ("bounds" in choice.why) == (size in (128, 300))


def test_an_image_size_that_is_asked_for_is_taken_and_nothing_is_read():
    source = Sized([(200, 300)])
    size, choice = choose_size(source, 48)
    assert (size, choice.why, source.reads) == (48, "chosen by the user", 0)


def test_image_size_looks_at_few_of_many():
    source = Sized([(150, 150)] * 1000)
    assert choose_size(source, None)[0] == 150
    assert source.reads <= 26


def test_image_size_of_nothing_readable():
    with pytest.raises(DataError, match="sized: not one of the 2 items looked at can be read"):
        choose_size(Sized([None, None]), None)
