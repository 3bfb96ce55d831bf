"""What the reports of all tasks share."""

from striate.report.facts import EvaluatedItems, RunFacts
from striate.report.picture import Drawing, Picture, svg_document
from striate.report.render import render_html
from striate.report.schema import Candidate, Choice, RunReport, Seconds

__all__ = [
    "Candidate",
    "Choice",
    "Drawing",
    "EvaluatedItems",
    "Picture",
    "RunFacts",
    "RunReport",
    "Seconds",
    "render_html",
    "svg_document",
]
