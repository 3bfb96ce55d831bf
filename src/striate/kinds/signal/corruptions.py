"""Common corruptions of recordings; see `striate.kinds.corruption`."""

from __future__ import annotations

from typing import Final

import numpy as np

from striate.kinds.corruption import Corruption, Values, gain


def noise(samples: Values, level: float, rng: np.random.Generator) -> Values:
    """Normal noise of `level` deviations of each channel."""
    return samples + level * _deviation(samples) * rng.normal(size=samples.shape)


def dropout(samples: Values, level: float, rng: np.random.Generator) -> Values:
    """A stretch of `level` of the length takes the mean of its channel."""
    length = samples.shape[1]
    lost = min(length, max(1, round(level * length)))
    begin = int(rng.random() * (length - lost + 1))
    changed = samples.copy()
    changed[:, begin : begin + lost] = _mean(samples)
    return changed


def shift(samples: Values, level: float, rng: np.random.Generator) -> Values:
    """Moved by `level` of the length to either side; the first or last sample fills the gap."""
    length = samples.shape[1]
    places = round(level * length) * (1 if rng.random() < 0.5 else -1)
    return samples[:, np.clip(np.arange(length) - places, 0, length - 1)]


def _mean(samples: Values) -> Values:
    known = np.isfinite(samples)
    count = np.maximum(known.sum(1, keepdims=True), 1)
    return np.asarray(np.where(known, samples, 0.0).sum(1, keepdims=True) / count)


def _deviation(samples: Values) -> Values:
    return np.sqrt(_mean(np.square(samples - _mean(samples))))


CORRUPTIONS: Final = (
    Corruption(
        name="noise",
        means="deviation of normal noise, in deviations of the recording",
        levels=(0.1, 0.2, 0.4, 0.7, 1.0),
        change=noise,
        in_range=False,
    ),
    Corruption(
        name="quieter",
        means="factor of every sample",
        levels=(0.7, 0.5, 0.35, 0.2, 0.1),
        change=gain,
        in_range=False,
    ),
    Corruption(
        name="louder",
        means="factor of every sample",
        levels=(1.4, 2.0, 3.0, 5.0, 10.0),
        change=gain,
        in_range=False,
    ),
    Corruption(
        name="dropout",
        means="share of the length that takes the mean",
        levels=(0.05, 0.1, 0.2, 0.3, 0.5),
        change=dropout,
        in_range=False,
    ),
    Corruption(
        name="shift",
        means="share of the length by which it is moved in time",
        levels=(0.02, 0.05, 0.1, 0.2, 0.3),
        change=shift,
        in_range=False,
    ),
)
