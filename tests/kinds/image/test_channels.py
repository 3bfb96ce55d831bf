"""Images of other channels and types than 8-bit RGB, from their files to an exported file."""

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import striate
from striate.data.layouts import ArraySource, open_source
from striate.data.randomness import Draws, item_keys
from striate.data.source import Reading, UnreadableItem
from striate.data.stores.resizing import resize_shorter, viewable
from striate.errors import DataError
from striate.kinds.image.drawing import as_rgb
from striate.kinds.image.inputs import ImageInputs
from striate.kinds.image.kind import ImageKind
from striate.kinds.image.survey import common_format
from striate.progress import Progress
from striate.run.explain import explain_inputs
from striate.run.export import export


def bands(label, seed):
    """(5, 36, 40) uint16; band 4 alone tells the classes apart."""
    image = np.random.default_rng([label, seed]).normal(3000, 300, (5, 36, 40))
    image[4, 8:28, 8:28] += 2000 * label
    return image.astype(np.uint16)


def reading(array):
    return Reading(array=array, sha256="0")


def draws(count):
    return Draws(item_keys([str(n) for n in range(count)]), 0, 1)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory, own_cache):
    root = tmp_path_factory.mktemp("tiles")
    for label in range(2):
        (root / f"class{label}").mkdir()
        for number in range(10):
            path = root / f"class{label}" / f"{number}.tif"
            tifffile.imwrite(path, bands(label, number), photometric="minisblack")
    return root


@pytest.fixture(scope="module")
def tiles_run(tiles, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiles"
    options = {"method": "finetune", "epochs": 1, "image_size": 32, "device": "cpu"}
    striate.fit(tiles, out=out, symmetry="mirror", **options)
    return striate.load(out, device="cpu")


@pytest.mark.slow
def test_bands_of_tiff_files_from_fit_to_export(tiles, tiles_run, tmp_path):
    kept = json.loads((tiles_run.folder.path / "run.json").read_text())["preprocessing"]
    assert (kept["channels"], kept["dtype"]) == (5, "uint16")
    assert np.allclose(kept["mean"][:4], 3000, atol=10) and kept["mean"][4] > 3100
    assert kept["value_range"][1] > 4500
    assert tiles_run.model.config.in_channels == 5

    path, array = tiles / "class1" / "3.tif", bands(1, 3)
    found = tiles_run.predict([path, array, array.transpose(1, 2, 0), array.astype(np.float32)])
    for prediction in found[1:3]:
        np.testing.assert_array_equal(prediction.probabilities, found[0].probabilities)
    assert found[3].label == found[0].label
    # Resized whole numbers are rounded, floats are not.
    checked = tiles_run.predictor.inputs.checked
    whole, real = (checked(reading(a)).array for a in (array, array.astype(np.float32)))
    np.testing.assert_allclose(real, whole, rtol=0, atol=0.501)
    assert not np.array_equal(real, whole)
    batch = tiles_run.predict(np.stack([array, bands(0, 3)]))
    assert len(batch) == 2
    np.testing.assert_array_equal(batch[0].probabilities, found[0].probabilities)

    exported = export(tiles_run, "onnx", out=tmp_path / "m.onnx")
    given = exported.card["input"]
    assert (given["type"], given["shape"][1:], given["stored"]) == (
        "float32",
        [5, 32, 32],
        "uint16",
    )
    assert exported.check.items == "test items" and exported.check.passed

    (explained,) = explain_inputs(tiles_run, [path], out=tmp_path / "explained")
    assert explained.path.exists()


def test_other_items_are_refused_with_the_reason(tiles_run, draw):
    given = [Image.fromarray(draw("disc", 1)), (bands(0, 1) // 20).astype(np.uint8)]
    reasons = [prediction.reason for prediction in tiles_run.predict(given)]
    assert reasons == [
        "3 channels, and the model takes 5",
        "uint8 values, and the model takes uint16",
    ]


def test_float_arrays_are_learnt_by_a_probe(tmp_path, own_cache):
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (24, 32, 32, 4)).astype(np.float32)
    labels = np.arange(24) % 2
    images[labels == 1, 8:24, 8:24, 3] += 3
    source = ArraySource(images, labels)
    run = striate.fit(source, out=tmp_path / "r", method="probe", image_size=32, device="cpu")
    assert run.metrics["accuracy"] == 1
    again = striate.load(tmp_path / "r", device="cpu")
    assert [p.label for p in again.predict([images[1], images[2]])] == ["1", "0"]
    # One in 0 to 1 is not taken for an 8-bit image: the values stay as they are.
    assert again.predict([images[0].clip(0, 1)])[0].reason is None


def store_of(root):
    source = open_source(root)
    return ImageKind().build_store(
        source,
        source.listing.items,
        folder=root,
        options={"size": 32},
        progress=Progress(quiet=True),
    )


def test_different_channels_in_a_folder_are_one_line_with_a_table(tmp_path, own_cache):
    for label in range(2):
        (tmp_path / f"c{label}").mkdir()
        for number in range(4):
            image = bands(label, number)[: 4 if number == 2 else 5]
            np.save(tmp_path / f"c{label}" / f"{number}.npy", image[:, :32, :32])
    said = r"different numbers of channels: 4 of uint16 in 2 images, 5 of uint16 in 6 images"
    with pytest.raises(DataError, match=said):
        store_of(tmp_path)


def test_an_image_with_nan_is_left_out_by_name(tmp_path, own_cache):
    for label in range(2):
        (tmp_path / f"c{label}").mkdir()
        for number in range(3):
            image = bands(label, number).astype(np.float32)
            if (label, number) == (1, 2):
                image[2, 3, 4] = np.nan
            np.save(tmp_path / f"c{label}" / f"{number}.npy", image)
    built = store_of(tmp_path)
    (skip,) = built.skipped
    assert skip.id == "c1/2.npy"
    said = "1 value not finite, the first nan at row 3, column 4 of channel 2"
    assert skip.reason == said
    stored = built.store[0]
    assert stored.array.dtype == np.float32 and stored.array.shape == (5, 32, 36)


def test_formats_that_go_together():
    assert common_format({}) == (3, "uint8")
    assert common_format({(3, "uint8"): 4, (1, "uint16"): 2}) == (3, "uint8")
    assert common_format({(2, "uint16"): 4, (2, "float32"): 2}) == (2, "float32")
    with pytest.raises(DataError, match="some images have 8-bit values"):
        common_format({(5, "uint8"): 4, (5, "uint16"): 2})


def test_deep_grey_among_photos_becomes_8_bits():
    grey = np.linspace(0, 65535, 1024).reshape(1, 32, 32).astype(np.uint16)
    photo = np.zeros((3, 32, 32), np.uint8)
    inputs = ImageInputs.fitted([reading(photo), reading(grey)], {"size": 32})
    assert inputs.is_photo
    found = inputs.inputs([inputs.checked(reading(grey))])
    np.testing.assert_array_equal(found[0, 1], np.rint(grey[0] / 257))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_statistics_are_those_of_the_training_images(dtype):
    rng = np.random.default_rng(0)
    images = [
        (rng.normal([[[30]], [[100]]], [[[3]], [[10]]], (2, 16, 20))).astype(dtype)
        for _ in range(5)
    ]
    images[0][:, 0, 0] = 7
    inputs = ImageInputs.fitted([reading(image) for image in images], {"size": 16})
    values = np.stack(images).astype(np.float64).swapaxes(0, 1).reshape(2, -1)
    np.testing.assert_allclose(inputs.mean, values.mean(1), rtol=1e-6)
    np.testing.assert_allclose(inputs.std, values.std(1), rtol=1e-5)
    assert inputs.value_range == (values.min(), values.max())
    assert inputs.input_shape == (2, 16, 16)
    assert ImageInputs.from_json(json.loads(json.dumps(inputs.to_json()))) == inputs
    batch = inputs.inputs([reading(image) for image in images])
    assert batch.dtype == (torch.uint8 if dtype == np.uint8 else torch.float32)
    before = batch.clone()
    normalized = inputs.normalized(batch)
    assert torch.equal(batch, before)
    expected = (batch.double() - torch.tensor(inputs.mean).view(2, 1, 1)) / torch.tensor(
        inputs.std
    ).view(2, 1, 1)
    torch.testing.assert_close(normalized.double(), expected, rtol=1e-4, atol=1e-4)


def test_a_constant_channel_is_no_division_by_zero():
    inputs = ImageInputs.fitted([reading(np.full((2, 8, 8), 7, np.uint16))], {"size": 8})
    assert inputs.std == (1, 1)
    assert inputs.normalized(inputs.inputs([reading(np.full((2, 8, 8), 7, np.uint16))])).eq(0).all()


def test_augmentation_moves_values_and_changes_none():
    image = np.random.default_rng(0).integers(0, 60000, (5, 64, 64)).astype(np.uint16)
    inputs = ImageInputs.fitted([reading(image)], {"size": 64}).with_symmetry("dihedral")
    found = inputs.augmented([reading(image)] * 4, draws(4))
    for variant in found:
        for channel, plane in enumerate(variant):
            np.testing.assert_array_equal(
                plane.flatten().sort().values, np.sort(image[channel].ravel())
            )


def test_a_batch_of_another_format_is_refused():
    inputs = ImageInputs.fitted([reading(np.zeros((2, 8, 8), np.uint16))], {"size": 8})
    with pytest.raises(UnreadableItem, match="4 channels, and the model takes 2"):
        inputs.checked(reading(np.zeros((4, 8, 8), np.uint16)))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.float32])
