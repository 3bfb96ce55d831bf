"""A linear layer on frozen pretrained features."""

from __future__ import annotations

import copy

import numpy as np

from striate.fitting.baseline import Baseline
from striate.fitting.candidate import Candidate, Proposal, refitted
from striate.fitting.context import FitContext
from striate.fitting.method import METHODS, Method


class Probe(Method):
    """Regularized logistic regression (of numbers: ridge regression) on frozen features."""

    name = "probe"
    description = "a linear layer on frozen features"
    uses = frozenset({"model", "weights"})
    is_baseline = True

    def reasons(self, context: FitContext) -> list[str]:
        """It needs features."""
        if context.defaults.features is None:
            return [f"no frozen features are known for a {context.kind.name}"]
        return []

    def propose(self, context: FitContext, baseline: Baseline) -> Proposal:
        """The baseline itself; as the result it is fitted again to the validation items too."""

        def finish() -> Candidate:
            learnt = np.flatnonzero(context.dataset.splits != "test")
            probe = baseline.fitted_probe(learnt, "final-probe")
            network = copy.deepcopy(baseline.network)
            network.classifier.load_state_dict(probe.as_head().state_dict())
            return refitted(
                context,
                method=self.name,
                model=baseline.model,
                network=network,
                weights=baseline.weights,
                held_out=baseline.cross_outputs(learnt, probe.C),
                details={},
            )

        outputs = baseline.outputs.val
        calibration, loss = context.objective.calibrate(outputs, context.dataset.indices("val"))
        return Proposal(
            method=self.name,
            name="linear probe",
            outputs=outputs,
            calibration=calibration,
            loss=loss,
            finish=finish,
            cross_outputs=lambda: baseline.cross_outputs(
                context.dataset.indices("train"), baseline.probe.C
            ),
        )


METHODS.add(Probe.name, Probe())
