import io

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data import duplicates
from striate.data.duplicates import (
    duplicate_groups,
    duplicate_notes,
    grey_thumbnails,
    join,
    leaked,
    near_pairs,
)
from striate.data.source import Item
from striate.data.stores.pixels import PixelStore


@pytest.fixture
def thumbnails_of(tmp_path, array_source):
    def thumbnails(pictures):
        images = {f"{n}": ("a", picture) for n, picture in enumerate(pictures)}
        source = array_source(images)
        store = PixelStore.build(source, source.listing.items, 64, tmp_path).store
        return grey_thumbnails(store.view(n) for n in range(len(store)))

    return thumbnails


def compressed(picture, quality):
    buffer = io.BytesIO()
    Image.fromarray(picture.transpose(1, 2, 0)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).transpose(2, 0, 1)


VARIANTS = {
    "compressed": lambda p: compressed(p, 50),
    "halved": lambda p: p[:, ::2, ::2],
    "brighter": lambda p: (p * 0.8 + 30).astype(np.uint8),
    "grey": lambda p: np.repeat(p.mean(0, keepdims=True), 3, 0).astype(np.uint8),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_picture_stored_again_is_found(variant, thumbnails_of, photographs):
    pictures = list(photographs(30, 80, 96))
    again = [VARIANTS[variant](p) for p in pictures[:6]]
    pairs = near_pairs(thumbnails_of(pictures + again))
    assert pairs.tolist() == [[n, 30 + n] for n in range(6)]


def test_many_copies_of_one_picture_are_found(thumbnails_of, photographs):
    pictures = list(photographs(20, 80, 96))
    again = [compressed(pictures[0], quality) for quality in range(40, 96, 2)]
    groups = duplicate_groups([str(n) for n in range(48)], thumbnails_of(pictures + again))
    assert (groups[20:] == groups[0]).all()
    assert len(set(groups)) == 20


def test_things_of_one_design_are_not_taken_for_copies(thumbnails_of):
    # Bars on a bright plate with faint marks of their own: thumbnails correlate at over 0.98.
    rng = np.random.default_rng(0)
    plate = np.full((64, 64), 180.0)
    plate[12:16] = plate[30:34] = plate[48:52] = 20
    marks = rng.normal(0, 1, (60, 8, 8)).repeat(8, 1).repeat(8, 2)
    cells = np.clip(plate + 6 * marks, 0, 255).astype(np.uint8)
    thumbnails = thumbnails_of([np.stack([cell] * 3) for cell in cells])
    flat = thumbnails.flatten(1).double().numpy()
    assert np.quantile(np.corrcoef(flat), 0.01) > 0.98
    assert len(near_pairs(thumbnails)) == 0
    copies = thumbnails_of(
        [np.stack([cell] * 3) for cell in (*cells, *(cells[:3] * 0.9).astype(np.uint8))]
    )
    assert near_pairs(copies).tolist() == [[n, 60 + n] for n in range(3)]


def test_plain_pictures_are_not_taken_for_copies():
    plain = torch.arange(100, 120, dtype=torch.uint8)[:, None, None].expand(20, 32, 32)
    assert len(near_pairs(plain)) == 0
    assert len(near_pairs(plain[:0])) == 0


def test_candidates_hold_every_near_hash():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for n in range(0, 300, 3):
        flips = np.bitwise_or.reduce(
            np.uint64(1) << rng.choice(64, 1 + n % 7, replace=False).astype(np.uint64)
        )
        hashes[n + 1] = hashes[n] ^ flips
    found = {tuple(sorted(p)) for chunk in duplicates._candidates(hashes) for p in chunk.tolist()}
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None])
    near = {(i, j) for i, j in np.argwhere(distance <= 7).tolist() if i < j}
    assert len(near) >= 100
    assert near <= found
    assert all(distance[i, j] <= duplicates.MAX_DISTANCE for i, j in found)


def test_join_equals_scipys_components():
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.random.default_rng(0).integers(0, 200, (120, 2))
    ours = join(200, pairs)
    graph = coo_array((np.ones(120), pairs.T), (200, 200))
    _, theirs = connected_components(graph, directed=False)
    np.testing.assert_array_equal(ours[:, None] == ours, theirs[:, None] == theirs)
    assert ours[0] == 0
    assert (np.diff(np.unique(ours, return_index=True)[1]) > 0).all()


def test_exact_copies_share_a_group_even_where_plain():
    plain = torch.zeros(4, 32, 32, dtype=torch.uint8)
    assert duplicate_groups(["x", "y", "x", "z"], plain).tolist() == [0, 1, 0, 2]


def test_notes_tell_of_conflicts_and_leaks():
    items = [Item(id=f"{n}.png") for n in range(5)]
    groups = np.array([0, 1, 0, 2, 2])
    splits = np.array(["train", "train", "test", "val", "val"])
    labels = np.array([0, 1, 1, 0, 0])
    notes = duplicate_notes(items, labels, groups, splits, ["x", "y", "x", "z", "w"])
    by_code = {note.code: note for note in notes}
    assert by_code["duplicates"].message.startswith("1 exact and 1 near")
    assert by_code["label-conflict"].ids == ("0.png", "2.png")
    assert by_code["duplicate-across-splits"].ids == ("0.png", "2.png")
    assert "0.png = 2.png" in by_code["duplicate-across-splits"].message
    assert leaked(groups, splits).tolist() == [False, False, True, False, False]
    assert duplicate_notes(items, labels, np.arange(5), splits, list("abcde")) == ()
