"""Pictures of items inside the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Final, TypeAlias

from PIL import Image

SMALL: Final = 128
"""The longer side of a small picture, in pixels."""

_SQUARE = (320, 320)
_PAGE = (960, 720)
"""The most pixels kept of a picture that is square, and of one that is not, such as slices."""

_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'

Drawing: TypeAlias = Image.Image | str
"""Pixels, or the text of an SVG element that this program has drawn."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A test item to look at.

    Attributes:
        image: The item; a drawing (SVG) may itself mark what the model looked at.
        overlay: The item with what the model looked at, where that is a picture of its own.
        method: Name of the method of explanation; empty where it is not known.
        found: Whether there is any evidence to see.
        faithful: Whether blanking what is marked changes the answer more than blanking at random;
            None where that was not tried.
        nearest: Small pictures of the training items nearest to it, in their order; None for an item
            of which there is none.
    """

    image: Drawing
    overlay: Drawing | None = None
    method: str = ""
    found: bool = True
    faithful: bool | None = None
    nearest: tuple[Drawing | None, ...] = ()

    @property
    def wide(self) -> bool:
        """Whether the picture wants the whole width: a drawing, or slices side by side."""
        return isinstance(self.image, str) or not _is_square(self.image)

    def check(self) -> str:
        """What was found out of the explanation, as a sentence without an end; empty if nothing."""
        if not self.found:
            return "no evidence for this answer was found"
        if self.faithful is None:
            return ""
        if self.faithful:
            return "checked: blanking what is marked counts more than blanking at random"
        return "checked: no better than marks at random, do not rely on it"


def small(drawing: Drawing) -> Drawing:
    """The picture with at most `SMALL` pixels along a side; a drawing has none and stays as it is."""
    if isinstance(drawing, str):
        return drawing
    reduced = drawing.convert("RGB")
    reduced.thumbnail((SMALL, SMALL))
    return reduced


def svg_document(drawing: str) -> str:
    """The SVG element as a document of its own, which names what it is written in."""
    head, rest = drawing.split("<svg", 1)
    element = rest.split(">", 1)[0]
    return drawing if "xmlns=" in element else f"{head}<svg {_NAMESPACE}{rest}"


def data_url(drawing: Drawing) -> str:
    """The picture as an address that holds it: JPEG, or SVG.

    A drawing becomes an image of its own, so that nothing in it runs and no name in it clashes
    with one of another drawing.
    """
    if isinstance(drawing, str):
        content, kind = svg_document(drawing).encode(), "svg+xml"
    else:
        small = drawing.convert("RGB")
        small.thumbnail(_SQUARE if _is_square(small) else _PAGE)
        out = BytesIO()
        small.save(out, "JPEG", quality=85)
        content, kind = out.getvalue(), "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def _is_square(image: Image.Image) -> bool:
    return image.width == image.height
