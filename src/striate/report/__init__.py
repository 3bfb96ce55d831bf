from striate.report.build import TestItems, build_report
from striate.report.build_regression import RegressionItems, build_regression_report
from striate.report.facts import RunFacts
from striate.report.picture import Drawing, Picture, svg_document
from striate.report.render import render_html, write_report
from striate.report.schema import Choice, Report, Seconds
from striate.report.schema_regression import AnyReport, RegressionReport, read_report
from striate.report.verdict import Verdict, verdict
from striate.report.verdict_regression import regression_verdict

__all__ = [
    "AnyReport",
    "Choice",
    "Drawing",
    "Picture",
    "RegressionItems",
    "RegressionReport",
    "Report",
    "RunFacts",
    "Seconds",
    "TestItems",
    "Verdict",
    "build_regression_report",
    "build_report",
    "read_report",
    "regression_verdict",
    "render_html",
    "svg_document",
    "verdict",
    "write_report",
]
