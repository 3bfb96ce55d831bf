"""Data in shards: tar files as WebDataset writes them, with an index by which any item is found."""

from striate.data.layouts.shards.pack import Packed, pack
from striate.data.layouts.shards.source import ShardSource, is_shards, open_shards

__all__ = ["Packed", "ShardSource", "is_shards", "open_shards", "pack"]
