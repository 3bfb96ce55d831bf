"""What of an item moves a unit, and what moves the answer."""

from striate.explorer.influence.effective import effective
from striate.explorer.influence.evidence import METHODS, Marks, evidence, marked, verdict

__all__ = ["METHODS", "Marks", "effective", "evidence", "marked", "verdict"]
