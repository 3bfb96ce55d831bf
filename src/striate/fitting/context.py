"""What every step of a fit needs to know."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from striate.data.source import Source
from striate.fitting.options import FitConfig
from striate.fitting.steps import Ledger
from striate.progress import Progress
from striate.report import Choice
from striate.run.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Job:
    """A fit in progress.

    Attributes:
        config: the options.
        source: of the data.
        folder: of the run.
        ledger: what was found and decided so far.
        device: where to compute.
        progress: is told of the work.
        stop: says whether to save and stop.
        began: moment of the start (`time.monotonic`), less the time of earlier attempts.
        choices: decisions made for the user, for the report.
    """

    config: FitConfig
    source: Source
    folder: RunFolder
    ledger: Ledger
    device: torch.device
    progress: Progress
    stop: Callable[[], bool]
    began: float
    choices: list[Choice] = field(default_factory=list)

    def seconds(self) -> float:
        """Time spent on the fit so far."""
        return time.monotonic() - self.began

    def seconds_left(self) -> float:
        """Until the time given is over."""
        return self.config.time - self.seconds()

    def decide(self, topic: str, make: Callable[[], tuple[str, Choice]]) -> str:
        """A decision, made once and the same after a resume; the user is told."""
        stored = self.ledger.decide(topic, lambda: _as_json(*make()))
        self.tell(Choice(**stored["choice"]))
        return str(stored["value"])

    def tell(self, choice: Choice) -> None:
        """Tell the user of a decision, and keep it for the report."""
        self.choices.append(choice)
        self.progress.say(f"{choice.topic}: {choice.choice} ({choice.why})")


def _as_json(value: str, choice: Choice) -> dict[str, object]:
    return {"value": value, "choice": choice.model_dump()}
