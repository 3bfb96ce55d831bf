"""LeNet-5 against the paper's own counts, and its parts against plain torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from striate.models import create_model
from striate.models.lenet import CONNECTIONS, ConnectedConv, ScaledTanh, Subsample
from striate.nn.ranks import layers


def test_parameters_are_those_of_the_paper() -> None:
    network = create_model("lenet5_original", in_channels=1, num_classes=10)
    counts = [sum(p.numel() for p in part.parameters()) for part in (
        network.stem,
        network.stages[0][0].pool,
        network.stages[0][0].conv,
        network.final,
        network.pool.layer1,
        network.pool.layer2,
    )]  # fmt: skip
    assert counts == [156, 12, 1516, 32, 48_120, 10_164]
    assert sum(counts) == 60_000


def test_maps_have_the_sizes_of_the_paper() -> None:
    network = create_model("lenet5_original", in_channels=1)
    shapes, maps = [], torch.zeros(1, 1, 32, 32)
    for part in (network.stem, *network.stages[0][0], network.final.pool):
        maps = part(maps)
        shapes.append(tuple(maps.shape[1:]))
    sizes = [(6, 28), (6, 14), (6, 14), (16, 10), (16, 10), (16, 5)]
    assert shapes == [(channels, side, side) for channels, side in sizes]


def test_connections_are_the_table_of_the_paper() -> None:
    # Rows of table I: which of the sixteen maps see each of the six.
    rows = [
        (0, 4, 5, 6, 9, 10, 11, 12, 14, 15),
        (0, 1, 5, 6, 7, 10, 11, 12, 13, 15),
        (0, 1, 2, 6, 7, 8, 11, 13, 14, 15),
        (1, 2, 3, 6, 7, 8, 9, 12, 14, 15),
        (2, 3, 4, 7, 8, 9, 10, 12, 13, 15),
        (3, 4, 5, 8, 9, 10, 11, 13, 14, 15),
    ]
    for row, expected in enumerate(rows):
        assert tuple(o for o, inputs in enumerate(CONNECTIONS) if row in inputs) == expected


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_connected_convolution_equals_a_masked_one(rank: int) -> None:
    torch.manual_seed(rank)
    sparse = ConnectedConv(rank, CONNECTIONS)
    dense = layers(rank).conv(6, 16, 5)
    outputs = [(conv, o) for conv in sparse.convs for o in range(len(conv.weight))]
    with torch.no_grad():
        dense.weight.zero_()
        for output, (conv, o) in enumerate(outputs):
            dense.bias[output] = conv.bias[o]
            for slot, channel in enumerate(CONNECTIONS[output]):
                dense.weight[output, channel] = conv.weight[o, slot]
        x = torch.randn(2, 6, *[7] * rank)
        assert torch.allclose(sparse(x), dense(x), atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_subsampling_is_a_convolution_with_equal_weights(rank: int) -> None:
    torch.manual_seed(rank)
    subsample = Subsample(rank, 3)
    conv = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    weight = subsample.weight.view(3, *[1] * (rank + 1)).expand(3, 1, *[2] * rank)
    x = torch.randn(2, 3, *[6] * rank)
    expected = conv(x, weight, subsample.bias, stride=2, groups=3)
    assert torch.allclose(subsample(x), expected, atol=1e-6)


def test_the_squashing_maps_one_to_one() -> None:
    ones = ScaledTanh()(torch.tensor([[-1.0, 0.0, 1.0]]))
    assert torch.allclose(ones, torch.tensor([[-1.0, 0.0, 1.0]]), atol=1e-4)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_original"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 28, 32, 50])
def test_every_size_from_sixteen_works(name: str, channels: int, side: int) -> None:
    network = create_model(name, in_channels=channels, num_classes=10)
    assert network(torch.zeros(2, channels, side, side)).shape == (2, 10)
    with pytest.raises(ValueError, match="minimum along each axis is 16"):
        network(torch.zeros(2, channels, 15, side))
