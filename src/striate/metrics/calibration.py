"""Temperature scaling: one number that makes probabilities mean what they say."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

MIN_ITEMS = 20
"""Below this many validation items a fitted temperature is noise, and none is used."""

_MAX_LOG_TEMPERATURE = float(np.log(100))


def softmax(logits: Float[np.ndarray, "n c"], temperature: float = 1.0) -> Float[np.ndarray, "n c"]:
    """Probabilities of logits divided by a temperature, in float64."""
    return np.asarray(np.exp(_log_softmax(logits, temperature)))


def fit_temperature(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> float:
    """The temperature in [1/100, 100] with the least mean negative log-likelihood.

    Never worse than a temperature of 1 on the items it is fitted to. It is 1 where there are
    fewer than `MIN_ITEMS` items, or where every prediction is right: then the likelihood only
    asks for ever more certainty, and there is no error to learn doubt from.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    if len(labels) < MIN_ITEMS or bool((logits.argmax(1) == labels).all()):
        return 1.0

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits, labels, float(np.exp(log_temperature)))

    # The loss is convex in 1 / temperature, hence has one minimum in its logarithm too.
    bounds = (-_MAX_LOG_TEMPERATURE, _MAX_LOG_TEMPERATURE)
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x)) if best.fun < loss(0.0) else 1.0


def negative_log_likelihood(
    logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"], temperature: float = 1.0
) -> float:
    """Mean over the items, of logits divided by a temperature, in nats."""
    log_probabilities = _log_softmax(logits, temperature)
    return -float(np.take_along_axis(log_probabilities, labels[:, None], axis=1).mean())


def _log_softmax(logits: Float[np.ndarray, "n c"], temperature: float) -> Float[np.ndarray, "n c"]:
    scaled = logits.astype(np.float64) / temperature
    return np.asarray(scaled - logsumexp(scaled, axis=1, keepdims=True))
