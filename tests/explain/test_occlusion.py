"""Occlusion: the places of the patch, and a linear network whose falls are known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from striate.explain import EXPLANATIONS, explain
from striate.explain.occlusion import NUM_WINDOWS, windows


@given(st.lists(st.integers(1, 60), min_size=1, max_size=3))
def test_every_place_is_covered_and_there_are_about_as_many_as_asked(space):
    places = windows(tuple(space))
    assert 1 <= len(places) <= NUM_WINDOWS
    for axis, size in enumerate(space):
        covered = {k for place in places for k in range(place[axis].start, place[axis].stop)}
        assert covered == set(range(size))


def test_a_large_image_gets_two_hundred_patches_of_a_seventh():
    places = windows((224, 224))
    assert len(places) == 196
    assert {place[0].stop - place[0].start for place in places} == {30}


class Sum(nn.Module):
    """The weighted sum of all samples."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward_features(self, x):
        return x

    def forward_head(self, features):
        return (features[:, 0] * self.weights).flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("space", [(40,), (9, 14), (5, 6, 7)])
def test_equals_the_mean_fall_by_brute_force(space):
    torch.manual_seed(0)
    weights, item = torch.randn(space), torch.randn(space)
    falls = torch.zeros(space)
    for place in torch.cartesian_prod(*[torch.arange(n) for n in space]).view(-1, len(space)):
        inside = [p for p in windows(space) if all(s.start <= k < s.stop for s, k in zip(p, place, strict=True))]  # fmt: skip
        falls[tuple(place)] = sum((weights[p] * item[p]).sum() for p in inside) / len(inside)
    occlusion = EXPLANATIONS.get("occlusion").grid
    found = occlusion(Sum(weights), item[None, None], torch.tensor([0]))[0]
    torch.testing.assert_close(found, falls.relu(), atol=1e-4, rtol=1e-4)


def test_a_patch_that_holds_everything_is_found():
    weights = torch.zeros(64, 64)
    weights[40:48, 8:16] = 1
    heat = explain(Sum(weights), torch.ones(1, 1, 64, 64), method="occlusion").heat[0]
    assert heat.argmax() in (weights > 0).flatten().nonzero()
