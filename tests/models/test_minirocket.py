"""MiniRocket against a brute-force oracle and aeon's, and as a network."""

import copy
from dataclasses import asdict
from itertools import combinations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from striate.errors import ArgumentError
from striate.models import create_model
from striate.models.rocket.minirocket import dilations


def series(count: int, channels: int, length: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, length, generator=draw).cumsum(-1)


def build(channels: int, length: int, features: int = 504, classes: int = 3):
    return create_model(
        "minirocket",
        rank=1,
        in_channels=channels,
        input_size=length,
        num_classes=classes,
        num_kernel_features=features,
    ).eval()


def oracle(x: np.ndarray, plan, biases, channels) -> np.ndarray:
    """Features of one item (c, l), one place, kernel and bias after the other."""
    length, found, start = x.shape[1], [], 0
    for step, (dilation, count) in enumerate(plan):
        for k, triple in enumerate(combinations(range(9), 3)):
            weights = np.full(9, -1.0)
            weights[list(triple)] = 2
            out = np.zeros(length)
            for t in range(length):
                for j in range(9):
                    at = t + (j - 4) * dilation
                    if 0 <= at < length:
                        out[t] += weights[j] * x[channels[step, k] > 0, at].sum()
            if (step + k) % 2:
                out = out[4 * dilation : -4 * dilation]
            found += [(out > biases[start + q]).mean() for q in range(count)]
            start += count
    return np.array(found)


@pytest.mark.parametrize("channels", [1, 4])
def test_features_are_shares_of_places_above_a_bias(channels: int) -> None:
    network = build(channels, 30, 168)
    x = series(3, channels, 30)
    network.fit_features(x, seed=1)
    stem = network.stem
    expected = oracle(
        x[0].numpy().astype(float), stem.plan, stem.biases.numpy(), stem.channels.numpy()
    )
    got = network.pool(network.forward_features(x[:1]))[0]
    # A tie that rounding decides otherwise moves a share by one place.
    off = np.abs(got.numpy() - expected)
    assert off.max() <= 1 / 20 and (off > 1e-6).mean() < 0.02


@pytest.mark.slow  # numba compiles for a minute
@pytest.mark.parametrize(("channels", "length"), [(1, 24), (1, 150), (5, 60)])
def test_features_equal_aeons_with_the_same_biases(channels: int, length: int) -> None:
    reference = pytest.importorskip("aeon.transformations.collection.convolution_based")
    x = series(6, channels, length).numpy()
    theirs = reference.MiniRocket(n_kernels=9996, random_state=0)
    expected = theirs.fit_transform(x)
    per_kernel, indices, steps, counts, biases = theirs.parameters
    network = build(channels, length, 9996)
    assert network.stem.plan == tuple(zip(steps.tolist(), counts.tolist(), strict=True))
    seen = torch.zeros_like(network.stem.channels).view(-1, channels)
    for row, chosen in zip(seen, np.split(indices, np.cumsum(per_kernel)[:-1]), strict=True):
        row[torch.from_numpy(chosen.astype(int))] = 1
    network.stem.channels.copy_(seen.view_as(network.stem.channels))
    network.stem.biases.copy_(torch.from_numpy(biases))
    got = network.pool(network.forward_features(torch.from_numpy(x))).numpy()
    off = np.abs(got - expected)
    # Where an output equals a bias, as it does for the item that gave it, rounding decides.
    assert off.max() <= 2.01 / (length - 8 * steps.max()) and (off > 1e-6).mean() < 0.05


@pytest.mark.parametrize("length", [9, 24, 150, 427, 1460])
def test_as_many_features_as_asked_for(length: int) -> None:
    plan = dilations(length, 9996)
    assert 84 * sum(count for _, count in plan) == 9996
    assert all(8 * dilation < length for dilation, _ in plan)


def test_biases_follow_from_the_seed_alone() -> None:
    x = series(5, 3, 40)
    first, again, other = (build(3, 40) for _ in range(3))
    first.fit_features(x, seed=7)
    again.fit_features(x, seed=7)
    other.fit_features(x, seed=8)
    assert torch.equal(first.stem.biases, again.stem.biases)
    assert torch.equal(first.stem.channels, again.stem.channels)
    assert not torch.equal(first.stem.biases, other.stem.biases)


def test_features_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = build(1, 50), series(7, 1, 50)
    network.fit_features(x, seed=0)
    whole = network(x)
    monkeypatch.setattr("striate.models.rocket.minirocket.CHUNK", 1)
    torch.testing.assert_close(network(x), whole)


def test_saved_weights_give_equal_outputs(tmp_path) -> None:
    network, x = build(2, 40), series(4, 2, 40)
    network.fit_features(x, seed=0)
    save_file(network.state_dict(), tmp_path / "m.safetensors")
    again = create_model(
        "minirocket", weights=tmp_path / "m.safetensors", **asdict(network.config)
    ).eval()
    assert torch.equal(network(x), again(x))
    assert [name for name, _ in network.named_parameters()] == [
        "head.linear.weight",
        "head.linear.bias",
    ]


def test_activation_map_sums_to_the_logit() -> None:
    network, x = build(2, 60), series(3, 2, 60)
    network.fit_features(x, seed=0)
    targets = torch.tensor([0, 2, 1])
    with torch.inference_mode():
        heat = network.activation_map(x, targets)
        logits = network(x)[range(3), targets] - network.classifier.bias[targets]
    torch.testing.assert_close(heat.sum(1), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rank": 2}, "the network has rank 1"),
        ({"rank": 1, "input_size": 5}, "needs 9 samples"),
        ({"rank": 1, "num_kernel_features": 10}, "84 at least"),
    ],
)
def test_bad_options_are_named(options: dict[str, int], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        create_model("minirocket", **options)


def test_flat_stretches_do_not_depend_on_rounding() -> None:
    """There a kernel's output is its bias but for rounding, which differs between machines."""
    torch.manual_seed(0)
    series = torch.randn(20, 1, 120)
    series[:, :, 40:100] = torch.rand(20, 1, 1) + 0.1
    options = {"input_size": 120, "num_kernel_features": 1000}
    network = create_model("minirocket", rank=1, in_channels=1, num_classes=2, **options).eval()
    network.fit_features(series, seed=0)
    exact = copy.deepcopy(network).double()
    with torch.no_grad():
        features, expected = network.stem(series), exact.stem(series.double())
    assert (features - expected).abs().max() < 1e-5
