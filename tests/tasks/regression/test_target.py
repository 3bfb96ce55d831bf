"""The numbers to predict, before anything is learnt."""

import numpy as np
import pytest

from striate.data.source import Item
from striate.tasks.regression.target import NumberTarget


@pytest.mark.parametrize(
    ("far", "expected"), [([], []), ([1e9], ["40"]), ([-999.0, 2000.0], ["41", "40"])]
)
def test_numbers_far_from_the_others_are_told(far: list[float], expected: list[str]) -> None:
    values = [*np.linspace(0, 1, 40), *far]
    items = [Item(id=str(place), target=float(value)) for place, value in enumerate(values)]
    notes = NumberTarget.of(items).split_notes(items, np.array(["train"] * len(items)))
    assert [list(note.ids) for note in notes] == ([expected] if expected else [])
    if expected:
        assert f"{expected[0]} ({max(far):g})" in notes[0].message and notes[0].advice


def test_numbers_of_which_most_are_alike_are_not_far() -> None:
    assert not NumberTarget.of([]).split_notes([], np.array([], str))
    items = [Item(id=str(place), target=float(place > 30)) for place in range(40)]
    assert not NumberTarget.of(items).split_notes(items, np.array(["train"] * 40))
