"""Volumes as inputs: one grid, one window, numbers of the training part alone."""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from striate.data.source import Reading, UnreadableItem
from striate.errors import ArgumentError, DataError, UnknownNameError
from striate.kinds.volume.augment import NUM_DRAWS
from striate.kinds.volume.inputs import VolumeInputs


def fixed(numbers):
    """Draws that give these numbers."""
    return SimpleNamespace(uniforms=lambda count: numbers[:, :count])


def reading(*shape: int, seed: int = 0, spacing: tuple[float, ...] = (), low: float = 0) -> Reading:
    values = np.random.default_rng(seed).normal(low, 10, shape)
    return Reading(array=values.astype(np.float32), sha256=str(seed), spacing=spacing)


def fitted(readings: list[Reading], **options: Any) -> VolumeInputs:
    return VolumeInputs.fitted(iter(readings), options)


def test_inputs_are_normalized_by_the_training_volumes() -> None:
    training = [reading(2, 8, 9, 10, seed=n, low=50 * n) for n in range(6)]
    feed = fitted(training)
    assert feed.input_shape == (2, 8, 9, 10) and feed.spacing == () and feed.notes() == ()
    inputs = feed.inputs(training)
    assert inputs.dtype == torch.float32 and inputs.shape == (6, 2, 8, 9, 10)
    moved = inputs.transpose(0, 1).flatten(1)
    torch.testing.assert_close(moved.mean(1), torch.zeros(2), atol=0.02, rtol=0)
    torch.testing.assert_close(moved.std(1), torch.ones(2), atol=0.02, rtol=0)
    later = feed.inputs([reading(2, 8, 9, 10, seed=99, low=1000)])  # beyond the window
    assert later.max() < 3
    assert torch.equal(feed.inputs(training[2:3])[0], inputs[2])


def test_each_channel_has_its_window() -> None:
    array = np.stack([np.linspace(0, 1, 512), np.linspace(0, 1000, 512)]).reshape(2, 8, 8, 8)
    feed = fitted([Reading(array=array, sha256="")])
    assert feed.window[0] == pytest.approx((0.005, 0.995), abs=0.005)
    assert feed.window[1] == pytest.approx((5, 995), abs=5)
    chosen = fitted([Reading(array=array, sha256="")], window=(0.2, 0.7))
    inputs = chosen.inputs([Reading(array=array, sha256="")])
    back = inputs[0].numpy() * np.reshape(chosen.std, (2, 1, 1, 1)) + np.reshape(
        chosen.mean, (2, 1, 1, 1)
    )
    np.testing.assert_allclose(back, array.clip(0.2, 0.7), atol=1e-5)


def test_fault_54_mixed_spacings_are_resampled_to_the_training_median_and_said() -> None:
    """A ball of one size in millimetres has one size in voxels, whatever its file's spacing."""
    spacings = [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (4.0, 2.0, 2.0), (2.0, 1.0, 1.0), (2.0, 2.0, 1.0)]
    readings = []
    for spacing in spacings:
        shape = [round(32 / step) for step in spacing]
        axes = [(np.arange(n) + 0.5) * s - 16 for n, s in zip(shape, spacing, strict=True)]
        radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
        ball = (radius < 9).astype(np.float32)[None]
        readings.append(Reading(array=ball, sha256="", spacing=spacing))
    feed = fitted(readings)
    assert feed.spacing == (2.0, 1.0, 1.0) and feed.size == (16, 32, 32) and feed.fit == "crop"
    said = " ".join(note.message for note in feed.notes())
    assert "resampled to 2 x 1 x 1 mm" in said and "from 1 x 1 x 1 to 4 x 2 x 2" in said
    inputs = feed.inputs(readings)
    volumes = (inputs - inputs.min()).flatten(1).sum(1)
    volumes = volumes / volumes.median()
    assert volumes.min() > 0.93 and volumes.max() < 1.07


def test_other_sizes_are_scaled_where_there_is_no_spacing() -> None:
    shapes = [(10, 12, 14), (10, 12, 14), (5, 6, 7)]
    feed = fitted([reading(1, *shape, seed=n) for n, shape in enumerate(shapes)])
    assert feed.size == (10, 12, 14) and feed.fit == "resize"
    assert "1 of 3 had another size" in feed.notes()[0].message
    assert feed.inputs([reading(1, 20, 3, 9)]).shape == (1, 1, 10, 12, 14)


