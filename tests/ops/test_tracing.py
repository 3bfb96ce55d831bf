import pytest
import torch
from torch.nn import functional as F

from striate import ops
from striate.errors import ArgumentError

IMAGE = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 0, 1, 2]])


def test_the_example_of_the_documentation():
    traced = ops.trace(IMAGE, torch.eye(2, dtype=torch.int64))
    assert traced.feature_map.tolist() == [[7, 9, 11], [5, 7, 9]]
    first = next(traced.steps())
    assert first.window.tolist() == [[1, 2], [5, 6]]
    assert first.products.tolist() == [[1, 0], [0, 6]]
    assert (first.position, first.origin, first.total) == ((0, 0), (0, 0), 7)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_steps_add_up_to_torchs_convolution(rank):
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(*[8] * rank, generator=generator, dtype=torch.double)
    kernel = torch.randn(*[3] * rank, generator=generator, dtype=torch.double)
    traced = ops.trace(image, kernel, stride=2, padding=2, dilation=2, pool="max2")
    conv, pool = getattr(F, f"conv{rank}d"), getattr(F, f"max_pool{rank}d")
    expected = conv(image[None, None], kernel[None, None], stride=2, padding=2, dilation=2)
    torch.testing.assert_close(traced.feature_map, expected[0, 0])
    torch.testing.assert_close(traced.pooled, pool(expected, 2)[0, 0])
    sums = torch.tensor([step.products.sum() for step in traced.steps()], dtype=torch.double)
    torch.testing.assert_close(sums, expected.flatten())
    assert next(traced.steps()).origin == (-2,) * rank
    assert [s.value for s in traced.pool_steps()] == traced.pooled.flatten().tolist()


def test_average_pooling_of_whole_numbers_is_not_rounded():
    traced = ops.trace(IMAGE, torch.tensor([[1]]), pool="avg2")
    assert traced.pooled.tolist() == [[3.5, 5.5]]
    assert next(traced.pool_steps()).window.tolist() == [[1, 2], [5, 6]]


def test_bad_arguments_are_named():
    with pytest.raises(ArgumentError, match="kernel of 1 axes for an image of 2"):
        ops.trace(IMAGE, torch.ones(2))
    with pytest.raises(ArgumentError, match="as in max2"):
        ops.trace(IMAGE, torch.ones(2, 2), pool="max")
    with pytest.raises(ArgumentError, match="the least size is 5"):
        ops.trace(IMAGE, torch.ones(5, 5))
    with pytest.raises(ArgumentError, match="the least size is 4"):
        ops.trace(IMAGE, torch.ones(1, 1), pool="max4")
