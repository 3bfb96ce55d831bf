"""Writing ONNX files, which several engines read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.engines.engine import Deployment, library_errors

OPSET: Final = 18
"""Of the operators: old enough for every runtime of the last years."""

CARD: Final = "striate"
"""Key of the card among the file's metadata."""


def write_onnx(deployment: Deployment, path: Path) -> None:
    """Write an ONNX file whose metadata hold the card.

    Raises:
        EngineError: ONNX cannot express the network.
    """
    decompositions = {torch.ops.aten.adaptive_avg_pool3d.default: _adaptive_average_pool}
    program = deployment.program()
    with library_errors("ONNX cannot express the network"):
        written = torch.onnx.export(
            program.run_decompositions(decompositions),
            input_names=[deployment.input_name],
            output_names=list(deployment.output_names),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert written is not None
    written.model.metadata_props[CARD] = deployment.card_text()
    written.save(path)


def _adaptive_average_pool(x: Tensor, output_size: list[int]) -> Tensor:
    """torch's adaptive average pooling by what ONNX has: windows of one size, or products.

    Window i of n reaches from floor(i size / n) to ceil((i + 1) size / n).
    """
    sizes = tuple(x.shape[-len(output_size) :])
    if all(size % count == 0 for size, count in zip(sizes, output_size, strict=True)):
        window = [size // count for size, count in zip(sizes, output_size, strict=True)]
        return F.avg_pool3d(x, window)
    for axis, (size, count) in enumerate(zip(sizes, output_size, strict=True)):
        windows = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        shares = [
            [1 / (end - first) if first <= place < end else 0.0 for first, end in windows]
            for place in range(size)
        ]
        here = axis - len(output_size)
        x = (x.movedim(here, -1) @ torch.tensor(shares)).movedim(-1, here)
    return x
