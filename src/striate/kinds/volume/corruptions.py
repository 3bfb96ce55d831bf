"""Common corruptions of volumes; see `striate.kinds.corruption`."""

from __future__ import annotations

from typing import Final

from striate.kinds.corruption import CONTRAST, NOISE, Corruption, blur, gain

CORRUPTIONS: Final = (
    NOISE,
    Corruption(
        name="blur",
        means="deviation of a Gaussian blur, as a share of the shortest side",
        levels=(0.01, 0.02, 0.03, 0.045, 0.06),
        change=blur,
    ),
    Corruption(
        name="weaker",
        means="factor of every value above the lowest",
        levels=(0.8, 0.65, 0.5, 0.35, 0.2),
        change=gain,
    ),
    Corruption(
        name="stronger",
        means="factor of every value above the lowest; what exceeds the highest is cut off",
        levels=(1.2, 1.5, 2.0, 3.0, 5.0),
        change=gain,
    ),
    CONTRAST,
)
