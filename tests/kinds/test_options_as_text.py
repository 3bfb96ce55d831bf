"""Options of a kind as the command line hands them over: as text."""

import numpy as np
import pytest

from striate.data.source import Reading
from striate.errors import ArgumentError
from striate.kinds.graph.inputs import GraphInputs
from striate.kinds.image.inputs import ImageInputs
from striate.kinds.signal.inputs import SignalInputs

WAVES = [
    Reading(array=np.ones((1, rate // 8), np.float32), sha256=str(rate), spacing=(1 / rate,))
    for rate in (8000, 16000)
]
GRAPH = Reading(array=np.ones((2, 3), np.float32), sha256="0", edges=np.zeros((2, 1), np.int64))


def test_numbers_may_be_text():
    given = {"sample_rate": "8000", "length": "900", "bands": "32", "augment": "0.5"}
    inputs = SignalInputs.fitted(WAVES, given)
    assert (inputs.rate, inputs.length, inputs.bands, inputs.strength) == (8000, 900, 32, 0.5)
    assert inputs == SignalInputs.fitted(WAVES, {n: float(v) for n, v in given.items()})
    assert "8000 samples a second" in inputs.details()["rate"]
    assert GraphInputs.fitted([GRAPH], {"drop_edges": "0.1"}).drop_edges == 0.1
    photo = Reading(array=np.zeros((3, 40, 40), np.uint8), sha256="1")
    assert ImageInputs.fitted([photo], {"size": "32"}).size == 32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate", "8 kHz"),
        ("sample_rate", "0"),
        ("sample_rate", "nan"),
        ("length", "1.5"),
        ("length", "0"),
        ("bands", ""),
        ("augment", "-1"),
        ("augment", "none"),
    ],
)
def test_what_is_no_such_number_is_one_line(name, value):
    with pytest.raises(ArgumentError, match=f"{name}='{value}': it is"):
        SignalInputs.fitted(WAVES, {"sample_rate": 8000, name: value})
    with pytest.raises(ArgumentError, match="it is a number"):
        GraphInputs.fitted([GRAPH], {"drop_edges": "few"})
