"""The generator of volumes: the same every time, and not to be told by intensities alone."""

import hashlib

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from striate.data.layouts import open_source
from striate.data.samples.synthetic_volumes import SHAPES, make_volume, volume_label


def test_a_volume_is_a_function_of_its_number() -> None:
    volume = make_volume(7)
    assert volume.shape == (32, 32, 32) and volume.dtype == np.uint8
    assert np.array_equal(volume, make_volume(7))
    digests = {hashlib.sha256(make_volume(n).tobytes()).hexdigest() for n in range(6)}
    assert len(digests) == 6
    assert not np.array_equal(volume, make_volume(7, seed=1))


@pytest.mark.parametrize("name", SHAPES)
def test_a_solid_lies_within_the_unit_sphere_and_has_an_inside(name: str) -> None:
    steps = np.linspace(-1.3, 1.3, 40)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1)
    radius = np.sqrt((grid**2).sum(-1))
    for first, second in ((0.0, 0.0), (0.99, 0.99), (0.5, 0.2)):
        inside = SHAPES[name](grid, first, second) < 0
        assert inside.any()
        assert radius[inside].max() <= 1.01


def test_sample() -> None:
    source = open_source("sample:synthetic-volumes")
    assert source.kind == "volume" and len(source.listing.items) == 600
    assert [note.code for note in source.listing.notes] == ["synthetic"]
    item = source.listing.items[8]
    reading = source.read(item)
    assert item.label == volume_label(8) == "ellipsoid"
    assert np.array_equal(reading.array[0], make_volume(8)) and reading.spacing == ()


@pytest.mark.slow
def test_histograms_do_not_tell_the_classes() -> None:
    volumes = np.stack([make_volume(n) for n in range(600)])
    labels = np.arange(600) % 6
    counts = np.stack([np.bincount(v.ravel() // 4, minlength=64) for v in volumes]).astype(float)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    accuracy = model.fit(counts[:400], labels[:400]).score(counts[400:], labels[400:])
    assert accuracy < 1 / 6 + 3 * (1 / 6 * 5 / 6 / 200) ** 0.5  # three deviations of mere chance
