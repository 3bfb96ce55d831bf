"""Series brought to another rate or another number of samples, and log-mel spectrograms.

A spectrogram is the power of a sound by time and by pitch as ears part it.

Mel scale: O'Shaughnessy, Speech Communication, 1987: 2595 log10(1 + f / 700); triangular filters
of height 1 between evenly spaced mels, as in HTK.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from striate.data.readers.npy import MAX_EXPANSION
from striate.data.source import UnreadableItem
from striate.errors import ArgumentError

FLOOR: Final = 1e-6
"""Added to the power before the logarithm."""

WINDOW_SECONDS: Final = 0.025
HOP_SECONDS: Final = 0.01

LARGEST_TERM: Final = 1000
"""Rates whose ratio is no fraction of terms up to this are taken as the nearest that is."""

_MOST_SAMPLES: Final = 1 << 24
"""Samples from which on a signal at another rate may have `MAX_EXPANSION` times as many, at most."""


def to_rate(
    signal: Float32[np.ndarray, "c l"], rate: float, wanted: float
) -> Float32[np.ndarray, "c m"]:
    """A signal at another rate, low-passed before it loses samples.

    Args:
        signal: Samples at `rate`.
        rate: Samples a second.
        wanted: Samples a second of the result.

    Raises:
        UnreadableItem: It would have beyond all reason more samples, as where its rate is wrong.
    """
    from scipy.signal import resample_poly

    if rate > LARGEST_TERM * wanted:
        steps = rate / LARGEST_TERM
        return to_rate(to_rate(signal, rate, steps), steps, wanted)
    count = signal.size * wanted / rate
    if count > max(_MOST_SAMPLES, MAX_EXPANSION * signal.size):
        raise UnreadableItem(
            f"{rate:g} samples a second; at {wanted:g}, as of the others, there would be {count:.2g}"
        )
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


@dataclass(frozen=True, kw_only=True)
class MelConfig:
    """How a spectrogram is computed.

    Attributes:
        rate: Samples a second.
        bands: Number of mel bands.
        window: Number of samples of a Hann window, and of its Fourier transform.
        hop: Number of samples from one window to the next.

    Raises:
        ArgumentError: A value is out of range.
    """

    rate: float
    bands: int = 64
    window: int = 1024
    hop: int = 160

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ArgumentError(f"rate={self.rate}", why="it is above 0")
        for name in ("bands", "window", "hop"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name}={getattr(self, name)}", why="it is 1 at least")

    @classmethod
    def for_rate(cls, rate: float, bands: int = 64) -> MelConfig:
        """Windows of 25 ms, rounded up to a power of two, each 10 ms after the one before."""
        window = 1 << max(4, int(rate * WINDOW_SECONDS) - 1).bit_length()
        return cls(rate=rate, bands=bands, window=window, hop=max(1, round(rate * HOP_SECONDS)))

    def num_frames(self, length: int) -> int:
        """Windows of a signal with so many samples."""
        return 1 + length // self.hop


@cache
def mel_filters(config: MelConfig) -> Float[Tensor, "bands bins"]:
    """The weight of each bin of the Fourier transform in each band."""
    bins = torch.linspace(0, config.rate / 2, config.window // 2 + 1, dtype=torch.float64)
    top = 2595 * torch.log10(torch.tensor(1 + config.rate / 2 / 700, dtype=torch.float64))
    edges = torch.linspace(0, float(top), config.bands + 2, dtype=torch.float64)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    low, centre, high = hertz[:-2, None], hertz[1:-1, None], hertz[2:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    return torch.minimum(rising, falling).clamp(min=0).float()


def log_mel(
    signals: Float[Tensor, "n c l"], config: MelConfig
) -> Float[Tensor, "n c bands frames"]:
    """Log-mel spectrograms, natural logarithms of power; windows are centred, zeros beyond the ends.

    Args:
        signals: Samples at `config.rate`.
        config: How the spectrogram is computed.
    """
    n, c, length = signals.shape
    spectrum = torch.stft(
        signals.reshape(n * c, length),
        config.window,
        config.hop,
        window=torch.hann_window(config.window),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    power = spectrum.abs().square()
    mel = torch.log(mel_filters(config) @ power + FLOOR)
    return mel.view(n, c, config.bands, -1)
