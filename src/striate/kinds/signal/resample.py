"""Series brought to another rate or another number of samples."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np
from jaxtyping import Float32

LARGEST_TERM: Final = 1000
"""Rates whose ratio is no fraction of terms up to this are taken as the nearest that is."""


def to_rate(
    signal: Float32[np.ndarray, "c l"], rate: float, wanted: float
) -> Float32[np.ndarray, "c m"]:
    """A signal at another rate, low-passed before it loses samples.

    Args:
        signal: at `rate`.
        rate: samples a second.
        wanted: samples a second of the result.
    """
    from scipy.signal import resample_poly

    ratio = Fraction(wanted / rate).limit_denominator(LARGEST_TERM)
    if ratio == 1 or ratio == 0:
        return signal
    changed = resample_poly(signal, ratio.numerator, ratio.denominator, axis=1)
    return np.ascontiguousarray(changed, dtype=np.float32)


def to_length(signal: Float32[np.ndarray, "c l"], length: int) -> Float32[np.ndarray, "c m"]:
    """A signal stretched or squeezed to a number of samples, linear between two of them."""
    if signal.shape[1] == length:
        return signal
    places = np.linspace(0, signal.shape[1] - 1, length)
    known = np.arange(signal.shape[1])
    stretched = np.stack([np.interp(places, known, channel) for channel in signal])
    return stretched.astype(np.float32)
