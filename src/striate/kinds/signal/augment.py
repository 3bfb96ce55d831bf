"""Random variants of signals and spectrograms, drawn for each item from its row of draws alone.

Shift and time warp are one interpolation for the whole batch. SpecAugment: Park et al., 2019,
arXiv:1904.08779: a band of pitches and a stretch of time are covered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import uniforms
from striate.errors import ArgumentError

DRAWS: Final = (
    "place", "shift", "warp", "phase", "waves", "scale", "noise", "noise_key",
    "time", "time_width", "band", "band_width",
)  # fmt: skip
"""What each number of an item's row decides."""


@dataclass(frozen=True, kw_only=True)
class SignalAugment:
    """What may happen to a signal, in units of its own size.

    Attributes:
        shift: Signals are moved either way by up to this share of the length; the ends are held.
        warp: How much faster or slower than 1 time may run somewhere.
        scale: Deviation of the logarithm of the factor on all values.
        noise: Largest deviation of the noise added, the signal's own being 1.
        mask: Largest share of the time, and of the bands, that is covered in a spectrogram.

    Raises:
        ArgumentError: A value is out of range.
    """

    shift: float = 0.1
    warp: float = 0.2
    scale: float = 0.1
    noise: float = 0.1
    mask: float = 0.2

    def __post_init__(self) -> None:
        for name in ("shift", "warp", "mask"):
            if not 0 <= getattr(self, name) < 1:
                raise ArgumentError(f"{name}={getattr(self, name)}", why="it is 0 up to 1")
        for name in ("scale", "noise"):
            if not 0 <= getattr(self, name) < 10:
                raise ArgumentError(f"{name}={getattr(self, name)}", why="it is 0 up to 10")

    def times(self, strength: float) -> SignalAugment:
        """Everything so many times as strong, within the ranges."""
        return SignalAugment(
            shift=min(self.shift * strength, 0.5),
            warp=min(self.warp * strength, 0.8),
            scale=min(self.scale * strength, 1.0),
            noise=min(self.noise * strength, 1.0),
            mask=min(self.mask * strength, 0.5),
        )


def vary_signals(
    signals: Float[Tensor, "n c l"], draws: NDArray[np.float64], augment: SignalAugment
) -> Float[Tensor, "n c l"]:
    """Signals shifted, warped in time, scaled and with noise added.

    Args:
        signals: Signals normalized to a deviation of about 1.
        draws: (n, len(DRAWS)) uniform in [0, 1).
        augment: How much of each variation there is.
    """
    number = {name: torch.from_numpy(draws[:, i]) for i, name in enumerate(DRAWS)}
    if augment.shift or augment.warp:
        signals = _moved(signals, number, augment)
    if augment.scale:
        factor = (augment.scale * _normal(number["scale"])).exp()
        signals = signals * factor.to(signals)[:, None, None]
    if augment.noise:
        amount = (augment.noise * number["noise"]).to(signals)[:, None, None]
        signals = signals + amount * _noise(draws[:, DRAWS.index("noise_key")], signals)
    return signals


def vary_spectrograms(
    maps: Float[Tensor, "n c bands frames"], draws: NDArray[np.float64], augment: SignalAugment
) -> Float[Tensor, "n c bands frames"]:
    """Spectrograms with a band of pitches and a stretch of time set to zero, the mean.

    Args:
        maps: Spectrograms normalized to a mean of 0.
        draws: (n, len(DRAWS)) uniform in [0, 1).
        augment: How much of it is covered.
    """
    number = {name: torch.from_numpy(draws[:, i]) for i, name in enumerate(DRAWS)}
    _, _, bands, frames = maps.shape
    keep_bands = _outside(bands, number["band"], augment.mask * number["band_width"])
    keep_time = _outside(frames, number["time"], augment.mask * number["time_width"])
    return maps * (keep_bands[:, None, :, None] & keep_time[:, None, None, :])


def _outside(size: int, start: Tensor, share: Tensor) -> Tensor:
    """(n, size) False within a stretch of that share of the whole."""
    width = (share * size).round()
    first = (start * (size - width + 1)).floor()
    places = torch.arange(size)
    return (places < first[:, None]) | (places >= (first + width)[:, None])


def _moved(signals: Tensor, number: dict[str, Tensor], augment: SignalAugment) -> Tensor:
    """Read each signal at other moments: time runs unevenly and begins elsewhere."""
    length = signals.shape[-1]
    time = torch.arange(length, dtype=torch.float64)[None]
    offset = augment.shift * (2 * number["shift"] - 1) * length
    waves = 1 + 2 * number["waves"][:, None]
    turn = 2 * math.pi * waves / length
    # The derivative of the warp stays below `warp`, so that time never runs backwards.
    amplitude = augment.warp * (2 * number["warp"][:, None] - 1) / turn
    start = 2 * math.pi * number["phase"][:, None]
    places = time - offset[:, None] + amplitude * torch.sin(turn * time + start)
    places = places.clamp(0, length - 1)
    low = places.floor().long().clamp(max=max(length - 2, 0))
    share = (places - low).to(signals)[:, None]
    low = low[:, None].expand(-1, signals.shape[1], -1)
    high = (low + 1).clamp(max=length - 1)
    return torch.lerp(signals.gather(2, low), signals.gather(2, high), share)


def _noise(keys: NDArray[np.float64], signals: Tensor) -> Tensor:
    """Normal noise of deviation 1, a pure function of one draw an item."""
    count = signals[0].numel()
    numbers = uniforms(keys.copy().view(np.uint64), count, seed=0, epoch=0)
    return _normal(torch.from_numpy(numbers)).to(signals).view_as(signals)


def _normal(uniform: Tensor) -> Tensor:
    """Uniform numbers in [0, 1) to normal ones."""
    inside = uniform.clamp(1e-9, 1 - 1e-9)
    return math.sqrt(2) * torch.erfinv(2 * inside - 1)
