"""What a model follows at the border, told by putting parts of pictures into others."""

import numpy as np
import pytest
import torch

from striate.explain.exchange import border_parts, followed_border, num_passes

SIDE = 32


def test_the_border_is_half_a_picture_and_each_part_is_compared_with_its_like():
    whole, *parts = border_parts(SIDE, 2 * SIDE)
    assert int(whole.places.sum()) == int(whole.middle.sum()) == SIDE * SIDE
    names = [part.name for part in parts]
    assert names[:2] == ["top left corner", "top right corner"] and len(set(names)) == 8
    for part in parts:
        assert part.places.sum() == part.middle.sum()
    left = next(part for part in parts if part.name == "left edge")
    assert left.places[:, :8].all() and not left.places[:, 8:].any()
    right = next(part for part in parts if part.name == "bottom right corner")
    assert right.places[24:, 48:].all() and right.places.sum() == 8 * 16
    assert right.middle[12:20, 24:40].all()


@pytest.fixture
def noise():
    """60 pictures of noise, the answer of every other of which is to be 1."""
    pictures = torch.randn(60, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return pictures, np.arange(60) % 2


def told(score, pictures):
    """What a model with one score follows, and how many pictures it was asked for."""
    asked = []

    def scores(some):
        asked.append(len(some))
        return np.stack([np.zeros(len(some)), score(some).numpy()], 1)

    seen = scores(pictures)
    assert 20 < seen.argmax(1).sum() < 40
    return followed_border(scores, pictures, seen), sum(asked[1:])


def mean_of(rows, columns):
    return lambda pictures: pictures[:, 0, rows, columns].mean((1, 2)) - 0.8


def planted(pictures, labels, rows, columns):
    pictures = pictures.clone()
    pictures[torch.from_numpy(labels == 1), :, rows, columns] += 2.0
    return pictures


@pytest.mark.parametrize(
    ("rows", "columns", "part"),
    [
        (slice(1, 6), slice(2, 7), "top left corner"),
        (slice(-5, None), slice(-6, None), "bottom right corner"),
        (slice(0, 3), slice(10, 22), "top edge"),
    ],
)
def test_a_mark_is_found_where_it_is(noise, rows, columns, part):
    found, asked = told(mean_of(rows, columns), planted(*noise, rows, columns))
    assert [one.part for one in found] == [part, part]
    assert {one.answer for one in found} == {0, 1}
    for one in found:
        assert (one.num_pairs, one.num_turned) == (30, 30)
        assert one.share > 0.99 and one.otherwise < 0.3
    assert asked <= num_passes(2)


def test_a_frame_is_found_where_no_part_of_it_decides(noise):
    frame = border_parts(SIDE, SIDE)[0].places

    def score(pictures):
        return pictures[:, 0, frame].mean(1) - 1.0

    pictures = noise[0].clone()
    pictures[1::2, 0] += 2.0 * frame
    found, _ = told(score, pictures)
    assert [one.part for one in found] == ["border", "border"]


def test_what_is_in_the_middle_or_everywhere_is_no_mark(noise):
    middle = (slice(10, 22), slice(10, 22))
    found, asked = told(mean_of(*middle), planted(*noise, *middle))
    assert (found, asked) == ([], 60)
    everywhere = (slice(None), slice(None))
    assert told(mean_of(*everywhere), planted(*noise, *everywhere))[0] == []


def test_an_answer_that_any_change_turns_is_no_mark():
    levels = torch.rand(60, generator=torch.Generator().manual_seed(1)) * 50
    pictures = levels[:, None, None, None].expand(60, 1, SIDE, SIDE).clone()
    pictures[1::2, :, :8, :8] += 5.0

    def seam(some):
        return ((some[:, 0, 4, 7] - some[:, 0, 4, 8]).abs() > 0.5).float() - 0.5

    # What has no seam gets one by any other picture's corner, so that is no sign of answer 1.
    found, _ = told(seam, pictures)
    assert 1 not in [one.answer for one in found]


def test_too_few_pictures_of_an_answer_tell_nothing(noise):
    pictures, _ = noise
    seen = np.eye(2)[(np.arange(60) < 13).astype(int)]
    assert followed_border(lambda some: np.eye(2)[[1] * len(some)], pictures, seen) == []