def test_large_volumes_are_made_coarser() -> None:
    feed = fitted([reading(1, 32, 128, 96, spacing=(3.0, 1.0, 1.0))])
    assert feed.size == (16, 64, 48) and feed.spacing == (6.0, 2.0, 2.0)
    assert fitted([reading(1, 32, 128, 96)]).size == (16, 64, 48)
    fine = fitted([reading(1, 32, 128, 96, spacing=(3.0, 1.0, 1.0))], spacing="3,1,1", size=24)
    assert fine.size == (24, 24, 24) and fine.spacing == (3.0, 1.0, 1.0)


def test_patches() -> None:
    volumes = [reading(1, 20, 20, 20, seed=n) for n in range(2)]
    feed = fitted(volumes, fit="patch", size="8", augment="none")
    draws = np.random.default_rng(0).random((2, NUM_DRAWS + 3))
    some, other = feed.augmented(volumes, fixed(draws)), feed.augmented(volumes, fixed(1 - draws))
    assert some.shape == (2, 1, 8, 8, 8) and not torch.equal(some, other)
    assert torch.equal(some, feed.augmented(volumes, fixed(draws)))
    middle = feed.inputs(volumes)[0].numpy() * feed.std[0] + feed.mean[0]
    expected = volumes[0].array[:, 6:14, 6:14, 6:14].clip(*feed.window[0])
    np.testing.assert_allclose(middle, expected, atol=1e-4)
    with pytest.raises(UnreadableItem, match="smaller than a patch"):
        feed.inputs([reading(1, 7, 20, 20)])
    with pytest.raises(DataError, match="1 volumes are smaller than a patch of 8 x 8 x 8"):
        fitted([*volumes, reading(1, 7, 20, 20)], fit="patch", size=8)


def test_round_trip_through_json() -> None:
    training = [
        reading(2, 6, 6, 6, spacing=(2.0, 1.0, 1.0)),
        reading(2, 9, 6, 6, spacing=(1.0,) * 3),
    ]
    feed = fitted(training, augment="strong", symmetry="cube", window="-20,20")
    again = VolumeInputs.from_json(json.loads(json.dumps(feed.to_json())))
    assert again == feed
    draws = np.random.default_rng(0).random((2, NUM_DRAWS + 3))
    assert torch.equal(
        again.augmented(training, fixed(draws)), feed.augmented(training, fixed(draws))
    )


def test_fault_54_mixed_channels_are_refused_with_a_table() -> None:
    with pytest.raises(DataError, match="1 in 2 volumes, 3 in 1 volumes"):
        fitted([reading(1, 4, 4, 4), reading(3, 4, 4, 4), reading(1, 4, 4, 4)])
    with pytest.raises(UnreadableItem, match="with 1 channel is"):
        fitted([reading(1, 4, 4, 4)]).inputs([reading(3, 4, 4, 4)])


def test_fault_54_a_spacing_in_some_only() -> None:
    mixed = [reading(1, 4, 4, 4), reading(1, 4, 4, 4, spacing=(1.0, 1.0, 1.0))]
    with pytest.raises(DataError, match="1 have one, 1 have none"):
        fitted(mixed)
    assert fitted(mixed, spacing="ignore").fit == "resize"
    with pytest.raises(UnreadableItem, match="no spacing"):
        fitted(mixed[1:]).inputs(mixed[:1])


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"sizes": 3}, UnknownNameError, "did you mean 'size'"),
        ({"fit": "stretch"}, UnknownNameError, "fit of volumes"),
        ({"augment": "mild"}, UnknownNameError, "augment of volumes"),
        ({"symmetry": "cubes"}, UnknownNameError, "did you mean 'cube'"),
        ({"size": "3,4"}, ArgumentError, "one or three whole numbers"),
        ({"size": 2.5}, ArgumentError, "one or three whole numbers"),
        ({"window": (3, 3)}, ArgumentError, "the lower first"),
        ({"window": "low,high"}, ArgumentError, "made of numbers"),
        ({"window": (0, float("nan"))}, ArgumentError, "finite"),
        ({"spacing": (1, 1, 0)}, ArgumentError, "three numbers above 0"),
        ({"spacing": (1, 1, 1), "fit": "patch"}, ArgumentError, "only fit=crop"),
    ],
)
def test_options_that_make_no_sense(
    options: Mapping[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        fitted([reading(1, 4, 4, 4)], **options)


def test_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match="no volume"):
        fitted([])


def test_a_spacing_for_volumes_whose_own_is_not_known_is_refused() -> None:
    plain = [Reading(array=np.zeros((1, 8, 8, 8), np.float32), sha256="") for _ in range(3)]
    with pytest.raises(ArgumentError, match="spacing=1 x 1 x 1: the volumes' own spacings"):
        VolumeInputs.fitted(plain, {"spacing": (1, 1, 1)})
    VolumeInputs.fitted(plain, {"spacing": "ignore"})
