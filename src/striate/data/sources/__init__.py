"""The kinds of data that Striate reads, one file each."""

from striate.data.sources.arrays import ArraySource
from striate.data.sources.inputs import Inputs, open_inputs
from striate.data.sources.pyg import from_pyg
from striate.data.sources.registry import SOURCES, SourceFormat, open_source
from striate.data.sources.sample import SAMPLES, Sample

__all__ = [
    "SAMPLES",
    "SOURCES",
    "ArraySource",
    "Inputs",
    "Sample",
    "SourceFormat",
    "from_pyg",
    "open_inputs",
    "open_source",
]
