import numpy as np
import pytest

from striate.fitting.symmetry import tolerated_symmetry
from striate.metrics.calibration import negative_log_likelihood


def logits_with(sure):
    """Logits of 40 items of two classes, right with this certainty; and their labels."""
    labels = np.arange(40) % 2
    return (np.eye(2, dtype=np.float32)[labels] * sure).astype(np.float32), labels


def choose(logits, labels):
    """The choice from logits; a constant answer of two equal classes has a log loss of log 2."""
    losses = {name: negative_log_likelihood(values, labels) for name, values in logits.items()}
    return tolerated_symmetry(losses, np.log(2))


@pytest.mark.parametrize(
    ("sure", "symmetry"),
    [
        ((5, 5, 5), "dihedral"),
        ((5, 5, -5), "flips"),
        ((5, -5, 5), "mirror"),
        ((-5, 5, 5), "identity"),
        ((0, 0, 0), "identity"),
    ],
)
def test_symmetry_is_the_largest_that_keeps_what_the_probe_knows(sure, symmetry):
    plain, labels = logits_with(5)
    names = ("mirror", "upside down", "transposed")
    logits = {name: logits_with(s)[0] for name, s in zip(names, sure, strict=True)}
    choice = choose({"identity": plain, **logits}, labels)
    assert choice.choice == symmetry
    assert "% mirrored" in choice.why


def test_symmetry_tolerates_a_small_loss_only():
    # Of log 2 = 0.693, a logit of 5 leaves 0.0067 and one of 1.9 leaves 0.139: 19 % are lost;
    # one of 1.4 leaves 0.220: 31 %.
    plain, labels = logits_with(5)
    for sure, symmetry in ((1.9, "dihedral"), (1.4, "identity")):
        turned = logits_with(sure)[0]
        logits = {"identity": plain, "mirror": turned, "upside down": turned, "transposed": turned}
        assert choose(logits, labels).choice == symmetry
