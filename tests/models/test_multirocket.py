"""MultiRocket against a brute-force oracle and aeon's, and as a network."""

from itertools import combinations

import numpy as np
import pytest
import torch

from striate.errors import ArgumentError
from striate.models import create_model
from striate.models.rocket.minirocket import dilations
from striate.models.rocket.multirocket import longest_stretch, statistics


def series(count: int, channels: int, length: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, length, generator=draw).cumsum(-1)


def build(channels: int, length: int, features: int = 168):
    return create_model(
        "multirocket",
        rank=1,
        in_channels=channels,
        input_size=length,
        num_classes=3,
        num_kernel_features=features,
    ).eval()


def features_of(network, x: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return network.pool(network.forward_features(x)).numpy()


def by_statistic(features: np.ndarray, network) -> np.ndarray:
    """(n, 2 parts, 4 statistics) lists of biases, as float64."""
    sizes = [len(part.biases) for part in network.stem.parts]
    assert features.shape[1] == 4 * sum(sizes)
    parts = np.split(features.astype(float), [4 * sizes[0]], 1)
    return [part.reshape(len(part), 4, size) for part, size in zip(parts, sizes, strict=True)]


def one(outputs: np.ndarray, bias: float) -> tuple[float, float, float, float]:
    """The statistics of one row, as the authors' program takes them, place after place."""
    where = [t for t, value in enumerate(outputs) if value > bias]
    last, longest = 0, 0
    for t, value in enumerate(outputs):
        if value <= bias:
            longest, last = max(longest, t - last), t
    longest = max(longest, len(outputs) - 1 - last)
    if not where:
        return 0.0, longest, 0.0, -1.0
    excess = float(np.mean([outputs[t] - bias for t in where]))
    return len(where) / len(outputs), longest, excess, float(np.mean(where))


def oracle(x: np.ndarray, part) -> np.ndarray:
    """(4, biases) of one item (c, l)."""
    length, found, start = x.shape[1], [], 0
    for step, (dilation, count) in enumerate(part.plan):
        for k, triple in enumerate(combinations(range(9), 3)):
            weights = np.full(9, -1.0)
            weights[list(triple)] = 2
            seen = x[part.channels[step, k].numpy() > 0].sum(0)
            padded = np.pad(seen, 4 * dilation)
            out = sum(w * padded[j * dilation :][:length] for j, w in enumerate(weights))
            if (step + k) % 2:
                out = out[4 * dilation : -4 * dilation]
            found += [one(out, float(part.biases[start + q])) for q in range(count)]
            start += count
    return np.array(found).T


@pytest.mark.parametrize(("channels", "length"), [(1, 40), (4, 27)])
def test_features_are_statistics_of_places_above_a_bias(channels: int, length: int) -> None:
    network = build(channels, length)
    x = series(3, channels, length)
    network.fit_features(x, seed=1)
    got = by_statistic(features_of(network, x[1:2]), network)
    item = x[1].double().numpy()
    for part, values, given in zip(
        network.stem.parts, got, (item, np.diff(item, axis=-1)), strict=True
    ):
        expected = oracle(given, part)
        # An output that equals a bias is above it or not as rounding will have it.
        off = np.abs(values[0] - expected)
        assert (off > 1e-4).mean() < 0.01


def test_statistics_of_rows_by_hand() -> None:
    rows = torch.tensor([[-1.0, 2, 4, -1, 1], [-1, -1, -1, -1, -1], [1, 1, 1, 1, 1]])
    share, stretch, excess, position = statistics(rows[None, None])
    assert share[0, 0].tolist() == pytest.approx([3 / 5, 0, 1])
    assert stretch[0, 0].tolist() == [3, 1, 4]
    assert excess[0, 0].tolist() == pytest.approx([7 / 3, 0, 1])
    assert position[0, 0].tolist() == pytest.approx([7 / 3, -1, 2])


@pytest.mark.parametrize("length", [1, 2, 33, 40_000])
def test_longest_stretch_of_long_and_short_rows(length: int) -> None:
    above = (torch.rand(3, length, generator=torch.Generator().manual_seed(0)) > 0.2).float()
    expected = [one(row.numpy(), 0.5)[1] for row in above]
    assert longest_stretch(above).tolist() == expected


def aeons(x: np.ndarray, features: int, network):
    """aeon's features of the series alone, whose biases the network is given; (n, 4, biases)."""
    reference = pytest.importorskip("aeon.transformations.collection.convolution_based")
    theirs = reference.MultiRocket(n_kernels=features, random_state=0)
    found = theirs.fit_transform(x)
    part = network.stem.parts[0]
    steps, counts, biases = theirs.parameter[-3:]
    assert part.plan == tuple(zip(steps.tolist(), counts.tolist(), strict=True))
    part.biases.copy_(torch.from_numpy(biases))
    if len(theirs.parameter) > 3:
        per_kernel, indices = theirs.parameter[:2]
        seen = torch.zeros_like(part.channels).view(-1, x.shape[1])
        for row, chosen in zip(seen, np.split(indices, np.cumsum(per_kernel)[:-1]), strict=True):
            row[torch.from_numpy(chosen.astype(int))] = 1
        part.channels.copy_(seen.view_as(part.channels))
    return found[:, : 4 * len(biases)].reshape(len(x), 4, -1)


@pytest.mark.slow  # numba compiles for minutes
@pytest.mark.parametrize("differences", [False, True])
@pytest.mark.parametrize(("channels", "length"), [(1, 150), (5, 60)])
def test_features_equal_aeons_with_the_same_biases(
    channels: int, length: int, differences: bool
) -> None:
    """Of the series and of its differences.

    aeon 1.6 computes those of the differences with half of each kernel's taps one place off, so
    they are compared with aeon's features of a series that is differences. It adds the bias to the
    mean of what is above it, from which the paper and this network subtract it.
    """
    x = series(6, channels, length)
    given = x.diff(dim=-1) if differences else x
    network = build(channels, given.shape[-1], 336)
    expected = aeons(given.numpy(), 336, network)
    part = network.stem.parts[0]
    with torch.inference_mode():
        got = part(given).view(len(x), 4, -1).numpy()
    biases = part.biases.numpy()
    expected[:, 2] -= np.where(expected[:, 0] > 0, 2 * biases, 0)
    off = np.abs(got - expected) / np.maximum(1, np.abs(expected))
    # Where an output equals a bias, as it does for the item that gave it, rounding decides.
    assert (off > 1e-4).mean() < 0.02


def test_features_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = build(2, 50), series(7, 2, 50)
    network.fit_features(x, seed=0)
    whole = features_of(network, x)
    monkeypatch.setattr("striate.models.rocket.multirocket.CHUNK", 1)
    np.testing.assert_allclose(features_of(network, x), whole)


def test_flat_stretches_do_not_depend_on_rounding() -> None:
    x = series(12, 1, 120)
    x[:, :, 40:100] = torch.rand(12, 1, 1) + 0.1
    network = build(1, 120, 840)
    network.fit_features(x, seed=0)
    exact = build(1, 120, 840).double()
    exact.load_state_dict(network.state_dict())
    off = np.abs(features_of(network, x) - features_of(exact, x.double()))
    assert (off > 1e-3).mean() < 1e-4


@pytest.mark.parametrize("length", [10, 24, 150, 427])
def test_every_length_has_its_plan(length: int) -> None:
    network = build(1, length, 6250)
    assert network.num_features == 2 * 4 * 6216
    assert network.stem.parts[1].plan == dilations(length - 1, 6250)
    assert network.min_size <= length


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"input_size": 9}, "needs 10 samples"),
        ({"num_kernel_features": 10}, "84 at least"),
    ],
)
def test_bad_options_are_named(options: dict[str, int], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        create_model("multirocket", **options)
