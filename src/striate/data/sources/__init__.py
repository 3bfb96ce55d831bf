"""The kinds of data that Striate reads, one file each."""

from striate.data.sources.registry import SOURCES, SourceFormat, open_source

__all__ = ["SOURCES", "SourceFormat", "open_source"]
