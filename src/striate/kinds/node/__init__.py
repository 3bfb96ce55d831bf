"""Nodes of one large graph, each of which is an item."""

from striate.kinds.node.kind import NodeKind

__all__ = ["NodeKind"]
