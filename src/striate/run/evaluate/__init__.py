"""How good a finished run is: on labelled items, and on the same under common corruptions."""

from striate.run.evaluate.labelled import Evaluated, evaluate

__all__ = ["Evaluated", "evaluate"]
