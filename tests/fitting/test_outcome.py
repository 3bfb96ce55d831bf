"""The end of a fit: what is told of it."""

from types import SimpleNamespace

import numpy as np
import torch

from striate.fitting import outcome


def test_the_speed_of_prediction_is_that_of_the_result_alone(monkeypatch):
    """A minute went into predictions of all candidates, those that were not kept among them."""
    times = iter((100.0, 102.0))
    monkeypatch.setattr(outcome, "monotonic", lambda: next(times))
    monkeypatch.setattr(
        outcome, "predicted", lambda context, predictor, indices, what, look: torch.zeros(10, 2)
    )
    context = SimpleNamespace(
        dataset=SimpleNamespace(indices=lambda split: np.arange(10)),
        objective=SimpleNamespace(evaluated=lambda evaluation: evaluation),
        steps=SimpleNamespace(seconds=lambda phase: {"evaluate": 60.0}.get(phase, 0.0)),
        history=(),
    )
    candidate = SimpleNamespace(
        novelty_detector=None, predictor=None, calibration=None, outputs=None
    )
    outcome.evaluated(context, candidate, None)
    assert outcome._throughput(context) == {"predict": 5.0}
