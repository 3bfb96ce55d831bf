"""Types that several rooms share."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

Kind: TypeAlias = str
"""What an item of a data set is: "image", "signal", "volume", "graph"."""

SplitName: TypeAlias = Literal["train", "val", "test"]
"""The part of a data set an item belongs to."""

PathLike: TypeAlias = str | os.PathLike[str]
