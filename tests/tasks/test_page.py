"""The page: one file, nothing loaded, nothing executed, every name shown as text."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from striate.report import Picture
from striate.tasks.classification.page import MAX_MATRIX_CLASSES
from striate.tasks.classification.report import build_report

NASTY = (
    "<script>alert(1)</script>",
    "=cmd()|calc",
    "\U0001f600 “smile”",
    "caf\udce9",
    'a"b&c',
    "new\nline",
)
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Elements, attributes and text of a document; checks that tags are balanced."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture
def page(page, make_inputs):
    def make(pictures=None, **options):
        return Page(page(build_report(*make_inputs(**options)), pictures))

    return make


def test_nothing_is_loaded_and_nothing_runs_but_the_page_s_own_script(page):
    shown = page(classes=NASTY)
    tags = {tag for tag, _ in shown.elements}
    assert len(shown.all("script")) == 1
    assert not tags & {"link", "iframe", "object", "embed", "form", "base"}
    for _, attributes in shown.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert "href" not in attributes
        assert attributes.get("src", "data:").startswith("data:")
    policy = next(m["content"] for m in shown.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    script = resources.files("striate.report").joinpath("templates/page.js").read_bytes()
    assert script.decode() in shown.text
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert policy.endswith(f"; script-src 'sha256-{digest}'")


def test_the_threshold_of_two_classes_has_its_counts_beside_it(page):
    (section,) = [s for s in page(classes=NASTY[:2]).all("section") if "data-curves" in s]
    curves = json.loads(section["data-curves"])
    assert {curve["name"] for curve in curves} == set(NASTY[:2])
    for curve in curves:
        assert curve["found"][0] == curve["support"] == 60
        assert curve["false_alarms"][0] == curve["others"] == 60
    assert not any("data-curves" in s for s in page(classes=NASTY).all("section"))


def test_hostile_names_are_shown_as_text(page):
    words = page(classes=NASTY, task="<b>bold</b>", run="runs/$(rm -rf)").words()
    for name in (
        "<script>alert(1)</script>",
        "=cmd()|calc",
        "\U0001f600 “smile”",
        "caf\\udce9",
        'a"b&c',
        "new\\nline",
    ):
        assert name in words
    assert "<b>bold</b>: 6 classes" in words
    assert "striate predict 'runs/$(rm -rf)' PATH" in words


def test_the_page_opens_with_the_verdict_and_has_every_section(page):
    shown = page()
    assert "Of 100 new images, about" in shown.words()
    ids = {attributes.get("id") for attributes in shown.all("h2")}
    assert ids == {"figures", "classes", "confusion", "curves", "selective", "mistakes", "reliability", "history", "data", "made", "use"}  # fmt: skip
    for section in shown.all("section"):
        assert section["aria-labelledby"] in ids


def test_every_picture_has_a_text_for_those_who_cannot_see_it(page, make_inputs):
    report = build_report(*make_inputs(signal=1.0))
    grey = Image.fromarray(np.zeros((700, 500), np.uint8))
    pictures = {m.id: Picture(image=grey, overlay=grey) for m in report.worst_mistakes}
    shown = page(pictures, signal=1.0)
    assert len(shown.all("img")) == 2 * len(report.worst_mistakes)
    assert all(image["alt"] for image in shown.all("img"))
    charts = [svg for svg in shown.all("svg") if svg.get("aria-hidden") != "true"]
    assert charts
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in charts)


def test_pictures_find_items_whose_names_are_not_utf8(page, make_inputs):
    ids = [f"caf\udce9-{i}.jpg" for i in range(120)]
    grey = Image.fromarray(np.zeros((8, 8), np.uint8))
    shown = page({item: Picture(image=grey) for item in ids}, test={"ids": ids}, signal=1.0)
    assert len(shown.all("img")) == 12


@pytest.mark.parametrize("num_classes", [2, MAX_MATRIX_CLASSES, MAX_MATRIX_CLASSES + 1, 60])
def test_the_matrix_gives_way_to_the_top_confusions(page, num_classes):
    shown = page(classes=[f"class {i}" for i in range(num_classes)], num_items=240)
    matrices = [t for t in shown.all("table") if "matrix" in t.get("class", "")]
    assert len(matrices) == (num_classes <= MAX_MATRIX_CLASSES)
    assert ("The most frequent confusions" in shown.words()) == (num_classes > MAX_MATRIX_CLASSES)
    for i in range(num_classes):
        assert f"class {i}" in shown.text


def test_parts_without_content_are_left_out(page):
    shown = page(history=[], signal=50.0, notes=[], skipped=[], choices=[])
    ids = {attributes.get("id") for attributes in shown.all("h2")}
    assert not ids & {"history", "mistakes"}
    words = shown.words()
    assert "It classified every one of the 120 test images correctly" in words
    assert "Nothing was found wrong with it" in words
    assert "the figure is the same in every resample" in words


@pytest.mark.parametrize(
    ("kind", "noun"), [("signal", "recordings"), ("volume", "volumes"), ("graph", "graphs")]
)
def test_the_page_speaks_of_the_kind_of_items(page, kind, noun):
    words = page(kind=kind).words()
    assert f"Of 100 new {noun}" in words
    assert "images" not in words
