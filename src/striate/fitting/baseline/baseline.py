"""The baseline of a fit: frozen features of every item, and a linear probe on them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.fitting.baseline.feature_pass import FeaturePass
from striate.fitting.baseline.networks import fit_to_items, made
from striate.fitting.candidate import HeldOut
from striate.fitting.context import FitContext
from striate.models import Network
from striate.models.kernel_machine import ScaleFeatures
from striate.report.schema import Choice
from striate.tasks.objective import ProbeOutputs
from striate.transfer.probe import LinearProbe, ProbeConfig
from striate.transfer.ridge_probe import RIDGE_CS

FEATURED: Final = "items with features"
"""Name of the step that says how many items' features were taken."""

FIRST_BASELINE_SECONDS: Final = 45.0
"""Seconds after which a first baseline is told where the features of all items take longer."""


class Baseline:
    """Frozen features of every item and a probe on them, each made when it is first needed.

    Args:
        context: The fit.
        model: Name of the network whose features are taken; by default the one that the user named,
            or that suits the kind.
        prefix: Before the names of the steps, to tell them from those of another baseline.
        name: What the user is told that the probe is.
        squared: Whether its probes are ridge regressions for every task.
        most_items: Items whose features are taken, at most, and those of validation; None for no
            limit but the time.
    """

    def __init__(
        self,
        context: FitContext,
        *,
        model: str | None = None,
        prefix: str = "",
        name: str = "baseline",
        squared: bool = False,
        most_items: int | None = None,
    ) -> None:
        self.context = context
        self.prefix = prefix
        self.name = name
        self.squared = squared
        self.most_items = most_items
        self.probe_seconds = 0.0
        asked = context.options.model
        self.model = model or (str(context.defaults.features) if asked == "auto" else asked)

    @property
    def weights(self) -> str:
        """What the network's weights are, for the report."""
        asked = self.context.options.weights
        if asked == "auto":
            return "ImageNet" if self.context.defaults.pretrained else "random filters"
        return "random" if asked is None else asked

    @cached_property
    def network(self) -> Network:
        """The network, in evaluation mode on the fit's device; it stays as it is."""
        context = self.context
        asked = context.options.weights
        pretrained = "imagenet" if context.defaults.pretrained else None
        network = made(context, self.model, pretrained if asked == "auto" else asked)
        for note in network.notes:
            context.tell(Choice(topic="weights", choice=str(asked), why=note))
        if network.fits_features:
            fit_to_items(context, network)
        return network.eval()

    @cached_property
    def features(self) -> Tensor:
        """(items, features): of every scale where they can be kept, pooled ones last.

        Where those of all items would take too long there are those of a part (see `known`); the
        rows of the others are zero.
        """
        return self._stored["features"]

    @cached_property
    def _stored(self) -> dict[str, Tensor]:
        context = self.context
        stored = context.steps.timed(
            "features", lambda: context.steps.tensors(f"{self.prefix}features", self._shared)
        )
        num_known, num_items = int(stored["known"].sum()), len(stored["known"])
        context.steps.step(self.prefix + FEATURED, lambda: num_known)
        if num_known < num_items:
            why = f"{num_items} items are too many for the time; the part is as mixed as all are"
            choice = f"of {num_known} items"
            context.tell(Choice(topic="features", choice=choice, why=why))
            features = torch.zeros(num_items, stored["features"].shape[1])
            features[stored["known"]] = stored["features"]
            stored["features"] = features
        return stored

    def known(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some items whose features were taken; all validation items' are."""
        known: NDArray[np.bool_] = self._stored["known"].numpy()
        return indices[known[indices]]

    @property
    def knows_all(self) -> bool:
        """Whether the features of all items were taken."""
        return bool(self._stored["known"].all())

    @property
    def pooled(self) -> Tensor:
        """(items, features) of the network's pooled last maps."""
        return self.features[:, -self.network.num_features :]

    @property
    def compared(self) -> Tensor:
        """(items, features) that a kernel machine compares."""
        return self.features[:, : self.network.num_compared]

    @property
    def has_all_scales(self) -> bool:
        """Whether the features are all that a kernel machine compares."""
        if not self.context.defaults.all_scales:
            return True
        return self.features.shape[1] == ScaleFeatures(self.network).num_features

    @cached_property
    def probe(self) -> LinearProbe:
        """The probe of the training items; its figures are the first that the user sees."""
        context = self.context
        train = context.dataset.indices("train")
        began = time.monotonic()
        probe = context.steps.timed("train", lambda: self.fitted_probe(train, "probe"))
        self.probe_seconds = context.steps.step(
            self.prefix + "probe seconds", lambda: time.monotonic() - began
        )
        val = context.dataset.indices("val")
        context.tell_validation(
            self.name, "linear probe on frozen features", probe.logits(self.pooled[val])
        )
        return probe

    @cached_property
    def outputs(self) -> ProbeOutputs:
        """The probe's outputs of the validation and the test items."""
        val, test = (self.context.dataset.indices(part) for part in ("val", "test"))
        logits = self.probe.logits
        return ProbeOutputs(val=logits(self.pooled[val]), test=logits(self.pooled[test]))

    def fitted_probe(self, indices: NDArray[np.int64], name: str) -> LinearProbe:
        """A probe of some items, its regularization chosen by cross-validation in them.

        Args:
            indices: Positions of the items.
            name: Name of the step whose result this is.
        """
        objective, indices = self.context.objective, self.known(indices)

        def make() -> dict[str, Tensor]:
            probe = objective.fit_probe(self.pooled, indices, self.config())
            return {
                "weight": probe.weight,
                "bias": probe.bias,
                "C": torch.tensor(probe.C, dtype=torch.float64),
            }

        stored = self.context.steps.tensors(self.prefix + name, make)
        return LinearProbe(weight=stored["weight"], bias=stored["bias"], C=stored["C"].item())

    def cross_outputs(self, indices: NDArray[np.int64], C: float) -> HeldOut:
        """Outputs of probes for items that each was not fitted to.

        Args:
            indices: Positions of the items to go through, fold by fold.
            C: Inverse regularization of the probes.
        """
        config = replace(self.config(), Cs=(C,))
        return self.context.objective.cross_outputs(self.pooled, self.known(indices), config)

    def extracted(self, module: nn.Module, batches: Iterator[Any]) -> Iterator[Tensor]:
        """(n, features) of each batch, in float32 on the CPU.

        Args:
            module: Made of the network, from normalized inputs to features.
            batches: What `Inputs.inputs` gave.
        """
        return map(self.extractor(module), batches)

    def extractor(self, module: nn.Module) -> Callable[[Any], Tensor]:
        """A function from a batch to features; see `FeaturePass.extractor`.

        Args:
            module: Made of the network, from normalized inputs to features.
        """
        return self._pass.extractor(module)

    def config(self) -> ProbeConfig:
        """How the probes are fitted."""
        config = self.context.objective.probe_config(self.context.options.seed)
        return replace(config, Cs=RIDGE_CS, squared=True) if self.squared else config

    def _shared(self) -> dict[str, Tensor]:
        """The features; those of another fold where nothing in them depends on the training items."""
        context, network = self.context, self.network
        if context.options.folds is None or network.fits_features:
            return self._extracted()
        sees = context.inputs.for_network(network).to_json()
        scales = context.defaults.all_scales
        key = json.dumps([self.model, self.weights, self.most_items, scales, sees], sort_keys=True)
        found = context.shared.get(key)
        if found is None:
            found = self._extracted()
            if found["known"].all():
                context.shared[key] = found
        return found

    def _extracted(self) -> dict[str, Tensor]:
        """The features, those of validation items first, then of training at random.

        What is known by then can be judged early. Of several processes each computes its share.
        """
        return self._pass.taken(self._early_probe())

    @property
    def _pass(self) -> FeaturePass:
        return FeaturePass(context=self.context, network=self.network, most_items=self.most_items)

    def _early_probe(self) -> Callable[[Tensor, NDArray[np.int64]], None]:
        """Tells once how a probe of middling regularization does on the items so far."""
        context, objective = self.context, self.context.objective
        train, val = context.dataset.indices("train"), context.dataset.indices("val")
        due = FIRST_BASELINE_SECONDS if context.first_baseline is None else math.inf

        def look(features: Tensor, known: NDArray[np.int64]) -> None:
            nonlocal due
            if context.seconds() < due:
                return
            learnt = np.intersect1d(known, train)
            if not objective.can_learn(learnt):
                due += FIRST_BASELINE_SECONDS
                return
            due = math.inf
            pooled = features[:, -self.network.num_features :]
            config = self.config()
            middle = config.Cs[len(config.Cs) // 2]
            probe = objective.fit_probe(pooled, learnt, replace(config, Cs=(middle,)))
            share = f"linear probe on the first {len(known)} of {len(features)} items"
            context.tell_validation("first baseline", share, probe.logits(pooled[val]))

        return look
