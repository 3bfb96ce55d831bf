"""The kinds of data that Striate reads, one file each."""

from striate.data.layouts.arrays import ArraySource
from striate.data.layouts.layout import SOURCES, SourceFormat, open_source
from striate.data.layouts.pyg import from_pyg
from striate.data.samples.sample import SAMPLES, Sample
from striate.data.unlabelled import Inputs, open_inputs

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
