"""Series and sounds that are unfit to learn from: silent, clipped, with constant channels."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from striate.data.source import Reading
from striate.kinds.quality import Fault, Traits, usual

_SILENT: Final = 1e-3
"""The deviation, as a share of the usual one, under which a recording is silent."""

_CLIPPED: Final = 0.01
"""The share of samples in runs at the extreme values from which on a recording is clipped."""

_RUN: Final = 3


def measured(reading: Reading, path: Path | None) -> dict[str, float]:
    """Plain figures of one series, (channels, time).

    Args:
        reading: The series.
        path: Its file; None where it has none.
    """
    values = np.asarray(reading.array, np.float64)
    spread = values.std(1)
    figures = {
        "length": float(values.shape[1]),
        "level": float(values.mean()),
        "loudness": float(np.sqrt(np.square(values - values.mean(1, keepdims=True)).mean())),
        "constant": float((spread == 0).sum()),
        "channels": float(len(values)),
        "clipped": max(map(_clipped_share, values), default=0.0),
    }
    if path is not None:
        figures["date"] = path.stat().st_mtime
    return figures


def _clipped_share(values: np.ndarray) -> float:
    """The share of samples in runs of at least three at the largest or the smallest value."""
    if values.size < _RUN or np.ptp(values) == 0 or len(np.unique(values[:4096])) < 8:
        return 0.0
    share = 0
    for extreme in (values.max(), values.min()):
        at = np.concatenate([[0], (values == extreme).astype(np.int8), [0]])
        edges = np.flatnonzero(np.diff(at))
        runs = edges[1::2] - edges[::2]
        share += int(runs[runs >= _RUN].sum())
    return share / values.size


def faults(traits: Traits) -> list[Fault]:
    """What is wrong with which recordings."""
    silent = traits["loudness"] <= _SILENT * usual(traits["loudness"])
    return [
        Fault(
            code="silent",
            says="without a sound or change",
            advice="leave them out: nothing can be learnt from them",
            found=silent,
            useless=True,
        ),
        Fault(
            code="clipped",
            says="clipped, with many samples at the largest or the smallest value",
            advice="record them again with less gain, or leave them out",
            found=~silent & (traits["clipped"] > _CLIPPED),
        ),
        Fault(
            code="constant-channel",
            says="with channels that never change",
            advice="look whether a sensor failed; leave these recordings or the channel out",
            found=~silent & (traits["constant"] > 0),
        ),
    ]
