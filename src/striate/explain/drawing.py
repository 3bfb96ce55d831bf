"""What the drawings of all kinds share: the colours of evidence, SVG elements, and the card.

An explanation image is a drawing on a card with a caption and a colour scale. The card brings its
own ground and border; that of an SVG is dark where the reader's other windows are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from striate.errors import ArgumentError, one_line

_COLOURS: Final = np.array(
    [
        (41, 0, 116), (75, 12, 128), (109, 27, 131), (143, 40, 129), (176, 54, 121), (205, 72, 109),
        (230, 94, 93), (249, 119, 74), (255, 151, 69), (254, 183, 85), (255, 212, 100), (254, 242, 87),
    ]
)  # fmt: skip
"""Violet over red to yellow, sRGB: CIELAB lightness rises from 14 to 94 in equal steps."""

OPACITY: Final = 0.75
"""Opacity of the colour of 1 over what is explained; it falls to 0 with the evidence."""

MARGIN: Final = 12
"""Pixels around and between what is on a card."""

_LINE: Final = 20
_FONT: Final = 13
_INDENT: Final = 86
_SCALE: Final = 144
_ENDS: Final = ("no evidence", "most evidence")
_MIN_SIDE: Final = 256
_GROUND, _BORDER, _INK = "#ffffff", "#c9c9cf", "#1d1d1f"

_DARK: Final = """
@media (prefers-color-scheme: dark) {
  svg { fill: #e8eaec } text { fill: #e8eaec }
  [fill="#ffffff"], [fill="white"] { fill: #1b1f23 }
  [fill="#f4f4f4"], [fill="#f2f2f4"] { fill: #30363c }
  [stroke="#b8b8bf"] { stroke: #555c64 }
  [stroke="#c9c9cf"], [stroke="#d0d0d5"] { stroke: #30363c }
  [stroke="#ffffff"], [stroke="white"] { stroke: #1b1f23 }
  [stroke="#1d1d1f"], [stroke="black"] { stroke: #e8eaec }
  [style*="stroke:#000000"] { stroke: #e8eaec !important }
  path[fill="#000000"] { fill: #e8eaec; stroke: #1b1f23; stroke-width: 2; paint-order: stroke }
}
"""
"""Turns what all drawings have in common, and rdkit's strokes and letters, to light on dark."""


def colourize(heat: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Return colours of values from 0 to 1; equal steps look equally large, also in grey."""
    positions = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(heat, positions, _COLOURS[:, channel]) for channel in range(3)]
    return np.asarray(np.stack(channels, axis=-1).round().astype(np.uint8))


def hex_colours(heat: Float[np.ndarray, " n"], *, ground: int | None = None) -> list[str]:
    """Return colours of values from 0 to 1 as SVG writes them.

    Args:
        heat: The values.
        ground: Grey level that the colours of values below 0.5 fade into, lest the dark ones stand
            out. By default none fades.
    """
    share = 1.0 if ground is None else np.minimum(2 * np.asarray(heat, np.float64), 1)[:, None]
    mixed = share * colourize(heat) + (1 - share) * (ground or 0)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in mixed.round().astype(int)]


def overlay(image: UInt8[np.ndarray, "3 h w"], heat: Float[np.ndarray, "h w"]) -> Image.Image:
    """Lay a heat map over an RGB image in grey, more opaque where it is hotter.

    Args:
        image: The image.
        heat: Values from 0 to 1, of the image's size.

    Raises:
        ArgumentError: The sizes differ.
    """
    if image.shape[1:] != heat.shape:
        raise ArgumentError(
            f"a heat map of {heat.shape} for an image of {image.shape[1:]}",
            fix="bring it to the image's size",
        )
    grey = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).convert("L").convert("RGB"))
    opacity = OPACITY * heat[..., None]
    blended = (1 - opacity) * grey + opacity * colourize(heat)
    return Image.fromarray(blended.round().astype(np.uint8))


def element(name: str, *content: str, **attributes: object) -> str:
    """Write an element.

    Args:
        name: Name of the element.
        content: What is inside: elements, or text that is escaped already.
        attributes: Attributes by name, with `_` for `-`. A fraction is rounded to one digit, and
            None leaves the attribute out.

    >>> element("text", "A &amp; B", x=1.25, text_anchor="end", fill=None)
    '<text x="1.2" text-anchor="end">A &amp; B</text>'
    """
    written = [
        f" {key.replace('_', '-')}={quoteattr(f'{v:.1f}' if isinstance(v, float) else str(v))}"
        for key, v in attributes.items()
        if v is not None
    ]
    return f"<{name}{''.join(written)}>{''.join(content)}</{name}>"


def document(width: int, height: int, *content: str, **attributes: object) -> str:
    """Write an SVG document of a size in pixels."""
    box = f"0 0 {width} {height}"
    size = {"width": width, "height": height, "viewBox": box}
    return element(
        "svg",
        *content,
        xmlns="http://www.w3.org/2000/svg",
        **size,
        font_family="sans-serif",
        **attributes,
    )


def svg_card(drawing: str, caption: Sequence[str] = ()) -> str:
    """Put an SVG drawing on a card: the caption above it, the colour scale below.

    Args:
        drawing: An SVG element with its width and height in pixels.
        caption: Lines of the caption, the first one in bold.
    """
    root = ElementTree.fromstring(drawing)
    inner = [round(float(str(root.get(side)).removesuffix("px"))) for side in ("width", "height")]
    top = MARGIN + _LINE * len(caption)
    bottom = top + inner[1] + MARGIN
    width, height = inner[0] + 2 * MARGIN, bottom + _LINE + MARGIN
    frame = {"width": width - 1, "height": height - 1, "rx": 8}
    parts = [
        element("style", _DARK),
        element("rect", x=0.5, y=0.5, **frame, fill=_GROUND, stroke=_BORDER),
    ]
    for number, line in enumerate(caption):
        text, y = escape(_fitted(line, inner[0])), MARGIN + _LINE * number + _FONT
        parts.append(element("text", text, x=MARGIN, y=y, font_weight=None if number else "bold"))
    body = drawing[drawing.index("<svg") :]
    parts.append(element("g", body, transform=f"translate({MARGIN} {top})"))
    left, base = MARGIN + _INDENT, bottom + _FONT
    parts.append(element("text", _ENDS[0], x=MARGIN, y=base))
    bar = {"y": bottom + 2, "height": _FONT}
    parts.append(element("rect", x=left, width=_SCALE, fill="#f4f4f4", **bar))
    heat = np.linspace(0, 1, _SCALE // 4)
    for number, (colour, opacity) in enumerate(zip(hex_colours(heat), 2 * heat, strict=True)):
        shade = {"fill": colour, "fill_opacity": f"{min(opacity, 1):.2f}"}
        # Opaque ones reach half a pixel over the next, lest the ground shine through.
        wide = 4.5 if opacity >= 1 else 4.0
        parts.append(element("rect", x=left + 4 * number, width=wide, **shade, **bar))
    parts.append(element("text", _ENDS[1], x=left + _SCALE + 6, y=base))
    return document(width, height, *parts, font_size=_FONT, fill=_INK)


def image_card(panels: Sequence[Image.Image], caption: Sequence[str] = ()) -> Image.Image:
    """Put images side by side on a card, small ones enlarged, caption and colour scale below.

    Args:
        panels: The images; one below 256 pixels is enlarged by a whole number.
        caption: Lines of the caption.
    """
    panels = [_enlarged(panel) for panel in panels]
    inner = sum(panel.width for panel in panels) + MARGIN * (len(panels) - 1)
    bottom = 2 * MARGIN + max(panel.height for panel in panels)
    size = inner + 2 * MARGIN, bottom + _LINE * (len(caption) + 1) + MARGIN
    page = Image.new("RGB", size, _GROUND)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=_FONT)
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=_BORDER)
    left = MARGIN
    for panel in panels:
        page.paste(panel, (left, MARGIN))
        left += panel.width + MARGIN
    for number, line in enumerate(caption):
        draw.text((MARGIN, bottom + _LINE * number), _fitted(line, inner), _INK, font)
    top, left = bottom + _LINE * len(caption), MARGIN + _INDENT
    draw.text((MARGIN, top), _ENDS[0], _INK, font)
    heat = np.broadcast_to(np.linspace(0, 1, _SCALE), (_FONT, _SCALE))
    page.paste(overlay(np.full((3, *heat.shape), 128, np.uint8), heat), (left, top + 2))
    draw.text((left + _SCALE + 6, top), _ENDS[1], _INK, font)
    return page


def _enlarged(panel: Image.Image) -> Image.Image:
    factor = max(1, _MIN_SIDE // min(panel.size))
    size = panel.width * factor, panel.height * factor
    return panel.convert("RGB").resize(size, Image.Resampling.NEAREST)


def _fitted(line: str, width: float) -> str:
    """Leave out the middle of a line that is too long."""
    line, half = one_line(line), int(width / (0.53 * _FONT)) // 2
    return line if len(line) <= 2 * half else f"{line[:half]}…{line[1 - half :]}"
