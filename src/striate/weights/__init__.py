"""Pretrained weights: where they are, how they are named, and how they are made to fit."""

from striate.weights.checkpoint import Checkpoint, load_checkpoint
from striate.weights.manifest import Layout, Source, layouts, sources
from striate.weights.preprocessing import IMAGENET, Preprocessing
from striate.weights.reshape import adapt_channels, inflate

__all__ = [
    "IMAGENET",
    "Checkpoint",
    "Layout",
    "Preprocessing",
    "Source",
    "adapt_channels",
    "inflate",
    "layouts",
    "load_checkpoint",
    "sources",
]
