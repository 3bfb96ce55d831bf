import importlib
import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from striate.data.duplicates import (
    CLOSE,
    THUMBNAIL,
    duplicate_groups,
    duplicate_notes,
    join,
    leaked,
    near_pairs,
)
from striate.data.duplicates.alignment import aligned, overlap, unmoved
from striate.data.duplicates.candidates import FLIPS, candidates
from striate.data.duplicates.detail import agreement_of_pieces, difference_of_colours
from striate.data.source import Item
from striate.data.stores.resizing import colour_squares, grey_squares


def squares(pictures, side):
    """Pictures, (channels, height, width) of any size, in grey and squeezed to squares."""
    return torch.cat([grey_squares(torch.tensor(p)[None], side) for p in pictures])


def look_at(pictures):
    """Gives those at some positions, close and in colour."""
    close = torch.cat([colour_squares(torch.tensor(p)[None], CLOSE) for p in pictures])
    return lambda positions: close[torch.from_numpy(positions)]


def pairs_among(pictures):
    return near_pairs(squares(pictures, THUMBNAIL), look_at(pictures))


def compressed(picture, quality):
    buffer = io.BytesIO()
    Image.fromarray(picture.transpose(1, 2, 0)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).transpose(2, 0, 1)


VARIANTS = {
    "compressed": lambda p: compressed(p, 50),
    "halved": lambda p: p[:, ::2, ::2],
    "brighter": lambda p: (p * 0.8 + 30).astype(np.uint8),
    "mirrored": lambda p: p[:, :, ::-1].copy(),
    "upside down": lambda p: p[:, ::-1].copy(),
    "darker": lambda p: (p * 0.8).astype(np.uint8),
    "cropped": lambda p: p[:, 2:-2, 4:],
    "trimmed": lambda p: p[:, 4:-4, 5:-5],
    "all of it": lambda p: compressed(
        (p * 0.8)[:, 4:, 4:].astype(np.uint8)[:, :, ::-1],
        60,
    ),
    "grey": lambda p: np.repeat(p.mean(0, keepdims=True), 3, 0).astype(np.uint8),
}


@pytest.fixture(scope="module")
def pictures(photographs):
    return list(photographs(40, 80, 96))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_picture_stored_again_is_found(variant, pictures):
    again = [VARIANTS[variant](p) for p in pictures[:6]]
    assert pairs_among(pictures + again).tolist() == [[n, 40 + n] for n in range(6)]


def test_neighbouring_parts_of_one_picture_are_no_copies(photographs):
    large = photographs(30, 120, 120)
    parts = [p[:, y : y + 96, x : x + 96] for p in large for y, x in ((0, 0), (18, 24))]
    assert len(pairs_among(parts)) == 0


def test_many_copies_of_one_picture_are_found(pictures):
    again = [compressed(pictures[0], quality) for quality in range(40, 96, 2)]
    thumbnails = squares(pictures + again, THUMBNAIL)
    groups = duplicate_groups([str(n) for n in range(68)], thumbnails, look_at(pictures + again))
    assert (groups[40:] == groups[0]).all()
    assert len(set(groups)) == 40


def test_of_many_pictures_those_are_compared_that_lie_near(pictures, monkeypatch):
    module = importlib.import_module("striate.data.duplicates.candidates")
    again = [VARIANTS["all of it"](p) for p in pictures]
    thumbnails = squares(pictures + again, THUMBNAIL)
    expected = {tuple(pair) for pair in candidates(thumbnails).pairs.tolist()}
    assert {(n, 40 + n) for n in range(40)} <= expected
    monkeypatch.setattr(module, "_COMPARED_WITH_ALL", 20)
    monkeypatch.setattr(module, "_PICTURES_A_CENTRE", 16)
    found = {tuple(pair) for pair in candidates(thumbnails).pairs.tolist()}
    assert {(n, 40 + n) for n in range(40)} <= found


def test_the_search_ends_where_it_is_in_vain(pictures, monkeypatch):
    module = importlib.import_module("striate.data.duplicates.near")
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 1)
    monkeypatch.setattr(module, "MAX_IN_VAIN", 3)
    looked: list[int] = []

    def verify(self, pairs, flips):
        looked.append(len(pairs))
        return np.arange(len(pairs)) if len(looked) == 2 else np.arange(0)

    monkeypatch.setattr(module._Verification, "__call__", verify)
    again = [compressed(picture, 60) for picture in pictures]
    assert len(pairs_among(pictures + again)) == 1
    assert len(looked) == 5


def test_things_of_one_design_are_not_taken_for_copies():
    # Bars on a bright plate with faint marks of their own: thumbnails correlate at over 0.98.
    rng = np.random.default_rng(0)
    plate = np.full((64, 64), 180.0)
    plate[12:16] = plate[30:34] = plate[48:52] = 20
    marks = rng.normal(0, 1, (60, 8, 8)).repeat(8, 1).repeat(8, 2)
    cells = np.clip(plate + 6 * marks, 0, 255).astype(np.uint8)
    pictures = [np.stack([cell] * 3) for cell in cells]
    flat = squares(pictures, THUMBNAIL).flatten(1).double().numpy()
    assert np.quantile(np.corrcoef(flat), 0.01) > 0.98
    assert len(pairs_among(pictures)) == 0
    copies = [np.stack([cell] * 3) for cell in (cells[:3] * 0.9).astype(np.uint8)]
    assert pairs_among(pictures + copies).tolist() == [[n, 60 + n] for n in range(3)]


