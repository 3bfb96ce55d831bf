"""The pages in docs/: their examples run, and every figure on them is computed."""

import doctest
import importlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [DOCS / "python.md", *sorted((DOCS / "concepts").glob("*.md"))]
CONCEPTS = {"convolution", "pooling", "pointwise", "receptive-field", "architectures", "transfer"}
LONG = ("python",)
"""Pages whose examples fit models."""


@pytest.fixture
def build(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "figures")
    return importlib.import_module("build")


def test_every_concept_has_a_page():
    assert {page.stem for page in PAGES} >= CONCEPTS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_figures_are_what_is_computed(page, build):
    text = page.read_text()
    assert build.fill(text) == text, "run make docs"


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=[pytest.mark.slow] * (p.stem in LONG), id=p.stem) for p in PAGES],
)
def test_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("page", sorted((DOCS / "concepts").glob("*.md")), ids=lambda p: p.stem)
def test_no_figure_is_written_by_hand(page):
    text = re.sub(r"<!-- computed: .+? -->.*?<!-- end -->", "", page.read_text(), flags=re.S)
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    text = re.sub(r"^    .*$|`[^`]*`|\[[^]]*\]\([^)]*\)", "", text, flags=re.M)
    # "2-D", "3x3" and "VGG-16" are names.
    assert not re.findall(r"(?<![\w-])\d[\d.,]*(?![\w-])", text)


def test_pictures_are_what_is_drawn(build):
    for name, drawn in importlib.import_module("pictures").drawn().items():
        kept = (DOCS / "images" / name).read_bytes()
        if name.endswith(".svg"):
            assert kept == drawn, f"{name}: run make docs"
        else:
            kept, drawn = (np.asarray(Image.open(io.BytesIO(b)), int) for b in (kept, drawn))
            np.testing.assert_allclose(kept, drawn, atol=1, err_msg=f"{name}: run make docs")


def test_an_index_leads_to_every_page():
    """The menus of the site are made of these links."""
    for index in (DOCS / "index.md", DOCS / "decisions" / "index.md"):
        linked = re.findall(r"\]\(([^)]+\.(?:md|rst))\)", index.read_text())
        pages = {p.relative_to(index.parent).as_posix() for p in index.parent.rglob("*.md")}
        if index.parent == DOCS:
            pages = {page for page in pages if not page.startswith(("decisions/0", "_build"))}
        assert len(linked) == len(set(linked))
        assert set(linked) - {"api/index.rst"} == pages - {"index.md"}


def test_the_menus_of_the_site(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    site = importlib.import_module("conf")
    index = (DOCS / "index.md").read_text()
    menus = site.menus(index)
    assert menus.count("```{toctree}") == 4
    for page in re.findall(r"\]\(([^)]+\.(?:md|rst))\)", index):
        assert f"\n{page}\n" in menus, (
            f"the menus lack {page}: let its link begin a line of the list"
        )
    assert "\n:caption: To use it\n\ncommand-line.md\n" in menus
    page = site.first_page(
        "# A\n[x](docs/b.md)\n## Documentation\nold\n\n## Licence\n", "# B\nnew\n"
    )
    assert page == "# A\n[x](b.md)\n## Documentation\nnew\n\n## Licence\n"
