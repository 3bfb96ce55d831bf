"""What a network takes, whatever the kind of its items."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

from striate.ops.graph_batch import GraphBatch

Inputs: TypeAlias = Tensor | GraphBatch
"""Items by axis 0, (n, channels, *space), or a batch of graphs; both can be counted and split."""
