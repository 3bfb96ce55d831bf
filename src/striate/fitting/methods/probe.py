"""A linear layer on frozen pretrained features."""

from __future__ import annotations

import copy

import numpy as np

from striate.fitting.baseline import Baseline
from striate.fitting.candidate import Candidate, Proposal, on_features, refitted
from striate.fitting.context import FitContext
from striate.fitting.method import METHODS, Method
from striate.models import Network
from striate.transfer.probe import LinearProbe


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

        def refit() -> Candidate:
            learnt = np.flatnonzero(context.dataset.splits != "test")
            probe = baseline.fitted_probe(learnt, "final-probe")
            return refitted(
                context,
                method=self.name,
                model=baseline.model,
                network=with_head(baseline, probe),
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
            candidate=lambda: on_features(
                context,
                method=self.name,
                model=baseline.model,
                network=with_head(baseline, baseline.probe),
                weights=baseline.weights,
                outputs=outputs,
                calibration=calibration,
            ),
            refit=refit,
            cross_outputs=lambda: baseline.cross_outputs(
                context.dataset.indices("train"), baseline.probe.C
            ),
        )


def with_head(baseline: Baseline, probe: LinearProbe) -> Network:
    """A copy of the baseline's network that ends in a probe.

    Args:
        baseline: The frozen features.
        probe: Fitted to them.
    """
    network = copy.deepcopy(baseline.network)
    network.classifier.load_state_dict(probe.as_head().state_dict())
    return network


METHODS.add(Probe.name, Probe())
