from striate.report.build import RunFacts, TestItems, build_report
from striate.report.render import Picture, render_html, write_report
from striate.report.schema import Choice, Report, Seconds
from striate.report.verdict import Verdict, verdict

__all__ = [
    "Choice",
    "Picture",
    "Report",
    "RunFacts",
    "Seconds",
    "TestItems",
    "Verdict",
    "build_report",
    "render_html",
    "verdict",
    "write_report",
]
