"""Common corruptions: what each does by its stated level, and that chance depends on the item alone."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from striate.data.source import Reading
from striate.kinds.kind import kind_named

SHAPES = {"image": (3, 96, 128), "signal": (2, 400), "volume": (1, 16, 18, 20)}
EACH = [
    pytest.param(kind, corruption, id=f"{kind}-{corruption.name}")
    for kind in SHAPES
    for corruption in kind_named(kind).corruptions
]


def reading_of(kind, seed=0, dtype=None):
    rng = np.random.default_rng(seed)
    if kind == "image":
        smooth = gaussian_filter(rng.normal(size=SHAPES[kind]), (0, 3, 3))
        fine = 20 * rng.normal(size=SHAPES[kind])
        array = np.clip(128 + 400 * smooth + fine, 0, 255).astype(dtype or np.uint8)
    elif kind == "signal":
        rising = np.linspace(0, 9, 400) + rng.normal(0, 0.1, SHAPES[kind])
        array = rising.astype(dtype or np.float32)
    else:
        array = rng.normal(2, 3, SHAPES[kind]).astype(dtype or np.float32)
    return Reading(array=array, sha256="")


def corruption(kind, name):
    return next(one for one in kind_named(kind).corruptions if one.name == name)


@pytest.mark.parametrize(("kind", "one"), EACH)
def test_each_grows_with_the_severity_and_keeps_the_form(kind, one):
    reading = reading_of(kind)
    before = reading.array.copy()
    made = [one.applied(reading, severity, item="a").array for severity in range(1, 6)]
    assert (reading.array == before).all()
    away = [np.abs(array.astype(float) - before).mean() for array in made]
    assert 0 < away[0] < away[1] < away[2] < away[3] < away[4]
    assert {(array.shape, array.dtype) for array in made} == {(before.shape, before.dtype)}
    assert all(np.isfinite(array).all() for array in made)


@pytest.mark.parametrize(("kind", "one"), EACH)
def test_chance_depends_on_seed_and_item_alone(kind, one):
    reading = reading_of(kind)
    first = one.applied(reading, 3, item="a", seed=1).array
    assert (one.applied(reading, 3, item="a", seed=1).array == first).all()
    same = [
        (one.applied(reading, 3, item=item, seed=seed).array == first).all()
        for item, seed in (("b", 1), ("c", 1), ("a", 2), ("a", 3), ("a", 4))
    ]
    assert not all(same) if one.name in ("noise", "dropout", "shift") else all(same)


def test_levels_of_images_are_what_they_say():
    reading = reading_of("image")
    pixels = reading.array.astype(float)
    assert corruption("image", "darker").applied(reading, 3, item="a").array == pytest.approx(
        pixels / 2, abs=0.51
    )
    blurred = gaussian_filter(pixels, (0, 0.015 * 96, 0.015 * 96), mode="nearest")
    made = corruption("image", "blur").applied(reading, 3, item="a").array
    assert made == pytest.approx(blurred, abs=0.51)
    grey = Reading(array=np.full((1, 200, 200), 128, np.uint8), sha256="")
    noisy = corruption("image", "noise").applied(grey, 3, item="a").array
    assert noisy.astype(float).std() == pytest.approx(0.12 * 255, rel=0.02)
    file = io.BytesIO()
    Image.fromarray(reading.array.transpose(1, 2, 0)).save(file, "JPEG", quality=15)
    wanted = np.asarray(Image.open(file)).transpose(2, 0, 1)
    made = corruption("image", "jpeg").applied(reading, 3, item="a").array
    assert (made == wanted).all()


def test_levels_of_recordings_are_what_they_say():
    reading = reading_of("signal")
    noisy = corruption("signal", "noise").applied(reading, 5, item="a").array - reading.array
    assert noisy.std(1) == pytest.approx(reading.array.std(1), rel=0.1)
    lost = corruption("signal", "dropout").applied(reading, 3, item="a").array
    assert (lost != reading.array).any(0).sum() == 80
    moved = corruption("signal", "shift").applied(reading, 4, item="a").array
    to_the_right = np.array_equal(moved[:, 80:], reading.array[:, :-80])
    assert to_the_right or np.array_equal(moved[:, :-80], reading.array[:, 80:])
    assert corruption("signal", "louder").applied(reading, 2, item="a").array == pytest.approx(
        2 * reading.array
    )


@pytest.mark.parametrize("shape", [(1, 40, 40), (4, 40, 40)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_of_any_type_and_number_of_channels(shape, dtype):
    rng = np.random.default_rng(0)
    array = (rng.random(shape) * 200).astype(dtype)
    for one in kind_named("image").corruptions:
        made = one.applied(Reading(array=array, sha256=""), 5, item="a").array
        assert (made.shape, made.dtype) == (array.shape, array.dtype)
        assert made.min() >= 0
        if dtype != np.uint8:
            assert made.max() <= array.max()


def test_samples_that_are_missing_stay_missing():
    reading = reading_of("signal")
    reading.array[0, 10:20] = np.nan
    for name in ("noise", "louder"):
        made = corruption("signal", name).applied(reading, 5, item="a").array
        assert (np.isnan(made) == np.isnan(reading.array)).all()


def test_an_item_of_one_value_can_be_corrupted():
    flat = Reading(array=np.full((1, 8, 8, 8), 3.0, np.float32), sha256="")
    for one in kind_named("volume").corruptions:
        assert np.isfinite(one.applied(flat, 5, item="a").array).all()


def test_graphs_have_none():
    assert kind_named("graph").corruptions == ()
