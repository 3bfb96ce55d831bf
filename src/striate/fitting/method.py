"""What a way to learn is; each is one file in `methods/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final

from striate.fitting.baseline import Baseline
from striate.fitting.candidate import Proposal
from striate.fitting.context import FitContext
from striate.kinds.kind import Defaults
from striate.registry import Registry, load_package


class Method(ABC):
    """A way to learn.

    Attributes:
        name: What `--method` takes; the name of its file.
        description: How the report says it, after "The model is".
        uses: Names of the options that act in it, of those that not every method uses.
        implied: Values of further options that say what it does anyway.
        is_baseline: Whether it is the baseline itself, with which its result is not compared.
        needs_baseline: Whether it starts from frozen features and a linear probe on them.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    uses: ClassVar[frozenset[str]]
    implied: ClassVar[Mapping[str, object]] = {}
    is_baseline: ClassVar[bool] = False
    needs_baseline: ClassVar[bool] = True

    def network_of(self, asked: str, defaults: Defaults) -> str | None:
        """Name of the network that the method makes; None where there is none.

        Args:
            asked: The value of `--model`.
            defaults: What suits the inputs.
        """
        return defaults.features if asked == "auto" else asked

    @abstractmethod
    def reasons(self, context: FitContext) -> list[str]:
        """Why the method cannot be used for these data; empty where it can."""

    def against(self, context: FitContext, baseline: Baseline) -> str:
        """Why `auto` need not try the method; empty where it should.

        Args:
            context: The fit.
            baseline: The frozen features and their probe.
        """
        return ""

    @abstractmethod
    def propose(self, context: FitContext, baseline: Baseline) -> Proposal:
        """Fit a model to the training items.

        Args:
            context: The fit.
            baseline: The frozen features and their probe, made when they are first asked for.

        Raises:
            StoppedError: The user asked to stop.
            ArgumentError: An option does not suit the data.
        """


def frozen_reasons(context: FitContext) -> list[str]:
    """Why there are no frozen features for these data and this network; empty where there are.

    Args:
        context: The fit.
    """
    defaults, asked = context.defaults, context.options.model
    if defaults.features is None:
        return [f"no frozen features are known for {context.kind.name}s"]
    if defaults.fixed_features and asked not in ("auto", defaults.features):
        return [f"{asked} has no features that are of use before it is trained"]
    return []


METHODS: Final[Registry[Method]] = Registry("method")


def load_methods() -> Registry[Method]:
    """Every method: one file each in `methods/`."""
    load_package("striate.fitting.methods")
    return METHODS
