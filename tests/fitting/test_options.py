import json
from pathlib import Path

import numpy as np
import pytest

import striate
from striate.errors import ArgumentError, UnknownNameError, UserError
from striate.fitting.options import SYMMETRIES, FitOptions, options_of, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), ("45", 45), (7, 7)],
)
def test_parse_time(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "10 m", "m", "10d", "ten", "5m3", None, True, []])
def test_parse_time_refuses(text):
    with pytest.raises(ArgumentError, match="write 90s, 10m or 1h"):
        parse_time(text)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"time": 0}, "`time=0`: it must be at least 1"),
        ({"epochs": 0}, "`epochs=0`"),
        ({"image_size": 1}, "`image_size=1`"),
        ({"seed": -1}, "`seed=-1`"),
        ({"time": None}, "`time=None`: it is no duration; write 90s, 10m or 1h"),
        ({"time": float("nan")}, "`time=nan`: it must be at least 1"),
        ({"epochs": "3"}, "`epochs='3'`: it must be a whole number"),
        ({"epochs": 3.5}, "`epochs=3.5`: it must be a whole number"),
        ({"seed": None}, "`seed=None`: it must be a whole number"),
        ({"seed": 2**32}, "`seed=4294967296`: it must be a whole number from 0 to 4294967295"),
        ({"workers": True}, "`workers=True`: it must be a whole number"),
        ({"cost_unknown": [1]}, r"`cost_unknown=\[1\]`: it must be a number"),
        ({"cost_unknown": float("inf")}, "`cost_unknown=inf`: it must be a number"),
        ({"symmetry": "none"}, "unknown symmetry 'none'; did you mean 'identity'"),
    ],
)
def test_values_that_are_not_allowed(option, message):
    with pytest.raises(ArgumentError, match=message):
        FitOptions(**option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"method": "svm"}, "unknown method 'svm'; did you mean 'kernel'"),
        ({"model": "resnet-50"}, "did you mean 'resnet50'"),
        ({"weights": "imagnet"}, "unknown weights 'imagnet'; did you mean 'imagenet'"),
        ({"weights": "lenet5.tv", "model": "resnet18"}, "unknown weights of resnet18 'lenet5.tv'"),
        ({"weights": "imagenet", "model": "lenet5"}, "unknown weights of lenet5 'imagenet'"),
        ({"weights": "my.pt"}, "no file of weights at my.pt; give the path of an existing file"),
    ],
)
def test_names_are_looked_up_before_data_are(option, message):
    with pytest.raises(UserError, match=message):
        striate.fit("no-such-folder", **option)


OF_IMAGES = ("image_size", "symmetry", "framing")


def check(options, kind="image", of_kind=OF_IMAGES, of_methods=()):
    options.check_kind(kind, of_kind)
    options.check_methods(kind, of_methods)


def test_an_option_acts_or_is_refused():
    for name, value in (("epochs", 3), ("workers", 2), ("symmetry", "mirror"), ("model", "vgg11")):
        options = FitOptions(method="probe", **{name: value})
        check(options, of_methods=(name,))
        with pytest.raises(ArgumentError, match=f"`{name}=.*the method 'probe' does not use it"):
            check(options)
    check(FitOptions(image_size=64))
    with pytest.raises(ArgumentError, match="`image_size=64`: it is of no use for signals"):
        check(FitOptions(image_size=64), kind="signal", of_kind=())
    with pytest.raises(ArgumentError, match="`epochs=3`: no method for images uses it"):
        check(FitOptions(epochs=3))
    with pytest.raises(ArgumentError, match="`epochs=2`: no method for graphs uses it"):
        check(FitOptions(epochs=2), kind="graph", of_kind=())


def test_an_option_of_fit_is_none_of_the_inputs():
    for name, value in (("symmetry", "flips"), ("framing", "pad")):
        check(FitOptions(**{name: value}), of_methods=("symmetry",))
        with pytest.raises(ArgumentError, match=f"`{name}='{value}'`: .*; give it by itself"):
            check(FitOptions(options={name: value}), of_methods=("symmetry",))


def test_a_symmetry_of_volumes_is_none_of_images(photos, tmp_path):
    with pytest.raises(
        UnknownNameError, match="unknown symmetry of images 'cube'; known: dihedral"
    ):
        striate.fit(photos, symmetry="cube", out=tmp_path / "run")


def test_the_time_is_kept_in_seconds():
    assert FitOptions().time == FitOptions(time="10m").seconds == 600
    check(FitOptions(time="90s", seed=3, device="cpu", options={"input": "mel"}))


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'epochs'"):
        options_of({"epoch": 3})


def test_options_of_the_inputs_take_their_own_names():
    options = FitOptions(image_size=32, options={"fit": "crop"})
    assert options.for_inputs({"image_size": "size"}) == {"fit": "crop", "size": 32}
    assert FitOptions().for_inputs({"image_size": "size"}) == {}


def test_symmetries_are_those_of_images_and_volumes():
    from striate.kinds.image.symmetry import SYMMETRIES as OF_IMAGES
    from striate.kinds.volume.augment import SYMMETRIES as OF_VOLUMES

    assert set(SYMMETRIES) - {"auto"} == set(OF_IMAGES) | set(OF_VOLUMES)


def test_values_of_numpy_and_paths_are_kept_as_json_takes_them():
    options = FitOptions(
        seed=np.int64(3),
        time=np.float32(60),
        folds=np.int64(2),
        weights=Path("a.pt"),
        options={"size": np.array([8, 8, 8]), "window": (np.float64(0), 1)},
    )
    assert json.loads(json.dumps(options.to_json()))["options"] == {
        "size": [8, 8, 8],
        "window": [0.0, 1],
    }
    assert (options.seed, options.weights) == (3, "a.pt")
