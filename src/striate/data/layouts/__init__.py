"""The layouts in which Striate reads data, one file each."""

from striate.data.layouts.arrays import ArraySource
from striate.data.layouts.layout import LAYOUTS, Layout, open_source
from striate.data.layouts.pyg import from_pyg

__all__ = ["LAYOUTS", "ArraySource", "Layout", "from_pyg", "open_source"]
