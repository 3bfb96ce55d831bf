"""The options of `fit`: each declared once, in `fit_options.py`."""

from striate.fitting.options.fit_options import (
    AUTO,
    FRAMINGS,
    KIND_NAMES,
    LOG_NAMES,
    METHOD_NAMES,
    OF_CLASSES,
    SYMMETRIES,
    FitOptions,
    declared_options,
    options_of,
    with_options,
)
from striate.fitting.options.option import parse_time

__all__ = [
    "AUTO",
    "FRAMINGS",
    "KIND_NAMES",
    "LOG_NAMES",
    "METHOD_NAMES",
    "OF_CLASSES",
    "SYMMETRIES",
    "FitOptions",
    "declared_options",
    "options_of",
    "parse_time",
    "with_options",
]
