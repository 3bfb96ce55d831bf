import numpy as np
import pytest
import torch
from scipy import ndimage

from striate import ops


@pytest.mark.parametrize("name", ops.NAMED_KERNELS)
def test_named_kernels_equal_scipys_correlation(name):
    pixels = torch.randint(0, 256, (3, 12, 17), generator=torch.Generator().manual_seed(0))
    kernel = torch.tensor(ops.NAMED_KERNELS[name])
    ours = ops.filter_picture(pixels.to(torch.uint8), kernel, padding="same")
    theirs = [
        ndimage.correlate(plane.astype(float), kernel.double().numpy(), mode="constant")
        for plane in pixels.numpy()
    ]
    np.testing.assert_array_equal(ours.numpy(), np.clip(np.round(theirs), 0, 255))
    assert kernel.sum() == pytest.approx(0 if name == "edge" else 1)


def test_pooling_follows_the_convolution():
    pixels = torch.tensor([[[1, 2, 3, 4], [5, 6, 7, 8]]], dtype=torch.uint8)
    one = torch.tensor([[1.0]])
    assert ops.filter_picture(pixels, one, pool="max2").tolist() == [[[6, 8]]]
    assert ops.filter_picture(pixels, one, stride=2).tolist() == [[[1, 3]]]
