import numpy as np
import pytest

from striate.fitting.symmetry import Mirrored, mirror_or_identity, standard_error

CLASSES = ("a", "b")


def judged(plain, mirrored, count=40, noise=0.01, **more):
    """Losses of items of two classes: those of each class as they are, and mirrored."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    return Mirrored(
        losses=np.asarray(plain)[labels] + noise * rng.normal(size=count),
        mirrored=np.asarray(mirrored)[labels] + noise * rng.normal(size=count),
        null_loss=np.log(2),
        membership=labels[:, None] == np.arange(2),
        classes=CLASSES,
        **more,
    )


@pytest.mark.parametrize(
    ("plain", "mirrored", "choice", "why"),
    [
        ((0.1, 0.1), (0.1, 0.1), "mirror", "lose"),
        # Of log 2 = 0.693 the probe has learnt 0.593: 0.1 more is 17 % of it, 0.2 more is 34 %.
        ((0.1, 0.1), (0.2, 0.2), "mirror", "of what the probe has learnt"),
        ((0.1, 0.1), (0.3, 0.3), "identity", "34% of what the probe has learnt"),
        ((0.1, 0.1), (2.0, 2.0), "identity", "of what the probe has learnt"),
        ((0.7, 0.7), (0.7, 0.7), "identity", "learnt too little"),
        # The mean is within what is tolerated, class b is not.
        ((0.1, 0.1), (0.0, 0.34), "identity", "items of 'b'"),
    ],
)
def test_items_are_mirrored_where_the_probe_loses_little(plain, mirrored, choice, why):
    found = mirror_or_identity(judged(plain, mirrored))
    assert (found.choice, found.topic) == (choice, "symmetry")
    assert why in found.why and found.why.endswith("say otherwise with --symmetry")


def test_what_may_be_chance_is_not_chosen():
    assert mirror_or_identity(judged((0.1, 0.1), (0.2, 0.2), noise=0.01)).choice == "mirror"
    assert mirror_or_identity(judged((0.1, 0.1), (0.2, 0.2), noise=0.4)).choice == "identity"
    assert mirror_or_identity(judged((0.1, 0.1), (0.1, 0.1), count=1)).choice == "identity"


def test_classes_that_are_not_told_apart_may_be_mirror_images():
    alike = judged((0.1, 0.1), (0.1, 0.1), not_told_apart="'b' and 'd'")
    found = mirror_or_identity(alike)
    assert found.choice == "identity" and "does not tell 'b' and 'd' apart" in found.why


def test_numbers_have_no_classes():
    rng = np.random.default_rng(0)
    losses = 0.1 + 0.02 * rng.normal(size=30)
    plain = Mirrored(
        losses=losses,
        mirrored=losses,
        null_loss=1.0,
        membership=np.zeros((30, 0), bool),
        classes=(),
    )
    assert mirror_or_identity(plain).choice == "mirror"


def test_standard_error_is_scipys():
    from scipy.stats import sem

    values = np.random.default_rng(0).normal(size=17)
    assert standard_error(values) == pytest.approx(sem(values), rel=1e-12)
