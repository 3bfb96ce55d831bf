"""The baseline of a fit: frozen features of its items, and a linear probe on them."""

from striate.fitting.baseline.baseline import FEATURED, Baseline
from striate.fitting.baseline.feature_pass import MAX_FEATURES, evenly_mixed
from striate.fitting.baseline.networks import check_network, fit_to_items, made

__all__ = [
    "FEATURED",
    "MAX_FEATURES",
    "Baseline",
    "check_network",
    "evenly_mixed",
    "fit_to_items",
    "made",
]
