"""Pretrained weights: where they are, how they are named, and how they are made to fit."""

from striate.weights.manifest import layouts, sources
from striate.weights.preprocessing import IMAGENET, Preprocessing
from striate.weights.reshape import adapt_channels, inflate

__all__ = ["IMAGENET", "Preprocessing", "adapt_channels", "inflate", "layouts", "sources"]
