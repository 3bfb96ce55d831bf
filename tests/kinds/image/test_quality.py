"""Pictures made to have one fault each, among pictures without any."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from striate.data.source import Reading
from striate.kinds.image.quality import faults, measured


def changed(picture, change):
    return np.clip(change(picture.astype(np.float32)), 0, 255).astype(np.uint8)


CHANGES = {
    "blank": lambda p: 0 * p + 90,
    "too-dark": lambda p: p * 0.1,
    "too-bright": lambda p: 230 + p * 0.1,
    "blurred": lambda p: np.stack([gaussian_filter(channel, 6) for channel in p]),
    "little-content": lambda p: np.where(p.mean(0) > 60, 200.0, 180.0) + 0 * p,
    "odd-shape": lambda p: p[:, :20],
    "odd-size": lambda p: p[:, ::8, ::8],
    "grey": lambda p: p.mean(0) + 0 * p,
}


@pytest.fixture(scope="module")
def pictures(photographs):
    """Sharp pictures of several brightnesses, in colour."""
    rng = np.random.default_rng(0)
    smooth = photographs(60, 96, 96).astype(np.float32)
    noisy = smooth * rng.uniform(0.6, 1, (60, 1, 1, 1)) + rng.normal(0, 25, smooth.shape)
    return list(np.clip(noisy, 0, 255).astype(np.uint8))


def found_in(pictures):
    rows = [measured(Reading(array=p, sha256=""), None) for p in pictures]
    traits = {name: np.array([row.get(name, np.nan) for row in rows]) for name in rows[0]}
    return {f.code: np.flatnonzero(f.found).tolist() for f in faults(traits) if f.found.any()}


def test_pictures_without_faults(pictures):
    assert found_in(pictures) == {}


@pytest.mark.parametrize("code", CHANGES)
def test_a_fault_is_found_where_it_was_made(code, pictures):
    spoilt = [changed(p, CHANGES[code]) for p in pictures[:3]]
    assert found_in(pictures + spoilt)[code] == [60, 61, 62]


def test_smooth_pictures_are_blurred_where_nothing_in_them_is_sharp():
    """Skies with one disc each, beside textures: only those are blurred whose edges are too."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :96]
    skies = []
    for _ in range(30):
        sky = gaussian_filter(rng.normal(0, 900, (96, 96)), 16) + rng.uniform(60, 190)
        x, y, radius = *rng.uniform(25, 70, 2), rng.uniform(6, 20)
        skies.append(np.where(np.hypot(columns - x, rows - y) < radius, sky + 50, sky))
    textures = [128 + 3 * gaussian_filter(rng.normal(0, 40, (96, 96)), 1) for _ in range(30)]
    sharp = [np.clip(p, 0, 255).astype(np.uint8)[None].repeat(3, 0) for p in skies + textures]
    spoilt = [changed(p, CHANGES["blurred"]) for p in (*sharp[:5], *sharp[30:35])]
    assert "blurred" not in found_in(sharp)
    assert found_in(sharp + spoilt)["blurred"] == list(range(60, 70))


def test_a_picture_without_edges_has_a_sharpness():
    assert (
        measured(Reading(array=np.full((3, 40, 40), 7, np.uint8), sha256=""), None)["sharpness"]
        == 0
    )


def test_what_all_pictures_share_is_no_fault(pictures):
    for code in ("too-dark", "too-bright", "blurred", "grey", "odd-size"):
        assert code not in found_in([changed(p, CHANGES[code]) for p in pictures])


def test_size_and_format_are_those_of_the_file(tmp_path, pictures):
    path = tmp_path / "a.jpg"
    Image.new("RGB", (300, 200)).save(path)
    row = measured(Reading(array=pictures[0], sha256=""), path)
    assert (row["width"], row["height"], row["format"]) == (300, 200, 1)
    assert row["date"] == path.stat().st_mtime
