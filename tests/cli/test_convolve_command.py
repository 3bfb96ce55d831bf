import json

import numpy as np
import pytest
from PIL import Image

from striate.cli.convolve import convolve
from striate.cli.main import run
from striate.errors import UserError

IMAGE, KERNEL = "1 2 3 4; 5 6 7 8; 9 0 1 2", "1 0; 0 1"


def test_every_product_and_the_feature_map(capsys):
    assert convolve(IMAGE, KERNEL, pool="max2") == 0
    out = capsys.readouterr().out
    assert "(0, 0): 1*1 + 2*0 + 5*0 + 6*1 = 7\n" in out
    assert "feature map\n 7  9 11\n 5  7  9\n" in out
    assert "(0, 0): max(7, 9, 5, 7) = 9\n" in out


def test_a_kernel_may_start_with_a_minus_sign(capsys):
    assert run(["convolve", IMAGE, "-1 0; 0 1", "--stride", "2"]) == 0
    assert "(0, 0): 1*(-1) + 2*0 + 5*0 + 6*1 = 5\n" in capsys.readouterr().out


def test_json_is_one_document(capsys):
    assert convolve(IMAGE, KERNEL, stride=2, padding="1,0", as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["feature_map"] == [[1, 3], [9, 7]]
    assert document["steps"][0]["origin"] == [-1, -1]
    assert document["steps"][0]["products"] == [[0, 0], [0, 1]]
    assert document["pooled"] is None


def test_a_picture_becomes_a_png(tmp_path, capsys):
    source, target = tmp_path / "flat.png", tmp_path / "out.png"
    Image.fromarray(np.full((8, 10, 3), 77, np.uint8)).save(source)
    assert convolve(str(source), "blur", out=target) == 0
    with Image.open(target) as filtered:
        assert filtered.size == (8, 6)
        assert np.unique(np.asarray(filtered)).tolist() == [77]
    assert capsys.readouterr().out == f"10x8 -> 8x6, written to {target}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((IMAGE, "blurr"), "did you mean 'blur'"),
        (("1 2; 3", KERNEL), "its rows have 2, 1 numbers"),
        (("1 2-3; 3 4", KERNEL), "is no matrix"),
        (("nothing.png", "blur"), "no such picture: 'nothing.png'"),
        ((IMAGE, KERNEL, 0), "stride=0"),
        ((IMAGE, KERNEL, 1, "0,1,2"), "write a number, LOW,HIGH or a name"),
        ((IMAGE, KERNEL, 1, "sam"), "did you mean 'same'"),
        ((IMAGE, "1 2 3 4 5"), "the least size is 5"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        convolve(*arguments)


def test_a_file_that_is_no_picture(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("hello")
    with pytest.raises(UserError, match="cannot read"):
        convolve(str(path), "blur", out=tmp_path / "out.png")
