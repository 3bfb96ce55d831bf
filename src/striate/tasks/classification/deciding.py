"""The part of a classifier's page that says how it decides, where the user stated an aim."""

from __future__ import annotations

from typing import Any

from striate.metrics.intervals import Estimate
from striate.report.page import percent
from striate.tasks.classification.report import ClassificationReport, DecisionFigures


def decision_context(report: ClassificationReport) -> dict[str, Any] | None:
    """What decides the answers, and what that comes to; None where nothing was asked."""
    decision = report.decision
    if decision is None:
        return None
    return {
        "sentence": decision_sentence(report, decision),
        "rows": _rows(decision),
        "about": _about(report, decision),
    }


def decision_sentence(report: ClassificationReport, decision: DecisionFigures) -> str:
    """How an answer is chosen, in words."""
    many = report.nouns[1]
    if decision.target_recall is not None:
        told = f"{percent(decision.target_recall)} of “{decision.of_class}” are to be found. "
        if decision.threshold is not None:
            told += f"It is the answer from a probability of {percent(decision.threshold)} on."
        else:
            told += "It is the answer where its lead before the other classes is large enough."
        if not decision.is_supported:
            told += (
                f" {decision.num_of_class} held-out {many} of it are too few to promise that: the "
                "threshold is that of the least probable of them."
            )
        return told
    costs = [
        f"{cost:g} for “{name}”"
        for name, cost in zip(report.classes, decision.costs, strict=True)
        if cost != 1
    ]
    told = "Each answer is the one of least expected cost"
    told += f", an error costing {', '.join(costs)} and 1 otherwise." if costs else "."
    if decision.threshold is not None:
        told += f" “{decision.of_class}” is the answer from a probability of {percent(decision.threshold)} on."
    if decision.cost_unknown is not None:
        told += (
            " An answer that is expected to cost more than "
            f"{decision.cost_unknown:g} is “I don't know”."
        )
    return told


def chosen_point(report: ClassificationReport) -> tuple[float, float, str] | None:
    """The share that is answered and the error among these, as a mark of the curve."""
    decision = report.decision
    if decision is None or decision.cost_unknown is None or decision.test.error is None:
        return None
    answered, error = decision.test.answered.value or 0.0, decision.test.error.value or 0.0
    text = f"“I don't know” at a cost of {decision.cost_unknown:g}: {percent(answered)} answered, {percent(error)} of them wrongly"
    return answered, error, text


def _rows(decision: DecisionFigures) -> list[dict[str, str]]:
    """The figures that the aim is about: promised, on the test items, and by the most probable class."""
    names = {}
    if decision.of_class is not None:
        names["recall"] = f"“{decision.of_class}” found (recall)"
        names["precision"] = f"right where “{decision.of_class}” is said (precision)"
    if decision.cost_unknown is not None:
        names |= {"answered": "answered", "error": "wrong among the answered"}
    if decision.target_recall is None:
        names["cost"] = "mean cost"
    else:
        names["error"] = "wrong answers"
    rows = []
    for key, name in names.items():
        test: Estimate | None = getattr(decision.test, key)
        usual: Estimate | None = getattr(decision.usual, key)
        promised = None if decision.promised is None else getattr(decision.promised, key)
        limits = None if test is None else test.ci95
        rows.append(
            {
                "name": name,
                "promised": _text(key, promised),
                "test": _text(key, None if test is None else test.value),
                "interval": "" if limits is None else " to ".join(_text(key, x) for x in limits),
                "usual": _text(key, None if usual is None else usual.value),
            }
        )
    return rows


def _text(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if key == "cost" else percent(value)


def _about(report: ClassificationReport, decision: DecisionFigures) -> str:
    many = report.nouns[1]
    if decision.promised is None:
        return ""
    told = (
        f"Chosen on {decision.promised.num_items} {many} that the model had not learnt from; no test "
        "item took part."
    )
    if decision.target_recall is None:
        told = f"It follows from calibrated probabilities, without a choice: no test {report.nouns[0]} took part."
    if decision.test.recall is not None and decision.test.recall.ci95 and decision.target_recall:
        low, high = decision.test.recall.ci95
        if high < decision.target_recall:
            told += " Fewer were found than promised: take the threshold with care."
        elif low > decision.target_recall:
            told += " More were found than were required."
    return told