def test_resizing_keeps_the_type_and_the_mean(dtype):
    image = (1000 + 500 * np.random.default_rng(0).random((3, 60, 80))).astype(dtype)
    small = resize_shorter(image, 30)
    assert small.shape == (3, 30, 40) and small.dtype == dtype
    np.testing.assert_allclose(small.mean(), image.mean(), rtol=0.01)


def test_pictures_show_three_channels_or_one():
    image = np.arange(5 * 64, dtype=np.uint16).reshape(5, 8, 8) * 100
    shown = as_rgb(image)
    assert shown.shape == (3, 8, 8) and shown.dtype == np.uint8
    assert shown.min() == 0 and shown.max() == 255
    assert np.array_equal(as_rgb(image[:2])[0], as_rgb(image[:2])[2])
    photo = (image[:3] % 256).astype(np.uint8)
    assert viewable(photo) is photo


@pytest.mark.parametrize("channels", [1, 2, 5, 13])
def test_the_first_filters_of_a_pretrained_network_are_those_of_timm(channels):
    manipulate = pytest.importorskip("timm.models._manipulate")

    def filters(count):
        network = striate.create_model(
            "efficientnet_lite0", in_channels=count, num_classes=2, weights="imagenet"
        )
        return next(p for p in network.parameters() if p.ndim == 4).detach()

    expected = manipulate.adapt_input_conv(channels, filters(3).clone())
    torch.testing.assert_close(filters(channels), expected, rtol=0, atol=1e-6)
