"""Where a run found the evidence for what it predicts, as images."""

from striate.run.explain.best import best_methods, in_order, measured_methods
from striate.run.explain.inputs import AUTO, HIGHER, Explained, explain_inputs
from striate.run.explain.pictures import PictureMaker, mistake_pictures, preferred, small_drawing

__all__ = [
    "AUTO",
    "HIGHER",
    "Explained",
    "PictureMaker",
    "best_methods",
    "explain_inputs",
    "in_order",
    "measured_methods",
    "mistake_pictures",
    "preferred",
    "small_drawing",
]
