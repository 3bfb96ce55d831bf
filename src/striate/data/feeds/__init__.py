"""How items of each kind become a network's inputs, one file a kind."""

from striate.data.feeds.feed import FEEDS, Feed, Inputs, feed_of

__all__ = ["FEEDS", "Feed", "Inputs", "feed_of"]
