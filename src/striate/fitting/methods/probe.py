"""A linear layer on frozen pretrained features."""

from __future__ import annotations

from striate.fitting.baseline import Baseline
from striate.fitting.candidate import Proposal
from striate.fitting.context import FitContext
from striate.fitting.linear import probe_proposal
from striate.fitting.method import METHODS, Method, frozen_reasons


class Probe(Method):
    """Regularized logistic regression (of numbers: ridge regression) on frozen features."""

    name = "probe"
    description = "a linear layer on frozen features"
    uses = frozenset({"model", "weights"})
    is_baseline = True

    def reasons(self, context: FitContext) -> list[str]:
        """It needs features."""
        return frozen_reasons(context)

    def propose(self, context: FitContext, baseline: Baseline) -> Proposal:
        """The baseline itself."""
        return probe_proposal(context, baseline, method=self.name, name="linear probe")


METHODS.add(Probe.name, Probe())
