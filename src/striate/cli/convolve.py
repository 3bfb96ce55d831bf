"""`striate convolve`: the arithmetic of a convolution, window by window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

if TYPE_CHECKING:
    from torch import Tensor

    from striate.geometry import AxisPadding
    from striate.ops import Trace


def convolve(
    image: Annotated[
        str, Argument(help='A matrix ("1 2; 3 4"), or an image file.', metavar="IMAGE")
    ],
    kernel: Annotated[
        str, Argument(help="A matrix, or edge, blur, sharpen, emboss.", metavar="KERNEL")
    ],
    stride: Annotated[int, Option(help="Step of the window.")] = 1,
    padding: Annotated[
        str, Option(help="A number, LOW,HIGH, or same, same_lower, valid, causal.")
    ] = "0",
    dilation: Annotated[int, Option(help="Distance between taps.")] = 1,
    pool: Annotated[str | None, Option(help="Pool the feature map: max2, avg3 and so on.")] = None,
    out: Annotated[
        Path | None, Option(help="PNG to write for an image; by default NAME-convolved.png.")
    ] = None,
    as_json: Annotated[
        bool, Option("--json", help="Print one JSON document, for matrices.")
    ] = False,
) -> int:
    """Print the products and the sum of every window, or filter an image into a PNG."""
    from striate.errors import ArgumentError
    from striate.ops import trace

    taps = _kernel(kernel)
    pads = [_padding(padding)] * 2
    path = Path(image)
    if _looks_like_matrix(image) and not path.is_file():
        if out is not None:
            raise ArgumentError("--out", why="a matrix is printed; only a picture is written")
        traced = trace(_matrix("IMAGE", image), taps, stride, pads, dilation, pool)
        print(_json(traced) if as_json else _text(traced))
        return 0
    if as_json:
        raise ArgumentError("--json", why="a picture is written to a PNG, not printed")
    target = out or Path(f"{path.stem}-convolved.png")
    _write_filtered(path, target, taps, stride, pads, dilation, pool)
    return 0


def _write_filtered(
    path: Path,
    target: Path,
    taps: Tensor,
    stride: int,
    padding: list[AxisPadding],
    dilation: int,
    pool: str | None,
) -> None:
    """Filter the picture at `path` into a PNG."""
    import io

    import torch
    from PIL import Image

    from striate.data.readers.image import decode_image
    from striate.data.source import UnreadableItem
    from striate.errors import DataError
    from striate.files import check_output, write_atomic
    from striate.ops import filter_picture

    if not path.is_file():
        raise DataError(
            f"no such picture: {str(path)!r}", fix='give a file, or a matrix such as "1 2; 3 4"'
        )
    check_output(target, [path], "out")
    try:
        pixels = torch.from_numpy(decode_image(path).array)
    except UnreadableItem as error:
        raise DataError(f"cannot read {str(path)!r}", why=error.reason) from None
    filtered = filter_picture(pixels, taps, stride, padding, dilation, pool)
    png = io.BytesIO()
    Image.fromarray(filtered.movedim(0, -1).contiguous().numpy()).save(png, "PNG")
    write_atomic(target, png.getvalue())
    print(f"{_sizes(pixels)} -> {_sizes(filtered)}, written to {target}")


def _kernel(text: str) -> Tensor:
    import torch

    from striate.errors import UnknownNameError
    from striate.ops import NAMED_KERNELS

    if text in NAMED_KERNELS:
        return torch.tensor(NAMED_KERNELS[text], dtype=torch.float64)
    if not _looks_like_matrix(text):
        raise UnknownNameError("kernel", text, NAMED_KERNELS)
    return _matrix("KERNEL", text)


def _looks_like_matrix(text: str) -> bool:
    return bool(text.strip()) and not set(text) - set("0123456789+-.eE;, \t\n")


def _matrix(name: str, text: str) -> Tensor:
    """A matrix with `;` between rows and spaces or commas between numbers."""
    import torch

    from striate.errors import ArgumentError

    try:
        rows = [[float(x) for x in row.replace(",", " ").split()] for row in text.split(";")]
    except ValueError as error:
        raise ArgumentError(f"{name} {text!r} is no matrix", why=str(error)) from None
    if not rows[0] or len({len(row) for row in rows}) > 1:
        raise ArgumentError(
            f"{name} {text!r} is no matrix",
            why=f"its rows have {', '.join(str(len(row)) for row in rows)} numbers",
        )
    return torch.tensor(rows, dtype=torch.float64)


def _padding(text: str) -> AxisPadding:
    from striate.errors import ArgumentError

    parts = text.split(",")
    if not all(part.strip().lstrip("-").isdigit() for part in parts):
        return text
    numbers = [int(part) for part in parts]
    if len(numbers) > 2:
        raise ArgumentError(f"padding={text!r}", fix="write a number, LOW,HIGH or a name")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _text(traced: Trace) -> str:
    lines = []
    for step in traced.steps():
        products = " + ".join(
            f"{_factor(x)}*{_factor(w)}"
            for x, w in zip(step.window.flatten(), traced.kernel.flatten(), strict=True)
        )
        lines.append(f"{_place(step.position)}: {products} = {_number(step.total)}")
    lines += ["", "feature map", _grid(traced.feature_map)]
    if traced.pool is not None and traced.pooled is not None:
        kind, size = traced.pool
        lines.append("")
        for pooled in traced.pool_steps():
            values = ", ".join(map(_number, pooled.window.flatten()))
            lines.append(f"{_place(pooled.position)}: {kind}({values}) = {_number(pooled.value)}")
        lines += ["", f"after {kind} pooling of {size}", _grid(traced.pooled)]
    return "\n".join(lines)


def _json(traced: Trace) -> str:
    import json

    steps = [
        {
            "position": step.position,
            "origin": step.origin,
            "window": step.window.tolist(),
            "products": step.products.tolist(),
            "sum": step.total,
        }
        for step in traced.steps()
    ]
    pooled = None if traced.pooled is None else traced.pooled.tolist()
    return json.dumps(
        {"feature_map": traced.feature_map.tolist(), "steps": steps, "pooled": pooled}
    )


def _grid(matrix: Tensor) -> str:
    cells = [[_number(value) for value in row] for row in matrix]
    width = max(len(cell) for row in cells for cell in row)
    return "\n".join(" ".join(cell.rjust(width) for cell in row) for row in cells)


def _factor(value: Tensor) -> str:
    return f"({_number(value)})" if value < 0 else _number(value)


def _number(value: Tensor | float) -> str:
    return f"{float(value):.6g}"


def _place(position: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, position))})"


def _sizes(pixels: Tensor) -> str:
    return f"{pixels.shape[2]}x{pixels.shape[1]}"
