"""Volumes that are unfit to learn from: blank ones, and such with constant channels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from striate.data.source import Reading
from striate.kinds.quality import Fault, Traits, usual

_BLANK: Final = 1e-3
_SAMPLES: Final = 1 << 16


def measured(reading: Reading, path: Path | None) -> dict[str, float]:
    """Plain figures of one volume, of evenly spaced voxels where it is large.

    Args:
        reading: The volume, (channels, depth, height, width).
        path: Its file; None where it has none.
    """
    array = reading.array
    step = max(1, round((array[0].size / _SAMPLES) ** (1 / 3)))
    values = np.asarray(array[:, ::step, ::step, ::step], np.float64).reshape(len(array), -1)
    depth, height, width = array.shape[1:]
    figures = {
        "level": float(values.mean()),
        "contrast": float(values.std(1).max()),
        "constant": float((values.std(1) == 0).sum()),
        "depth": float(depth),
        "height": float(height),
        "width": float(width),
    }
    if path is not None and path.is_file():
        figures["date"] = path.stat().st_mtime
    return figures


def faults(traits: Traits) -> list[Fault]:
    """What is wrong with which volumes."""
    blank = traits["contrast"] <= _BLANK * usual(traits["contrast"])
    return [
        Fault(
            code="blank",
            says="of one plain value",
            advice="leave them out: nothing can be learnt from them",
            found=blank,
            useless=True,
        ),
        Fault(
            code="constant-channel",
            says="with channels that never change",
            advice="look whether they were stored as they should be",
            found=~blank & (traits["constant"] > 0),
        ),
    ]
