"""Which of two models is kept: one rule for all of them."""

from __future__ import annotations

from typing import Final

import numpy as np

from striate.fitting.candidate import Proposal
from striate.fitting.context import FitContext
from striate.report.schema import Candidate as CandidateRow
from striate.report.schema import Choice

STANDARD_ERRORS: Final = 2.0
"""Standard errors of the gain by which a model must win whose epoch the judging items chose."""


def select(context: FitContext, incumbent: Proposal | None, challenger: Proposal) -> Proposal:
    """The better of two models; the user is told, and both figures go into the report.

    The lower calibrated loss wins. Where both are fitted within seconds, a cross-validation within
    the training items judges, which are more than the validation items. Else the validation items
    judge; a model whose epoch they have chosen must win by two standard errors of the gain, for of
    two models that the data cannot tell apart the simpler one is kept.

    Args:
        context: The fit.
        incumbent: What is kept so far; None at first.
        challenger: What was fitted next.
    """
    if incumbent is None:
        context.candidates.append(
            _row(context, challenger, "validation", challenger.loss, True, "")
        )
        return challenger
    losses, judge, margin = context.steps.step(
        f"{challenger.method} against {incumbent.method}",
        lambda: _judged(context, incumbent, challenger),
    )
    kept = losses[1] < losses[0] - margin
    loss_name = context.objective.metrics[0].replace("_", " ")
    why = (
        f"{judge} {loss_name}: {losses[0]:.4f} {incumbent.name}, {losses[1]:.4f} {challenger.name}"
    )
    if margin:
        why += f"; chance gives differences of {margin:.4f}"
    winner, loser = (challenger, incumbent) if kept else (incumbent, challenger)
    context.tell(Choice(topic="method", choice=winner.name, why=why))
    context.candidates[:] = [
        row.model_copy(update={"kept": False, "why": why}) if row.method == loser.method else row
        for row in context.candidates
    ]
    context.candidates.append(_row(context, challenger, judge, losses[1], kept, why))
    return winner


def _judged(
    context: FitContext, incumbent: Proposal, challenger: Proposal
) -> tuple[tuple[float, float], str, float]:
    """Losses of both, what judged them, and by how much the challenger must win."""
    objective = context.objective
    if incumbent.cross_outputs is not None and challenger.cross_outputs is not None:
        losses = [
            objective.calibrate(*outputs())[1]
            for outputs in (incumbent.cross_outputs, challenger.cross_outputs)
        ]
        return (losses[0], losses[1]), "cross-validation", 0.0
    margin = 0.0
    if challenger.chosen_by_validation:
        val = context.dataset.indices("val")
        gains = objective.item_losses(
            incumbent.outputs, incumbent.calibration, val
        ) - objective.item_losses(challenger.outputs, challenger.calibration, val)
        margin = STANDARD_ERRORS * float(gains.std() / np.sqrt(len(gains)))
    return (incumbent.loss, challenger.loss), "validation", margin


def _row(
    context: FitContext, proposal: Proposal, judge: str, loss: float, kept: bool, why: str
) -> CandidateRow:
    return CandidateRow(
        method=proposal.method,
        model=proposal.name,
        judged_by=judge,
        loss=loss,
        seconds=context.seconds(),
        kept=kept,
        why=why,
    )
