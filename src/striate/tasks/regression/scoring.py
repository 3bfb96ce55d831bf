"""Numbers from a network's outputs, and two predictors compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from striate.metrics.paired import PairedComparison, compare_regression
from striate.metrics.regression import PredictionInterval
from striate.tasks.prediction import Calibration, Promise

ROUNDING: Final = 1e-4
"""Difference of a limit, relative to the largest of any or to 1, that rounding explains."""


@dataclass(frozen=True, kw_only=True)
class NumberCalibration(Calibration):
    """Numbers from standardized outputs: mean + std * output, with an interval.

    Attributes:
        mean: Mean of the training targets, in their unit.
        std: Standard deviation of the training targets, above 0.
        unit: Unit of the targets, such as "mm"; empty where it is not known.
        interval: The interval around each number; None where there were too few held-out items.
    """

    mean: float = 0.0
    std: float = 1.0
    unit: str = ""
    interval: PredictionInterval | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The calibration that `to_json` wrote."""
        interval = document["interval"]
        made = None
        if interval is not None:
            follows = {name: tuple(interval.get(name, ())) for name in ("knots", "scales")}
            made = PredictionInterval(**{**interval, **follows})
        return cls(**{**document, "interval": made})

    def answers(self, outputs: Float[np.ndarray, "n 1"]) -> Float[np.ndarray, " n"]:
        """The numbers, in the targets' unit."""
        return self.mean + self.std * outputs[:, 0].astype(np.float64)

    def outputs_of(self, answers: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 1"]:
        """Standardized numbers."""
        standardized: Float[np.ndarray, "n 1"] = (answers[:, None] - self.mean) / self.std
        return standardized

    @property
    def promise(self) -> Limits | None:
        """The interval."""
        if self.interval is None:
            return None
        return Limits(interval=self.interval, scale=self.std, bias=self.mean)

    def without_promises(self) -> NumberCalibration:
        """Without an interval around each number."""
        return replace(self, interval=None)

    def limits(self, number: float) -> tuple[float, float] | None:
        """The interval around a number; None where there is none."""
        if self.interval is None:
            return None
        half_width = float(self.interval.half_widths(np.array([number]))[0])
        return number - half_width, number + half_width

    def module(self) -> nn.Module:
        """Standardized outputs to numbers."""
        return _Numbers(self.std, self.mean)

    def outputs(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Standardized outputs and numbers."""
        unit = f"in {self.unit}" if self.unit else "in the unit of the targets"
        low, high = self.interval.range() if self.interval else (0.0, 0.0)
        width = f"{low:g}" if low == high else f"{low:g} to {high:g}, which follows the number"
        interval = f"; plus and minus {width}" if self.interval else ""
        return [
            {"name": "standardized", "shape": ["items", 1], "means": "the network's output"},
            {"name": "value", "shape": ["items"], "means": unit + interval},
        ]

    def to_json(self) -> dict[str, Any]:
        """Mean, standard deviation, unit and interval."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Limits(Promise):
    """Lower and upper limit around a number.

    Attributes:
        interval: How wide it is.
        scale: Factor on outputs.
        bias: Shift of them.
    """

    name: ClassVar = "interval"
    interval: PredictionInterval
    scale: float
    bias: float

    def output(self, classes: Sequence[str]) -> dict[str, Any]:
        """Two numbers."""
        share = f"{self.interval.level:.0%}"
        return {
            "name": self.name,
            "shape": ["items", 2],
            "means": f"the limits between which the true number lies, for {share} of new items",
            "type": "float32",
            "level": self.interval.level,
            "items": self.interval.num_items,
        }

    def module(self) -> nn.Module:
        """Standardized outputs to limits."""
        return _Limits(self)

    def of(self, answers: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
        """The limits around numbers."""
        widths = self.interval.half_widths(answers)
        return np.stack([answers - widths, answers + widths], 1)

    def read(self, told: Sequence[Any], classes: Sequence[str]) -> Float[np.ndarray, " k"]:
        """The two numbers."""
        return np.array(told, np.float64)

    def same(
        self, expected: Float[np.ndarray, "n 2"], got: Float[np.ndarray, "n 2"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether both limits are equal but for rounding."""
        largest = max(1.0, float(np.abs(expected).max(initial=0.0)))
        return np.asarray((np.abs(expected - got) <= ROUNDING * largest).all(1))

    def follows(
        self, answers: Float[np.ndarray, " n"], got: Float[np.ndarray, "n 2"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether the limits are those of these numbers."""
        return self.same(self.of(answers.astype(np.float64)), got)


class _Limits(nn.Module):
    """The limits around numbers; `numpy.interp` as a sum over the knots."""

    numbers: nn.Module
    starts: Tensor
    widths: Tensor
    steps: Tensor
    first: Tensor

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        interval = limits.interval
        knots = np.array(interval.knots or (0.0,))
        scales = interval.half_width * np.array(interval.scales or (1.0,))
        narrowest = float(np.finfo(np.float32).tiny)
        self.numbers = _Numbers(limits.scale, limits.bias)
        self.register_buffer("starts", _float32(knots[:-1]))
        self.register_buffer("widths", _float32(np.maximum(np.diff(knots), narrowest)))
        self.register_buffer("steps", _float32(np.diff(scales)))
        self.register_buffer("first", _float32(scales[0]))

    def forward(self, outputs: Float[Tensor, "n 1"]) -> Float[Tensor, "n 2"]:
        numbers = self.numbers(outputs)
        passed = ((numbers[:, None] - self.starts) / self.widths).clamp(0, 1)
        half = self.first + (passed * self.steps).sum(1)
        return torch.stack([numbers - half, numbers + half], 1)


def _float32(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


class _Numbers(nn.Module):
    scale: Tensor
    bias: Tensor

    def __init__(self, scale: float, bias: float) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("bias", torch.tensor([bias]))

    def forward(self, outputs: Float[Tensor, "n 1"]) -> Float[Tensor, " n"]:
        return (outputs * self.scale + self.bias)[:, 0]


def compare_rows(
    first: Sequence[Mapping[str, str]], second: Sequence[Mapping[str, str]]
) -> PairedComparison:
    """Compare two predictors by their rows of `predictions.csv` for the same items."""

    def numbers(rows: Sequence[Mapping[str, str]], column: str) -> Float[np.ndarray, " n"]:
        return np.array([float(row[column]) for row in rows])

    predictions = [numbers(rows, "prediction") for rows in (first, second)]
    return compare_regression(predictions[0], predictions[1], numbers(first, "target"))
