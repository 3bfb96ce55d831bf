"""What a user asks of the answers of a classifier. It is read where the command line starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from striate.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What a user asks of the answers of a classifier; nothing by default.

    Attributes:
        target_recall: Share of the items of a class that is to be found, by the name of the class.
        error_costs: What it costs to take an item of a class for another, by the name of the class;
            1 for a class that is not named.
        cost_unknown: What "I don't know" costs, in the unit of `error_costs`; None where every item
            is to be answered.

    Raises:
        OptionError: A value is out of its range, or two of them do not go together.
    """

    target_recall: Mapping[str, float] = field(default_factory=dict)
    error_costs: Mapping[str, float] = field(default_factory=dict)
    cost_unknown: float | None = None

    def __post_init__(self) -> None:
        if len(self.target_recall) > 1:
            why = "the recall of one class alone can be aimed at"
            raise OptionError("target_recall", dict(self.target_recall), why=why)
        for share in self.target_recall.values():
            if not 0 < share < 1:
                why = "a recall to aim at is above 0 and below 1"
                raise OptionError("target_recall", dict(self.target_recall), why=why)
        for cost in self.error_costs.values():
            if not (0 < cost < math.inf):
                why = "a cost is above 0"
                raise OptionError("error_costs", dict(self.error_costs), why=why)
        highest = max([1.0, *self.error_costs.values()])
        if self.cost_unknown is not None and not 0 <= self.cost_unknown <= highest:
            why = f"it is between 0 and the cost of an error, {highest:g}"
            raise OptionError("cost_unknown", self.cost_unknown, why=why)
        if self.target_recall and (self.error_costs or self.cost_unknown is not None):
            raise OptionError(
                "target_recall",
                dict(self.target_recall),
                why="a target recall decides the answers by itself, whatever they cost",
                fix="leave it out, or leave the costs out",
            )

    def __bool__(self) -> bool:
        return bool(self.target_recall or self.error_costs or self.cost_unknown is not None)

    @property
    def named(self) -> dict[str, str]:
        """The option in which each class is named, by the class."""
        return dict.fromkeys(self.target_recall, "target_recall") | dict.fromkeys(
            self.error_costs, "error_costs"
        )
