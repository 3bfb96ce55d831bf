import numpy as np
import pytest

from striate.data.source import Item, Listing, Note, Reading, Source, UnreadableItem
from striate.data.stores.store import ReadingStore


class Held(Source):
    """Readings held in memory; None cannot be read."""

    kind = "graph"
    name = "held"

    def __init__(self, readings):
        self.readings = {str(number): reading for number, reading in enumerate(readings)}
        self.listing = Listing(items=tuple(Item(id=name, label="a") for name in self.readings))

    def read(self, item, size=None):
        if self.readings[item.id] is None:
            raise UnreadableItem("nothing there")
        return self.readings[item.id]


@pytest.fixture
def readings():
    rng = np.random.default_rng(0)
    note = Note(code="odd", message="odd")
    return [
        Reading(array=rng.normal(size=(2, 5)).astype(np.float32), sha256="a", spacing=(0.5,)),
        None,
        Reading(array=rng.integers(0, 9, (1, 3, 4, 2)).astype(np.int16), sha256="b", notes=(note,)),
        Reading(
            array=np.zeros((3, 0), np.float32),
            sha256="c",
            edges=np.empty((2, 0), np.int64),
            edge_features=np.empty((4, 0), np.float32),
        ),
        Reading(
            array=rng.normal(size=(3, 2)).astype(np.float32),
            sha256="d",
            edges=np.array([[0, 1], [1, 0]]),
            edge_features=np.ones((4, 2), np.float32),
        ),
    ]


def test_readings_of_any_shape_come_back_as_they_were(readings, tmp_path):
    source = Held(readings)
    built = ReadingStore.build(source, source.listing.items, tmp_path / "new")
    whole = [reading for reading in readings if reading is not None]
    assert len(built.store) == len(built.items) == len(whole)
    assert [item.id for item in built.items] == ["0", "2", "3", "4"]
    assert [(skip.id, skip.reason) for skip in built.skipped] == [("1", "nothing there")]
    assert [note.code for note in built.notes] == ["odd"]
    for got, expected in zip(built.store.each(range(len(whole))), whole, strict=True):
        assert got.array.dtype == expected.array.dtype
        np.testing.assert_array_equal(got.array, expected.array)
        assert (got.sha256, got.spacing) == (expected.sha256, expected.spacing)
        assert (got.edges is None) == (expected.edges is None)
        if expected.edges is not None:
            np.testing.assert_array_equal(got.edges, expected.edges)
            np.testing.assert_array_equal(got.edge_features, expected.edge_features)


def test_the_file_is_gone_and_what_is_written_to_a_reading_is_not_kept(readings, tmp_path):
    source = Held(readings)
    store = ReadingStore.build(source, source.listing.items, tmp_path).store
    assert list(tmp_path.iterdir()) == []
    before = store[0].array.copy()
    assert store[0].array.flags.writeable
    np.testing.assert_array_equal(store.take([0])[0].array, before)


def test_nothing_to_read(tmp_path):
    assert len(ReadingStore.build(Held([]), (), tmp_path).store) == 0
