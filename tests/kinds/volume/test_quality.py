"""Volumes that are blank, and such with a constant channel."""

import numpy as np

from striate.data.source import Reading
from striate.kinds.volume.quality import faults, measured


def test_blank_and_constant():
    rng = np.random.default_rng(0)
    volumes = [rng.normal(0, 1, (2, 8, 9, 10)).astype(np.float32) for _ in range(8)]
    volumes[2][:] = 1
    volumes[4][0] = 0
    rows = [measured(Reading(array=v, sha256=""), None) for v in volumes]
    traits = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    found = {f.code: np.flatnonzero(f.found).tolist() for f in faults(traits)}
    assert found == {"blank": [2], "constant-channel": [4]}
