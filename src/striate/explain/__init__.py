"""The evidence for a network's output, over its input; each method is a file of this package."""

from striate.explain.method import (
    EXPLANATIONS,
    Explanation,
    Method,
    explain,
    explain_graph,
    told_as,
)
from striate.registry import load_package

load_package(__name__)

__all__ = ["EXPLANATIONS", "Explanation", "Method", "explain", "explain_graph", "told_as"]
