"""The colours of evidence, and the card of an explanation image."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2gray, rgb2lab

from striate.errors import ArgumentError
from striate.explain.drawing import MARGIN, colourize, image_card, overlay, svg_card

SVG = "{http://www.w3.org/2000/svg}"
CAPTION = ("a <b> & c.png", "Prediction: cat 93.1%", "Evidence for: cat (method: gradcam)")
DRAWING = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="300px" height="200px" viewBox="0 0 300 200"><circle r="5"/></svg>'


def test_a_drawing_stands_between_its_caption_and_the_scale():
    root = ET.fromstring(svg_card(DRAWING, CAPTION))
    assert [text.text for text in root.findall(f"{SVG}text")] == [
        *CAPTION,
        "no evidence",
        "most evidence",
    ]
    ground = root.find(f"{SVG}rect")
    assert (ground.get("fill"), ground.get("stroke")) == ("#ffffff", "#c9c9cf")
    assert root.get("width") == str(300 + 2 * MARGIN)
    inner = root.find(f"{SVG}g")
    left, top = map(int, inner.get("transform")[len("translate(") : -1].split())
    assert inner.find(f"{SVG}svg/{SVG}circle") is not None
    lines = [float(text.get("y")) for text in root.findall(f"{SVG}text")]
    assert left == MARGIN and lines[2] < top and top + 200 < lines[3] < float(root.get("height"))
    scale = [rect.get("fill") for rect in root.findall(f"{SVG}rect")[1:]]
    assert scale[0] == "#f4f4f4" and scale[-1] == "#fef257" and len(set(scale)) == len(scale)


def test_images_stand_side_by_side_enlarged_above_caption_and_scale():
    rng = np.random.default_rng(0)
    panels = [rng.integers(0, 256, (50, 60, 3), dtype=np.uint8) for _ in range(2)]
    card = image_card([Image.fromarray(panel) for panel in panels], CAPTION)
    pixels = np.asarray(card)
    assert card.width == 2 * 300 + 3 * MARGIN
    for left, panel in zip((MARGIN, 300 + 2 * MARGIN), panels, strict=True):
        part = pixels[MARGIN : MARGIN + 250, left : left + 300]
        assert np.array_equal(part[::5, ::5], panel)
    below = pixels[MARGIN + 250 + MARGIN :]
    colourful = np.ptp(below.astype(int), axis=-1) > 40
    row = below[np.flatnonzero(colourful.any(1))[0]]
    ramp = np.asarray(overlay(np.full((3, 1, 144), 128, np.uint8), np.linspace(0, 1, 144)[None]))[0]
    starts = [k for k in range(len(row) - 144) if np.array_equal(row[k : k + 144], ramp)]
    assert len(starts) == 1
    without = image_card([Image.fromarray(panel) for panel in panels])
    assert card.height - without.height == 3 * 20


@pytest.mark.parametrize("name", ["x" * 500, "caf\udce9\n.jpg"])
def test_any_name_fits(name):
    svg = svg_card(DRAWING, (name,))
    line = ET.fromstring(svg.encode()).find(f"{SVG}text").text
    assert len(line) < 45 and line.isprintable()
    assert image_card([Image.new("L", (300, 300))], (name,)).width == 300 + 2 * MARGIN


def test_lightness_rises_evenly():
    ramp = colourize(np.linspace(0, 1, 111)[None])
    lightness = rgb2lab(ramp)[0, :, 0]
    np.testing.assert_allclose(lightness, np.linspace(14, 94, 111), atol=0.8)
    assert (np.diff(lightness[::5]) > 0).all()


def test_cold_places_show_the_picture_in_grey_and_hot_ones_the_colour():
    image = np.random.default_rng(0).integers(0, 256, (3, 6, 8), dtype=np.uint8)
    heat = np.zeros((6, 8))
    heat[0, 0] = 1
    picture = np.asarray(overlay(image, heat))
    grey = rgb2gray(image.transpose(1, 2, 0), channel_axis=-1) * 255
    assert picture.shape == (6, 8, 3)
    assert (np.ptp(picture[1:], axis=-1) == 0).all()
    # PIL weighs the channels by Rec. 601, scikit-image by Rec. 709
    np.testing.assert_allclose(picture[1:, :, 0], grey[1:], atol=32)
    np.testing.assert_allclose(
        picture[0, 0], 0.75 * np.array([254, 242, 87]) + 0.25 * grey[0, 0], atol=9
    )


def test_sizes_must_agree():
    with pytest.raises(ArgumentError, match="heat map of"):
        overlay(np.zeros((3, 4, 4), np.uint8), np.zeros((4, 5)))
