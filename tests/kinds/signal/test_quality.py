"""Series made to have one fault each, among series without any."""

import numpy as np

from striate.data.source import Reading
from striate.kinds.signal.quality import faults, measured


def found_in(series):
    rows = [measured(Reading(array=s, sha256=""), None) for s in series]
    traits = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {f.code: np.flatnonzero(f.found).tolist() for f in faults(traits) if f.found.any()}


def test_silent_clipped_and_constant():
    rng = np.random.default_rng(0)
    series = [rng.normal(0, 1, (2, 400)).astype(np.float32) for _ in range(12)]
    assert found_in(series) == {}
    series[3][:] = 0
    series[5] = series[5].clip(-0.5, 0.5)
    series[7][1] = 2.5
    assert found_in(series) == {"silent": [3], "clipped": [5], "constant-channel": [7]}


def test_counts_are_not_taken_for_clipped():
    rng = np.random.default_rng(0)
    assert found_in([rng.integers(0, 4, (1, 400)).astype(np.float32) for _ in range(12)]) == {}
