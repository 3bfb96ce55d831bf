"""Calibration: a temperature, and where it helps a shift a class, so that probabilities come true."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

MIN_ITEMS = 20
"""Below this many validation items a fitted temperature is noise, and none is used."""

_MAX_LOG_TEMPERATURE = float(np.log(100))


_MIN_CLASS_ITEMS = 10
"""A class with fewer validation items says too little of its shift."""

_FOLDS = 10


@dataclass(frozen=True, kw_only=True)
class TemperatureScaling:
    """Logits divided by a temperature and shifted by class: logits / temperature + bias.

    Attributes:
        temperature: Divisor of the logits, above 1 where the network is overconfident.
        bias: Shift of each class; empty where there is none.
    """

    temperature: float = 1.0
    bias: tuple[float, ...] = ()

    def scaled(self, logits: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """Calibrated logits, in float64."""
        shift = np.array(self.bias) if self.bias else 0.0
        return np.asarray(logits.astype(np.float64) / self.temperature + shift)


def fit_calibration(
    logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"], *, seed: int = 0
) -> TemperatureScaling:
    """The calibration for these held-out items.

    Always a temperature. A shift of each class is added where cross-validation within the items
    finds that it lowers the log loss: label smoothing, averaged weights and classes of different
    size leave networks that lean to one class, which no temperature can mend.

    Args:
        logits: A row for each item.
        labels: The class number of each item.
        seed: Seed of the folds.

    Source: bias-corrected temperature scaling, Alexandari, Kundaje, Shrikumar, ICML 2020.
    """
    plain = _fit_plain(logits, labels)
    counts = np.bincount(labels, minlength=logits.shape[1])
    if counts.min() < _MIN_CLASS_ITEMS or bool((logits.argmax(1) == labels).all()):
        return plain
    folds = np.random.default_rng(seed).permutation(len(labels)) % _FOLDS
    lost = {"plain": 0.0, "shifted": 0.0}
    for fold in range(_FOLDS):
        fitted, held = folds != fold, folds == fold
        for name, fit in (("plain", _fit_plain), ("shifted", _fit_shifted)):
            scaled = fit(logits[fitted], labels[fitted]).scaled(logits[held])
            lost[name] += negative_log_likelihood(scaled, labels[held]) * held.sum()
    return _fit_shifted(logits, labels) if lost["shifted"] < lost["plain"] else plain


def _fit_plain(
    logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> TemperatureScaling:
    return TemperatureScaling(temperature=fit_temperature(logits, labels))


def _fit_shifted(
    logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]
) -> TemperatureScaling:
    """Temperature and shifts of the smallest log loss, the shifts held near 0 by a unit normal prior."""
    from scipy.optimize import minimize  # slow to import

    truth = np.eye(logits.shape[1])[labels]
    exact = logits.astype(np.float64)

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, bias = np.exp(values[0]), values[1:]
        log_p = _log_softmax(exact * scale + bias, 1.0)
        wrong = np.exp(log_p) - truth
        loss = -float((truth * log_p).sum()) + 0.5 * float(bias @ bias)
        slope = float((wrong * exact).sum()) * scale
        return loss, np.concatenate([[slope], wrong.sum(0) + bias])

    bounds = [(-_MAX_LOG_TEMPERATURE, _MAX_LOG_TEMPERATURE), *[(None, None)] * logits.shape[1]]
    best = minimize(
        objective, np.zeros(1 + logits.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds
    )
    return TemperatureScaling(
        temperature=float(np.exp(-best.x[0])), bias=tuple(best.x[1:].tolist())
    )


def softmax(logits: Float[np.ndarray, "n c"], temperature: float = 1.0) -> Float[np.ndarray, "n c"]:
    """Probabilities of logits divided by a temperature, in float64."""
    return np.asarray(np.exp(_log_softmax(logits, temperature)))


def fit_temperature(logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"]) -> float:
    """The temperature in [1/100, 100] with the smallest mean negative log-likelihood.

    Never worse than a temperature of 1 on the items it is fitted to. It is 1 where there are
    fewer than `MIN_ITEMS` items, or where every prediction is right: then the likelihood only
    asks for ever more certainty, and there is no error to learn doubt from.

    Source: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    """
    if len(labels) < MIN_ITEMS or bool((logits.argmax(1) == labels).all()):
        return 1.0
    from scipy.optimize import minimize_scalar  # slow to import

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits, labels, float(np.exp(log_temperature)))

    # The loss is convex in 1 / temperature, hence has one minimum in its logarithm too.
    bounds = (-_MAX_LOG_TEMPERATURE, _MAX_LOG_TEMPERATURE)
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x)) if best.fun < loss(0.0) else 1.0


def negative_log_likelihood(
    logits: Float[np.ndarray, "n c"], labels: Int[np.ndarray, " n"], temperature: float = 1.0
) -> float:
    """Mean over the items, of logits divided by a temperature, in nats; 0 of no items."""
    if not len(labels):
        return 0.0
    log_probabilities = _log_softmax(logits, temperature)
    return -float(np.take_along_axis(log_probabilities, labels[:, None], axis=1).mean())


def _log_softmax(logits: Float[np.ndarray, "n c"], temperature: float) -> Float[np.ndarray, "n c"]:
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))