def test_what_agrees_in_all_but_its_colours_is_no_copy(pictures):
    # Channels change their places, so that both are the same in grey.
    again = [np.ascontiguousarray(p[[1, 2, 0]]) for p in pictures[:6]]
    assert pairs_among(pictures + again).tolist() == []
    brighter = [(p * 0.8).astype(np.uint8) for p in pictures[:6]]
    assert pairs_among(pictures + brighter).tolist() == [[n, 40 + n] for n in range(6)]


def test_pictures_with_one_strong_edge_must_agree_in_the_rest_too():
    # A dark corner, and faint veins in the bright part that differ.
    rng = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(96), np.arange(96))
    veins = [gaussian_filter(rng.normal(0, 1, (96, 96)), 4) for _ in range(30)]
    eyes = [np.where(across + down < 90, 5, 150 + 12 * v / v.std()) for v in veins]
    pictures = [np.stack([e.clip(0, 255).astype(np.uint8)] * 3) for e in eyes]
    maps = unmoved(1)
    one, other = (squares([p], CLOSE).float() for p in pictures[:2])
    assert overlap(one, other, maps).correlations() > 0.97
    assert agreement_of_pieces(one, other, maps) < 0.5
    copy = squares([compressed(pictures[0], 60)], CLOSE).float()
    assert agreement_of_pieces(one, copy, maps) > 0.95
    again = [compressed(p, 60) for p in pictures[:3]]
    assert pairs_among(pictures + again).tolist() == [[n, 30 + n] for n in range(3)]


def test_colours_are_compared_up_to_one_brightness():
    colours = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    grey = colours.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    maps = unmoved(4)
    assert (difference_of_colours(colours, colours * 0.7 + 20, maps) < 0.01).all()
    assert (difference_of_colours(colours, colours.roll(1, 1), maps) > 0.6).all()
    assert (difference_of_colours(colours, grey, maps) == 0).all()


def test_compression_explains_a_few_grey_levels_and_no_more():
    generator = torch.Generator().manual_seed(0)
    own, other = (torch.randn(2, 1, 16, 16, generator=generator) * 0.5 + 4).unbind(0)
    own, other = (p.repeat_interleave(4, 1).repeat_interleave(4, 2) for p in (own, other))
    faint, strong = (own * g for g in (8, 80))
    changed = [own * g + other * g / 2 for g in (8, 80)]
    assert agreement_of_pieces(faint, changed[0], unmoved(1)) > 0.85
    assert agreement_of_pieces(strong, changed[1], unmoved(1)) < 0.75


def test_plain_pictures_say_nothing_in_their_pieces():
    plain = torch.full((2, 64, 64), 90.0)
    assert (agreement_of_pieces(plain, plain + 40, unmoved(2)) == 1).all()


def test_plain_pictures_are_not_taken_for_copies():
    plain = torch.arange(100, 120, dtype=torch.uint8)[:, None, None].expand(20, 32, 32)
    assert len(near_pairs(plain, lambda at: plain[at])) == 0
    assert len(near_pairs(plain[:0], lambda at: plain[at])) == 0


def test_mirror_images_with_two_labels_are_no_copies(pictures):
    again = [pictures[0][:, :, ::-1], pictures[1][:, :, ::-1], compressed(pictures[2], 60)]
    some = pictures + [np.ascontiguousarray(picture) for picture in again]
    labels = ["b"] * 40 + ["d", "b", "d"]
    found = near_pairs(squares(some, THUMBNAIL), look_at(some), labels)
    assert found.tolist() == [[1, 41], [2, 42]]


def test_the_flip_under_which_pictures_are_nearest_is_named(pictures):
    small = squares(pictures, THUMBNAIL)
    for number, axes in enumerate(FLIPS):
        pairs, flips, _ = candidates(torch.cat([small, small[:5].flip(axes)]))
        named = {tuple(pair): flip for pair, flip in zip(pairs.tolist(), flips, strict=True)}
        assert [named[n, 40 + n] for n in range(5)] == [number] * 5


def test_alignment_finds_the_map_of_a_crop(pictures):
    whole = squares(pictures[:8], CLOSE).float()
    # Places 2 to 61 of 64 become all of the other picture: 60 of 64 of each side, from the middle.
    parts = squares([p[None, 2:62, 2:62] for p in squares(pictures[:8], CLOSE).numpy()], CLOSE)
    maps = aligned(whole, parts.float(), unmoved(8), 8)
    np.testing.assert_allclose(maps[:, 0::2], 64 / 60, atol=0.01)
    np.testing.assert_allclose(maps[:, 1::2], 0, atol=0.01)
    assert (overlap(whole, parts.float(), maps).correlations() > 0.99).all()


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
    groups = duplicate_groups(["x", "y", "x", "z"], plain, lambda at: plain[at])
    assert groups.tolist() == [0, 1, 0, 2]


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
