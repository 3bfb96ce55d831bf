"""How images of any shape come into the input, and what follows for symmetries and exports."""

import json

import numpy as np
import pytest
import torch

from striate.data.randomness import Draws, item_keys
from striate.data.source import Reading
from striate.data.stores.resizing import MAX_ASPECT, resize_shorter
from striate.errors import UnknownNameError
from striate.kinds.image.augment import AugmentPolicy, augment, crop_box
from striate.kinds.image.framing import Shapes, cropped, fill_of, fitted, frame_of
from striate.kinds.image.inputs import ImageInputs
from striate.kinds.image.kind import ImageKind

WIDE, TALL = (40, 120), (120, 40)


def readings(*sizes, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 256, (channels, *size)).astype(dtype) for size in sizes]
    return [Reading(array=array, sha256=str(n)) for n, array in enumerate(arrays)]


def inputs_of(*sizes, size=64, **options):
    return ImageInputs.fitted(readings(*sizes), {"size": size, **options})


@pytest.mark.parametrize(
    ("size", "aspect", "frame"),
    [
        (64, 3, (32, 96)),
        (64, 1 / 3, (96, 32)),
        (128, 3, (64, 192)),
        (224, 4 / 3, (192, 256)),
        (64, 50, (32, 128)),  # no side is shorter than a step
        (64, 1, (64, 64)),
        (16, 3, (16, 16)),
    ],
)
def test_a_rectangle_has_steps_for_sides_and_about_the_area_of_the_square(size, aspect, frame):
    assert frame_of("rectangle", size, aspect) == frame
    assert frame_of("crop", size, aspect) == frame_of("pad", size, aspect) == (size, size)


