"""How items of each kind become a network's inputs, one file a kind."""

from striate.kinds.inputs import FEEDS, Feed, feed_of
from striate.ops.inputs import Inputs

__all__ = ["FEEDS", "Feed", "Inputs", "feed_of"]
