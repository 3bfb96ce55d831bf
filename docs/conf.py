"""Settings of the site that `make docs` builds with Sphinx into docs/_build."""

from __future__ import annotations

import re
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parent

project = "Striate"
author = "the Striate authors"
copyright = "the Striate authors; Apache-2.0"
version = release = installed("striate")
html_title = f"Striate {version}"
html_theme = "furo"
exclude_patterns = ["_build"]
highlight_language = "none"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_attr_annotations = False
napoleon_use_ivar = True
napoleon_use_rtype = False
# Names in backticks are code, not references.
default_role = "code"


def first_page(readme: str, index: str) -> str:
    """Return the README with docs/index.md as its chapter on the documentation."""
    readme = readme.replace("](docs/", "](").replace("[Changelog](CHANGELOG.md)", "Changelog")
    before, _, after = readme.partition("## Documentation\n")
    _, _, body = index.partition("\n")
    return f"{before}## Documentation\n{body}\n{after[after.index('## ') :]}"


def menus(index: str) -> str:
    """Return the menu of the site: a chapter for each list of links, under the line above it."""
    found = []
    for caption, links in re.findall(r"^([^\n]+)\n\n((?:- [^\n]+\n)+)", index, re.MULTILINE):
        pages = "\n".join(re.findall(r"^- \[[^]]+\]\(([^)]+)\)", links, re.MULTILINE))
        title = re.split(r"[;:,(]", caption.strip("# "))[0]
        found.append(f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n```\n")
    return "".join(found)


def read_page(app: Any, page: str, source: list[str]) -> None:
    """Change a page before it is parsed."""
    text = source[0]
    if page.endswith("index") and ".. toctree" not in text:
        text += menus(text)
    if page == "index":
        text = first_page((DOCS.parent / "README.md").read_text(), text)
    # A session of the console is no program.
    source[0] = re.sub(r"^```python\n>>>", "```pycon\n>>>", text, flags=re.MULTILINE)


def read_docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Keep the stars of shapes, as in (n, c, *space), from beginning emphasis."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[number] = re.sub(r"(`[^`]*`)|\*", lambda m: m[1] or r"\*", line)


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out what scikit-learn adds to every estimator."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def setup(app: Any) -> None:
    """Connect what is done to each page and docstring before it is parsed."""
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", read_docstring, priority=400)
    app.connect("autodoc-skip-member", skip)
