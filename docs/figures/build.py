"""`make docs`: draw the pictures and fill in the computed figures of every page.

A figure stands between `<!-- computed: EXPRESSION -->` and `<!-- end -->`; the expression sees the
names of `figures.py`. tests/test_pages.py fails where a page holds anything but what is computed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import figures
import graph_pictures
import pictures
import signal_pictures

DOCS: Final = Path(__file__).parent.parent
COMPUTED: Final = re.compile(r"(<!-- computed: (.+?) -->)(.*?)(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Every page, in a fixed order."""
    return sorted(DOCS.rglob("*.md"))


def fill(text: str) -> str:
    """The page with every computed figure in its place."""
    return COMPUTED.sub(lambda m: m[1] + written(eval(m[2], vars(figures).copy())) + m[4], text)


def written(value: object) -> str:
    """A figure as the page shows it: thousands apart, tables between empty lines."""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}"
    text = str(value)
    return f"\n\n{text}\n\n" if "\n" in text else text


def trained_pictures() -> dict[str, bytes]:
    """Pictures of trained networks, which differ a little from machine to machine."""
    return {
        "gun-point.svg": signal_pictures.gun_point(),
        "naphthol.svg": graph_pictures.naphthol(),
        "karate-club.svg": graph_pictures.karate_club(),
        "karate-member.svg": graph_pictures.karate_member(),
    }


def main() -> None:
    """Write pages and pictures that have changed."""
    contents = {page: fill(page.read_text()).encode() for page in pages()}
    drawings = pictures.drawn() | trained_pictures()
    contents |= {DOCS / "images" / name: drawn for name, drawn in drawings.items()}
    for path, content in contents.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            print(path.relative_to(DOCS.parent))


if __name__ == "__main__":
    main()
