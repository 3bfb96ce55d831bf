"""Real series that the package aeon ships, with the archives' own splits into train and test.

The package's licence is BSD-3-Clause; the archives ask to be cited (Dau et al., The UCR Time Series
Archive, 2018, arXiv:1810.07758; Bagnall et al., 2018, arXiv:1811.00075; Tan et al., Time Series
Extrinsic Regression, 2020, arXiv:2006.10996). aeon is not imported: its folder of data is read where it lies.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Final

from striate.data.layouts.ts import open_ts
from striate.data.samples.sample import SAMPLES, Sample
from striate.data.source import Source
from striate.errors import MissingExtraError

EXTRA: Final = "samples"

SETS: Final = {
    "arrow-head": (
        "ArrowHead/ArrowHead",
        211,
        "outlines of projectile points as series of 251 samples: 3 types; UCR archive",
    ),
    "gun-point": (
        "GunPoint/GunPoint",
        200,
        "the track of a hand that draws a gun or points, 150 samples: 2 classes; UCR archive",
    ),
    "italy-power": (
        "ItalyPowerDemand/ItalyPowerDemand",
        1096,
        "a day's demand for power, 24 samples: October to March or April to September; UCR archive",
    ),
    "osu-leaf": (
        "OSULeaf/OSULeaf",
        442,
        "outlines of leaves as series of 427 samples: 6 species; UCR archive",
    ),
    "appliances": (
        "ACSF1/ACSF1",
        200,
        "power drawn by appliances, 1460 samples: 10 kinds; UCR archive (ACSF1)",
    ),
    "basic-motions": (
        "BasicMotions/BasicMotions",
        80,
        "accelerometer and gyroscope of a watch, 6 channels, 100 samples: 4 motions; UEA archive",
    ),
    "japanese-vowels": (
        "JapaneseVowels/JapaneseVowels",
        640,
        "12 cepstrum coefficients of two vowels, 7 to 29 samples: 9 speakers; UEA archive",
    ),
    "pickup-gesture": (
        "PickupGestureWiimoteZ/PickupGestureWiimoteZ",
        100,
        "acceleration of a game controller, 29 to 361 samples: 10 gestures; UCR archive",
    ),
    "covid": (
        "Covid3Month/Covid3Month",
        201,
        "84 days of cases in a country, to predict the death rate (regression); "
        "TSER archive (Covid3Month)",
    ),
}
"""By name: the files' beginning below aeon's data, the number of items, what they are."""


def aeon_folder() -> Path:
    """Where aeon keeps its data.

    Raises:
        MissingExtraError: it is not installed.
    """
    package = importlib.util.find_spec("aeon")
    if package is None or package.origin is None:
        raise MissingExtraError("aeon", EXTRA)
    return Path(package.origin).parent / "datasets" / "data"


def _open(name: str, start: str) -> Source:
    source = open_ts(aeon_folder() / f"{start}_TRAIN.ts")
    source.name = f"sample:{name}"
    return source


for _name, (_start, _count, _description) in SETS.items():
    SAMPLES.add(
        _name,
        Sample(
            kind="signal",
            num_items=_count,
            licence="BSD-3-Clause",
            description=_description,
            open=partial(_open, _name, _start),
        ),
    )
