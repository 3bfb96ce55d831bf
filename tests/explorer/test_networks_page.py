"""In the browser, every number that the page shows of a unit is torch's, in networks of all families."""

import numpy as np
import pytest
import torch
from tests.explorer.conftest import hooked, session_of
from tests.explorer.test_cells import NETWORKS, torchs
from tests.explorer.test_page import (  # noqa: F401 - fixtures
    CHROMIUM,
    address,
    browser,
    opened,
    sync_api,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
LAYERS = 24
"""Layers of a network that are opened: the first of each kind, and others evenly spread."""

READ = """() => {
  const values = (node, what) => [...node.querySelectorAll(what)].map((n) => Number(n.dataset.value));
  const cell = document.querySelector("#cell");
  return {
    said: cell.textContent,
    results: values(cell, ".equation b[data-value]"),
    sums: [...cell.querySelectorAll(".step")].map((step) => values(step, ".equation [data-value]")),
    triples: [...cell.querySelectorAll(".triple")].map((triple) => [...triple.querySelectorAll("table")].map(
      (table) => [...table.querySelectorAll("td")].map((td) => (td.title ? Number(td.title) : null)))),
    heads: [...cell.querySelectorAll("table.list thead")].map((head) => [...head.querySelectorAll("th")].map((th) => th.textContent)),
    rows: [...cell.querySelectorAll("table.list")].map((table) => [...table.querySelectorAll("tbody tr")].map((row) => values(row, "td[data-value]"))),
  };
}"""


@pytest.fixture(scope="module", params=[*NETWORKS, "attention", "kernel machine"])
def session(request):
    if request.param == "attention":
        return session_of("vit_ti_16", (3, 32, 48))
    if request.param == "kernel machine":
        return with_landmarks(session_of("kernel_machine", (3, 64, 64)))
    return session_of(*NETWORKS[request.param])


def with_landmarks(session):
    """A kernel machine whose landmarks lie where an item's features are."""
    head = session.subject.network.head
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        features = session.subject.network.stem(session.subject.open(0).x)[0]
        head.shift.copy_(features)
        head.scale.uniform_(0.5, 2, generator=generator)
        head.landmarks.copy_(0.5 * torch.randn(head.landmarks.shape, generator=generator))
        head.gamma.fill_(0.3)
        head.linear.weight.normal_(0, 0.3, generator=generator)
    return session


def chosen(nodes):
    kinds = [node["kind"] for node in nodes]
    first = {kinds.index(kind) for kind in kinds}
    spread = np.linspace(0, len(nodes) - 1, min(len(nodes), LAYERS)).round().astype(int).tolist()
    return sorted(first | set(spread))


def check(found, nodes, session, seen, number, channel, place):
    """The results are torch's, and what is shown of the way to them makes them."""
    name = nodes[number]["name"]
    assert "Not shown" not in found["said"], (name, found["said"])
    grids = session.walked(0).grids
    names = [node["name"] for node in nodes]
    expected = [
        torchs(seen, names[n], grids[n], channel, place)
        if names[n] in seen and names.count(names[n]) == 1
        else grids[n].at(channel, place)  # a function has no hook, and of two calls one is kept
        for n in [number, *nodes[number]["followers"]]
    ]
    assert found["results"] == pytest.approx(expected, rel=1e-4, abs=1e-4), name
    for triple in found["triples"]:
        window, kernel, products = np.array(triple, np.float64)
        kernel = np.where(np.isnan(window), np.nan, kernel)  # padding is not shown as a number
        np.testing.assert_allclose(np.multiply(window, kernel), products, rtol=1e-4, atol=1e-6)
    for head, rows in zip(found["heads"], found["rows"], strict=True):
        if head[-1] == "product":
            for *_, first, second, product in rows:
                assert first * second == pytest.approx(product, rel=1e-4, abs=1e-6), name
    shown = found["sums"][0]
    if "plus a bias" in found["said"] and len(shown) == 3:
        assert shown[0] + shown[1] == pytest.approx(shown[2], rel=1e-4, abs=1e-4), name


def test_every_number_of_a_unit_is_torchs(opened, address, session):  # noqa: F811 - fixtures
    seen = hooked(session.subject.network, session.walked(0).x)
    nodes = session.network["nodes"]
    page = opened(address)
    for stage in page.locator("#layers > button").all():
        if stage.get_attribute("aria-expanded") == "false":
            stage.click()
    for number in chosen(nodes):
        if nodes[number]["kind"] == "ClassToken":
            continue  # a parameter, whose steps are none
        page.evaluate("document.querySelector('#cell').replaceChildren()")
        page.evaluate(f"document.getElementById('layer-{number}').click()")
        page.wait_for_selector("#cell h2")
        middle = [size // 2 for size in nodes[number]["space"]]
        check(page.evaluate(READ), nodes, session, seen, number, 0, middle)
        if not middle or middle[-1] + 1 >= nodes[number]["space"][-1]:
            continue
        page.locator("#map").focus()
        page.keyboard.press("ArrowRight")
        beside = [*middle[:-1], middle[-1] + 1]
        axis = {1: "position", 2: "column", 3: "column"}[len(beside)]
        sync_api.expect(page.locator("#cell h2")).to_contain_text(f"{axis} {beside[-1]}")
        check(page.evaluate(READ), nodes, session, seen, number, 0, beside)


def test_softmax_is_torchs(opened, address, session):  # noqa: F811 - fixtures
    page = opened(address)
    page.locator("#layers > button").last.click()
    page.evaluate(f"document.getElementById('layer-{len(session.network['nodes']) - 1}').click()")
    page.wait_for_selector("#cell :text('then softmax')")
    logits = hooked(session.subject.network, session.walked(0).x)[""][0].double()
    shares = torch.softmax(logits, 0).sort(descending=True).values[:12].tolist()
    shown = (
        page.locator("#cell .step")
        .last.locator("tbody tr")
        .evaluate_all(
            "rows => rows.map((row) => Number(row.cells[3].textContent.replace('−', '-')))"
        )
    )
    assert shown == pytest.approx(shares[: len(shown)], rel=1e-4, abs=1e-4)
