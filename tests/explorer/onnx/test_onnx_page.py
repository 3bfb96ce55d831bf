"""The page of an ONNX file in a browser: its numbers are those of the network it was made from."""

import numpy as np
import pytest
import torch
from tests.explorer.conftest import served
from tests.explorer.test_page import CHROMIUM, browser, matrices, numbers, opened  # noqa: F401
from torch import nn

from striate.explorer.save import save_pages
from striate.explorer.session import Session
from striate.explorer.subjects.onnx_subject import OnnxSubject

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.SiLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3)]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


@pytest.fixture(scope="module")
def session(network, written):
    return Session(OnnxSubject(written("page", network, (3, 20, 18), dynamo=True, opset=18)))


@pytest.fixture(scope="module")
def address(session):
    with served(session) as url:
        yield url


def check_a_cell(page, network, session):
    box = page.locator("#map canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] * (7.5 / 18), box["y"] + box["height"] * (4.5 / 20))
    sync_api.expect(page.locator("#cell h2")).to_contain_text("channel 0, row 4, column 7")
    with torch.no_grad():
        sums = network[0](session.walked(0).x)
        wanted = [float(maps[0, 0, 4, 7]) for maps in (sums, network[1](sums))]
    shown = numbers(page, "#cell .equation b[data-value]")
    assert shown == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    products = sum(np.sum(table) for table in matrices(page)[2::3])
    assert products + network[0].bias[0].item() == pytest.approx(wanted[0], rel=1e-4, abs=1e-4)


def test_every_number_of_a_convolution_is_the_networks(opened, address, network, session):  # noqa: F811
    page = opened(address)
    sync_api.expect(page.locator("#notes")).to_contain_text("equal those of ONNX Runtime")
    check_a_cell(page, network, session)


def test_the_saved_page_opens_from_the_disk(opened, network, session, tmp_path):  # noqa: F811
    page = opened(save_pages(session, tmp_path / "page").as_uri())
    check_a_cell(page, network, session)
