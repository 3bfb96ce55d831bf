"""What a network holds, computes and sees, for any module in one to three dimensions."""

from striate.analysis.diagram import diagram
from striate.analysis.effective import EffectiveField, effective_field
from striate.analysis.layer import Calculation, Layer
from striate.analysis.summary import Stage, Summary, receptive_field, summary
from striate.analysis.walk import calculations, min_input_side

__all__ = [
    "Calculation",
    "EffectiveField",
    "Layer",
    "Stage",
    "Summary",
    "calculations",
    "diagram",
    "effective_field",
    "min_input_side",
    "receptive_field",
    "summary",
]
