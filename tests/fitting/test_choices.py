import hashlib

import numpy as np
import pytest

from striate.data.source import Item, Listing, Reading, Source, UnreadableItem
from striate.errors import DataError
from striate.fitting.choices import choose_image_size, choose_symmetry
from striate.metrics import negative_log_likelihood


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
    chosen, choice = choose_image_size(Sized(shapes), None)
    assert chosen == size
    assert choice.topic == "image size" and choice.choice == f"{size} px"
    assert ("bounds" in choice.why) == (size in (128, 300))


def test_an_image_size_that_is_asked_for_is_taken_and_nothing_is_read():
    source = Sized([(200, 300)])
    size, choice = choose_image_size(source, 48)
    assert (size, choice.why, source.reads) == (48, "asked for", 0)


def test_image_size_looks_at_few_of_many():
    source = Sized([(150, 150)] * 1000)
    assert choose_image_size(source, None)[0] == 150
    assert source.reads <= 26


def test_image_size_of_nothing_readable():
    with pytest.raises(DataError, match="sized: not one of the items looked at can be read"):
        choose_image_size(Sized([None, None]), None)


def logits_with(sure):
    """Logits of 40 items of two classes, right with this certainty; and their labels."""
    labels = np.arange(40) % 2
    return (np.eye(2, dtype=np.float32)[labels] * sure).astype(np.float32), labels


def choose(logits, labels):
    """The choice from logits; a constant answer of two equal classes has a log loss of log 2."""
    losses = {name: negative_log_likelihood(values, labels) for name, values in logits.items()}
    return choose_symmetry(losses, np.log(2))


@pytest.mark.parametrize(
    ("sure", "symmetry"),
    [
        ((5, 5, 5), "dihedral"),
        ((5, 5, -5), "flips"),
        ((5, -5, 5), "mirror"),
        ((-5, 5, 5), "identity"),
        ((0, 0, 0), "identity"),
    ],
)
def test_symmetry_is_the_largest_that_keeps_what_the_probe_knows(sure, symmetry):
    plain, labels = logits_with(5)
    names = ("mirror", "upside down", "transposed")
    logits = {name: logits_with(s)[0] for name, s in zip(names, sure, strict=True)}
    chosen, choice = choose({"identity": plain, **logits}, labels)
    assert chosen == choice.choice == symmetry
    assert "% mirrored" in choice.why


def test_symmetry_tolerates_a_small_loss_only():
    # Of log 2 = 0.693, a logit of 5 leaves 0.0067 and one of 1.9 leaves 0.139: 19 % are lost;
    # one of 1.4 leaves 0.220: 31 %.
    plain, labels = logits_with(5)
    for sure, symmetry in ((1.9, "dihedral"), (1.4, "identity")):
        turned = logits_with(sure)[0]
        logits = {"identity": plain, "mirror": turned, "upside down": turned, "transposed": turned}
        assert choose(logits, labels)[0] == symmetry
