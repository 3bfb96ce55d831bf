"""Graphs, each of which is an item."""

from striate.kinds.graph.kind import GraphKind

__all__ = ["GraphKind"]
