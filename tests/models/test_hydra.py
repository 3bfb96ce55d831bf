"""Hydra against a brute-force oracle and aeon's, and as a network."""

import numpy as np
import pytest
import torch

from striate.errors import ArgumentError
from striate.models import create_model


def series(count: int, channels: int, length: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, length, generator=draw).cumsum(-1)


def build(channels: int, length: int, **options: int):
    return create_model(
        "hydra", rank=1, in_channels=channels, input_size=length, num_classes=3, **options
    ).eval()


def features_of(network, x: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return network.pool(network.forward_features(x)).numpy()


def oracle(x: np.ndarray, stem) -> np.ndarray:
    """Features of one item (c, l), one place after the other."""
    found = []
    for step, dilation in enumerate(stem.dilations):
        for part, given in enumerate((x, np.diff(x, axis=-1))):
            weights = stem.weights[step, part].double().numpy()
            channels = stem.channels[step, part].numpy()
            largest, smallest = np.zeros(weights.shape[:2]), np.zeros(weights.shape[:2])
            for g in range(len(weights)):
                seen = channels[g] @ given if len(x) > 1 else given[0]
                padded = np.pad(seen, 4 * dilation)
                for t in range(given.shape[1]):
                    out = weights[g] @ padded[t : t + 8 * dilation + 1 : dilation]
                    largest[g, out.argmax()] += out.max()
                    smallest[g, out.argmin()] += 1
            found += [largest.clip(0).ravel(), smallest.ravel()]
    return np.sqrt(np.concatenate(found))


@pytest.mark.parametrize(("channels", "length"), [(1, 40), (5, 21)])
def test_features_are_what_each_kernel_of_a_group_wins(channels: int, length: int) -> None:
    network, x = build(channels, length, num_groups=6, group_size=4), series(3, channels, length)
    network.fit_features(x, seed=1)
    expected = oracle(x[1].double().numpy(), network.stem)
    np.testing.assert_allclose(features_of(network, x[1:2])[0], expected, atol=1e-3)


@pytest.mark.slow  # aeon takes seconds to import
@pytest.mark.parametrize(("channels", "length"), [(1, 150), (6, 60), (30, 24)])
def test_features_equal_aeons_with_the_same_kernels(channels: int, length: int) -> None:
    reference = pytest.importorskip("aeon.transformations.collection.convolution_based")
    x = series(6, channels, length)
    theirs = reference.HydraTransformer(random_state=0)
    expected = theirs.fit_transform(x.numpy()).clamp(0).sqrt().numpy()
    drawn, network = theirs._hydra, build(channels, length)
    stem = network.stem
    stem.weights.copy_(drawn.W.view_as(stem.weights))
    if channels > 1:
        for step, chosen in enumerate(drawn.idx):
            stem.channels[step] = torch.nn.functional.one_hot(chosen, channels).sum(-2)
    got = features_of(network, x)
    close = np.abs(got - expected) <= 1e-4 * np.maximum(1, np.abs(expected))
    assert close.mean() > 0.999


def test_kernels_follow_from_the_seed_alone() -> None:
    first, again, other = (build(3, 40) for _ in range(3))
    first.fit_features(series(2, 3, 40), seed=7)
    again.fit_features(series(5, 3, 40), seed=7)
    other.fit_features(series(2, 3, 40), seed=8)
    assert torch.equal(first.stem.weights, again.stem.weights)
    assert torch.equal(first.stem.channels, again.stem.channels)
    assert not torch.equal(first.stem.weights, other.stem.weights)
    torch.testing.assert_close(
        first.stem.weights.sum(-1), torch.zeros(3, 2, 32, 8), atol=1e-6, rtol=0
    )


def test_flat_stretches_do_not_depend_on_rounding() -> None:
    x = series(8, 1, 120)
    x[:, :, 40:100] = torch.rand(8, 1, 1) + 0.1
    network, exact = build(1, 120), build(1, 120).double()
    network.fit_features(x, seed=0)
    exact.load_state_dict(network.state_dict())
    np.testing.assert_allclose(features_of(network, x), features_of(exact, x.double()), atol=1e-3)


def test_features_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = build(2, 50), series(7, 2, 50)
    network.fit_features(x, seed=0)
    whole = features_of(network, x)
    monkeypatch.setattr("striate.models.rocket.hydra.CHUNK", 1)
    np.testing.assert_allclose(features_of(network, x), whole, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"input_size": 9}, "needs 10 samples"), ({"num_groups": 3}, "must be even")],
)
def test_bad_options_are_named(options: dict[str, int], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        create_model("hydra", **options)
