import numpy as np
import pytest


def make_sample(seed, num_items, num_classes, decimals=None, signal=1.0):
    """Probabilities and labels; few decimals make ties."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate(
        [np.arange(num_classes), rng.integers(num_classes, size=num_items - num_classes)]
    )
    logits = rng.normal(size=(num_items, num_classes))
    logits[np.arange(num_items), labels] += signal
    if decimals is not None:
        logits = logits.round(decimals)
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(1, keepdims=True), labels


@pytest.fixture(scope="session")
def sample():
    return make_sample
