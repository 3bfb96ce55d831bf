"""The pictures of the pages, all made by Striate's own functions."""

from __future__ import annotations

import io
from typing import Final

import concept_pictures
import figures
import kernel_pictures
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from striate.analysis import diagram
from striate.ops import NAMED_KERNELS, Trace, filter_picture, trace

CELL: Final = 30
MARGIN: Final = 14
GAP: Final = 40


def drawn() -> dict[str, bytes]:
    """Every picture by its file's name."""
    return {
        "convolution.svg": step_drawing(example(), (0, 2)).encode(),
        "filters.png": png(filtered()),
        "pooling.svg": concept_pictures.pooling(),
        "pointwise.svg": concept_pictures.pointwise(),
        "transfer.svg": concept_pictures.transfer(),
        "effective-field.png": png(effective()),
        "vgg16.svg": diagram(figures.of("vgg16")).encode(),
        "resnet50.svg": diagram(figures.of("resnet50")).encode(),
        **{
            f"depthwise-{dtype}.svg": kernel_pictures.depthwise(dtype).encode()
            for dtype in ("float32", "bfloat16")
        },
    }


def example() -> Trace:
    """The convolution that the pages work through."""
    image = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 0, 1, 2]])
    return trace(image, torch.eye(2, dtype=torch.int64))


def step_drawing(traced: Trace, position: tuple[int, int]) -> str:
    """One step of a convolution as SVG: window, kernel and the number they give."""
    step = next(step for step in traced.steps() if step.position == position)
    rows, columns = traced.kernel.shape
    window = {(step.origin[0] + i, step.origin[1] + j) for i in range(rows) for j in range(columns)}
    parts, x = [], MARGIN
    for title, sign, matrix, marked in (
        ("image", "", traced.image, window),
        ("kernel", "*", traced.kernel, {(i, j) for i in range(rows) for j in range(columns)}),
        ("feature map", "=", traced.feature_map, {position}),
    ):
        if sign:
            parts.append(_text(x - GAP / 2, MARGIN + 20 + 1.5 * CELL, sign, 20))
        parts.append(_text(x + matrix.shape[1] * CELL / 2, MARGIN + 4, title, 12))
        parts.append(_grid(matrix, marked, x, MARGIN + 12))
        x += matrix.shape[1] * CELL + GAP
    products = zip(step.window.flatten(), traced.kernel.flatten(), strict=True)
    sums = " + ".join(f"{int(a)}*{int(b)}" for a, b in products) + f" = {int(step.total)}"
    width, height = x - GAP + MARGIN, MARGIN + 12 + 3 * CELL + 34
    parts.append(_text(width / 2, height - 12, sums, 14))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" font-family="system-ui, sans-serif">\n'
        f"<title>{sums}</title>\n"
        '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _grid(matrix: Tensor, marked: set[tuple[int, int]], x: int, y: int) -> str:
    cells = []
    for i, row in enumerate(matrix.tolist()):
        for j, value in enumerate(row):
            left, top = x + j * CELL, y + i * CELL
            fill = "#f3d9b8" if (i, j) in marked else "#eef2f7"
            cells.append(
                f'<rect x="{left}" y="{top}" width="{CELL}" height="{CELL}" '
                f'fill="{fill}" stroke="#fff"/>' + _text(left + CELL / 2, top + 20, str(value), 14)
            )
    return "\n".join(cells)


def _text(x: float, y: float, text: str, size: int) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="middle" fill="#222">'
        f"{text}</text>"
    )


def scene(side: int = 112) -> NDArray[np.uint8]:
    """A disk, bars and a slope of brightness: edges of every direction, and none."""
    y, x = np.mgrid[:side, :side] / side
    picture = 60 + 110 * x
    picture[(x - 0.35) ** 2 + (y - 0.38) ** 2 < 0.06] = 220
    picture[(y > 0.72) & (np.floor(x * 14) % 2 == 0)] = 25
    picture[abs(x + y - 1.45) < 0.02] = 245
    return picture.astype(np.uint8)


def filtered() -> NDArray[np.uint8]:
    """The scene, and what each named kernel makes of it, in a row."""
    pixels = torch.from_numpy(scene())[None]
    row = [pixels] + [
        filter_picture(pixels, torch.tensor(kernel, dtype=torch.float64), padding="same")
        for kernel in NAMED_KERNELS.values()
    ]
    white = torch.full((1, pixels.shape[1], 6), 255, dtype=torch.uint8)
    joined = [part for picture in row for part in (picture, white)][:-1]
    return torch.cat(joined, dim=2)[0].numpy()


def effective() -> NDArray[np.uint8]:
    """The effective field of a stack of convolutions; its edge is that of the theoretical one."""
    small = figures.stack_effective_field(figures.pictured_depth).picture()
    return np.pad(small.repeat(6, axis=0).repeat(6, axis=1), 2, constant_values=128)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A grey picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