def test_shapes_say_what_the_square_shows():
    shapes = Shapes.of([(100, 100)] * 7 + [(100, 200), (400, 100), (100, 125)])
    assert (shapes.aspect, shapes.median, shapes.least) == (1, 1, 0.25)
    assert shapes.cut == pytest.approx(0.3) and not shapes.square_enough
    assert shapes.seen("crop") == "100% in the median, 25% at least"
    assert shapes.seen("pad") == "100% in the median, 100% at least"
    assert Shapes.of([(100, 110), (100, 95)]).square_enough
    assert Shapes.of([(100, 100)] * 99 + [(100, 300)]).square_enough
    assert Shapes.of([]).square_enough


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("size", [WIDE, TALL, (40, 40), (4, 300)])
def test_the_whole_image_is_in_the_middle_of_the_frame(size, dtype):
    image = torch.full((3, *size), 200).to(dtype)
    fill = fill_of((0.5, 100.4, 7.5), dtype)
    for frame in ((64, 64), (32, 96)):
        framed = fitted(image, frame, fill)
        assert framed.shape[1:] == frame and framed.dtype == dtype
        inside = (framed > 199).all(0)
        rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
        box = framed[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (box > 199).all() and max(box.shape[1] / frame[0], box.shape[2] / frame[1]) == 1
        assert abs(int(rows[0]) - (frame[0] - 1 - int(rows[-1]))) <= 1
        assert (framed[:, ~inside] == fill[:, None]).all()
        torch.testing.assert_close(fitted(framed, frame, fill), framed, rtol=0, atol=0)


def test_nothing_is_cropped_of_what_is_kept():
    edges = np.zeros((1, 40, 280), np.uint8)
    edges[:, :, :40] = edges[:, :, -40:] = 200
    kept = resize_shorter(edges, 20)
    assert kept.shape == (1, 20, 140)
    assert (kept[:, :, :18] == 200).all() and (kept[:, :, -18:] == 200).all()
    long = resize_shorter(np.zeros((1, 4, 4000), np.uint8), 20)
    assert long.shape == (1, 1, MAX_ASPECT * 20)
    assert cropped(torch.from_numpy(long), 20).shape == (1, 20, 20)


@pytest.mark.parametrize("framing", ["crop", "pad", "rectangle"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_prediction_sees_what_training_saw(framing, dtype):
    for channels in (3, 2):
        items = readings(WIDE, (50, 141), TALL, (41, 41), (10, 300), channels=channels, dtype=dtype)
        inputs = ImageInputs.fitted(iter(items), {"size": 48, "framing": framing})
        inputs = ImageInputs.from_json(json.loads(json.dumps(inputs.to_json())))
        stored = [
            Reading(array=resize_shorter(item.array, 48), sha256=item.sha256) for item in items
        ]
        seen = [inputs.checked(item) for item in items]
        torch.testing.assert_close(inputs.inputs(seen), inputs.inputs(stored), rtol=0, atol=0)
        assert inputs.inputs(stored).shape[1:] == inputs.input_shape
        for one, other in zip(seen, map(inputs.checked, stored), strict=True):
            np.testing.assert_array_equal(one.array, other.array)  # what an explanation shows


def test_runs_without_a_framing_saw_the_central_square():
    document = ImageInputs(size=40).to_json()
    del document["framing"], document["frame"]
    assert ImageInputs.from_json(document).framing == "crop"


def test_the_framings_offered_follow_from_the_shapes():
    assert list(inputs_of((40, 40), (42, 40)).framings()) == ["crop"]
    assert list(inputs_of(WIDE, WIDE, (50, 100)).framings()) == ["crop", "pad", "rectangle"]
    # Of as many wide images as tall ones the usual shape is a square.
    assert list(inputs_of((40, 60), (60, 40), (40, 40)).framings()) == ["crop", "pad"]
    assert "framing" in ImageKind.named_options
    with pytest.raises(UnknownNameError, match="did you mean 'pad'"):
        inputs_of(WIDE, framing="pads")


def test_a_rectangle_is_not_transposed():
    crop, rectangle = inputs_of(WIDE), inputs_of(WIDE, framing="rectangle")
    assert list(crop.sets) == ["identity", "mirror", "flips", "dihedral"]
    assert list(rectangle.sets) == ["identity", "mirror", "flips"]
    keys = item_keys([str(n) for n in range(8)])
    items = readings(*[WIDE] * 8)
    for symmetry in rectangle.sets:
        inputs = rectangle.with_symmetry(symmetry)
        for epoch in range(4):
            draws = Draws(keys, seed=0, epoch=epoch)
            assert inputs.augmented(items, draws).shape == (8, 3, 32, 96)
            assert inputs.copy_of(items, draws).shape == (8, 3, 32, 96)


def test_flips_of_a_rectangle_give_each_of_the_four_and_no_other():
    image = torch.arange(24, dtype=torch.uint8).view(1, 1, 4, 6).expand(64, -1, -1, -1)
    policy = AugmentPolicy(horizontal_flip=True, vertical_flip=True)
    draws = Draws(item_keys([str(n) for n in range(64)]), seed=0, epoch=1)
    found = augment(image, draws, policy, (4, 6), torch.zeros(1, dtype=torch.uint8))
    expected = {image[0].flip(axes).numpy().tobytes() for axes in ((), (1,), (2,), (1, 2))}
    assert {one.numpy().tobytes() for one in found} == expected


def test_a_part_of_a_whole_image_has_about_its_aspect():
    policy = AugmentPolicy(crop_scale=(0.7, 1.0))
    for number in range(20):
        chance = dict(zip(("area", "ratio", "top", "left"), [number / 20] * 4, strict=True))
        _, _, height, width = crop_box(50, 200, policy, chance, whole=True)
        assert 0.65 < height * width / 10_000 <= 1 and 2.9 < width / height < 5.4
    assert crop_box(50, 200, AugmentPolicy(), {}, whole=True) == (0, 0, 50, 200)


def test_rotation_of_a_rectangle_keeps_shapes():
    image = torch.zeros(1, 1, 40, 120)
    image[:, :, 17:23, 50:70] = 1
    policy = AugmentPolicy(rotation=180)
    for seed in range(4):
        draws = Draws(item_keys(["a"]), seed=seed, epoch=1)
        turned = augment(image, draws, policy, (40, 120), torch.zeros(1))
        middle = turned[..., 40:80]  # what is beside it is mirrored at the border
        assert float(middle.sum()) == pytest.approx(float(image.sum()), rel=0.05)


def test_the_card_says_what_is_done_to_an_image():
    card = inputs_of(WIDE, framing="rectangle").exported
    details = {"framing": "rectangle", "fill": [124, 116, 104]}
    assert details.items() <= card.details.items()
    assert "fit into the middle of 32 x 96" in card.means
    assert inputs_of(WIDE).exported.details["framing"] == "crop"
