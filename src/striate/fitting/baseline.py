"""The baseline of a fit: frozen features of every item, and a linear probe on them."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.randomness import epoch_order
from striate.device import fast_dtype
from striate.fitting.candidate import HeldOut
from striate.fitting.context import CHECK_STOP_EVERY, REPORT_SECONDS, FitContext
from striate.kinds.inputs import Inputs
from striate.models import GridNetwork, Network, create_model
from striate.models.kernel_machine import ScaleFeatures
from striate.nn.layout import channels_last, placed
from striate.progress import duration
from striate.report.schema import Choice
from striate.tasks.objective import ProbeOutputs
from striate.train.strategy import Strategy
from striate.transfer.features import PooledFeatures, prepare
from striate.transfer.probe import RIDGE_CS, LinearProbe, ProbeConfig

FEATURED: Final = "items with features"
"""Name of the step that says how many items' features were taken."""

MAX_FITTED: Final = 10_000
"""Training items, evenly spread, that what depends on them in the features is fitted to, at most."""

MAX_FEATURES: Final = 500_000_000
"""Largest number of features of all items together that are kept: 2 GB."""

MAX_QUICK_FEATURES: Final = 50_000_000
"""Largest number of them where probes are to be quick: of more items, a part is enough."""

MEASURED_ITEMS: Final = 256
"""Items after whose features it is known how long those of all will take."""

FIRST_BASELINE_SECONDS: Final = 45.0
"""Seconds after which a first baseline is told where the features of all items take longer."""


class Baseline:
    """Frozen features of every item and a probe on them, each made when it is first asked for.

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
            "features", lambda: context.steps.tensors(f"{self.prefix}features", self._extracted)
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
        tell_validation(
            context, self.name, "linear probe on frozen features", probe.logits(self.pooled[val])
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
        """A function from what `Inputs.inputs` gave to features, made ready by its first batch.

        Args:
            module: Made of the network, from normalized inputs to features.
        """
        device = self.context.device
        inputs = self.context.inputs.for_network(self.network)
        dtype = fast_dtype(device.type) if inputs.folds else torch.float32
        frozen: nn.Module | None = None

        def extract(batch: Any) -> Tensor:
            nonlocal frozen
            x = inputs.normalized(placed(batch, device))
            if inputs.folds:
                frozen = frozen or prepare(module, x, dtype)
                x = channels_last(x.to(dtype))
            with torch.inference_mode():
                features: Tensor = (frozen or module)(x).float().cpu()
            return features

        return extract

    def config(self) -> ProbeConfig:
        """How the probes are fitted."""
        config = self.context.objective.probe_config(self.context.options.seed)
        return replace(config, Cs=RIDGE_CS, squared=True) if self.squared else config

    def _extracted(self) -> dict[str, Tensor]:
        """The features, those of validation items first, then of training at random.

        What is known by then can be judged early. Of several processes each computes its share.
        """
        context, dataset, network = self.context, self.context.dataset, self.network
        train = dataset.indices("train")
        train = train[epoch_order(context.options.seed, 0, len(train))]
        order = np.concatenate([dataset.indices("val"), train, dataset.indices("test")])
        module: nn.Module = PooledFeatures(network)
        width = network.num_features
        if context.defaults.all_scales:
            scales = ScaleFeatures(network)
            if scales.num_features * len(order) <= MAX_FEATURES:
                module, width = scales, scales.num_features
        features = torch.zeros(len(order), width)
        look = self._early_probe(width)
        inputs = context.inputs.for_network(network)
        extract, strategy, size = (
            self.extractor(module),
            context.strategy,
            context.inputs.batch_size,
        )
        began = time.monotonic()
        with context.progress.track("features", len(order), "items") as tracker:

            def take(items: NDArray[np.int64], start: int) -> None:
                """Take the features of `items` from a place on; those before are there."""
                own, done = share_of(items[start:], size, strategy), 0
                for batch in plain_batches(context, own, inputs):
                    part = extract(batch)
                    features[own[done : done + len(part)]] = part
                    done += len(part)
                    tracker.advance(len(part))
                    if strategy.num_processes == 1:
                        look(features, items[: start + done])

            # Whole batches, so that these are the same however many follow.
            first = min(len(order), -(-MEASURED_ITEMS // size) * size if size else len(order))
            take(order[:first], 0)
            rate = first / max(time.monotonic() - began, 1e-9)
            seconds = min(
                context.defaults.features_share * context.options.seconds,
                # The test items are predicted once more, in the end.
                context.seconds_left() - REPORT_SECONDS - len(dataset.indices("test")) / rate,
            )
            limit = min(self._most_items(width), int(rate * max(0.0, seconds)))
            limit = max(strategy.share(limit), len(dataset.indices("val")) + MEASURED_ITEMS)
            if limit < len(order):
                rest = self._mixed(order[:first])[: max(0, limit - first)]
                order = np.concatenate([order[:first], rest])
            take(order, first)
        known = torch.zeros(len(features), dtype=torch.bool)
        known[torch.from_numpy(order)] = True
        features = strategy.reduce(features)
        return {"features": features if known.all() else features[known], "known": known}

    def _most_items(self, width: int) -> int:
        """Items whose features are kept, at most."""
        asked = sys.maxsize if self.most_items is None else self.most_items
        return (
            min(asked, MAX_QUICK_FEATURES // width) if self.context.defaults.quick_probes else asked
        )

    def _mixed(self, done: NDArray[np.int64]) -> NDArray[np.int64]:
        """Validation and training items that are not done, each first part as mixed as all are."""
        dataset, seed = self.context.dataset, self.context.options.seed
        val, train = (np.setdiff1d(dataset.indices(part), done) for part in ("val", "train"))
        train = train[epoch_order(seed, 0, len(train))]
        return np.concatenate([val, evenly_mixed(train, dataset.target.strata)])

    def _early_probe(self, width: int) -> Callable[[Tensor, NDArray[np.int64]], None]:
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
            pooled = features[:, width - self.network.num_features :]
            config = self.config()
            middle = config.Cs[len(config.Cs) // 2]
            probe = objective.fit_probe(pooled, learnt, replace(config, Cs=(middle,)))
            share = f"linear probe on the first {len(known)} of {len(features)} items"
            tell_validation(context, "first baseline", share, probe.logits(pooled[val]))

        return look


def evenly_mixed(
    indices: NDArray[np.int64], strata: NDArray[np.int64] | NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Items in an order each first part of which is as mixed as all are.

    The k-th of m items of a stratum, in their order, stands at (k + 1/2) / m.

    Args:
        indices: Positions of the items.
        strata: Number of the stratum of each item of the data, or in which strata each is.
    """
    _, stratum, counts = np.unique(strata[indices], axis=0, return_inverse=True, return_counts=True)
    stratum = stratum.reshape(-1)
    by_stratum = np.argsort(stratum, kind="stable")
    rank = np.empty(len(indices))
    starts = np.cumsum(counts) - counts
    rank[by_stratum] = np.arange(len(indices)) - starts[stratum[by_stratum]]
    place = (rank + 0.5) / counts[stratum]
    return indices[np.argsort(place, kind="stable")]


def share_of(
    indices: NDArray[np.int64], batch_size: int | None, strategy: Strategy
) -> NDArray[np.int64]:
    """One process's share of some items, in whole batches, so that no result depends on it.

    Args:
        indices: Positions of the items.
        batch_size: Items that are computed together; None for all of them.
        strategy: The processes.
    """
    size = batch_size or max(1, len(indices))
    batches = [indices[start : start + size] for start in range(0, len(indices), size)]
    own = batches[strategy.rank :: strategy.num_processes]
    return np.concatenate(own) if own else indices[:0]


def made(context: FitContext, name: str, weights: str | None) -> Network:
    """A network for the fit's inputs, on its device.

    Args:
        context: The fit.
        name: Name of the network.
        weights: What it starts from; None for random weights.

    Raises:
        WeightsError: The weights do not fit.
        WeightsUnavailableError: They are not on this machine, nor to be had.
    """
    torch.manual_seed(context.options.seed)
    network = create_model(
        name,
        num_classes=context.objective.num_outputs,
        weights=weights,
        **context.inputs.network_options(name),
    )
    return network.to(context.device)


def fit_to_items(context: FitContext, network: Network) -> None:
    """Fit what in a network depends on the training items, though no gradient sets it.

    Args:
        context: The fit.
        network: Changed in place.
    """
    inputs = context.inputs.for_network(network)
    train = context.dataset.indices("train")
    some = context.dataset.store.take(train[:: -(-len(train) // MAX_FITTED)])
    network.fit_features(inputs.normalized(inputs.inputs(some)), context.options.seed)


def check_network(name: str, inputs: Inputs[Any], num_outputs: int) -> None:
    """Make sure that a network takes the fit's inputs; nothing is allocated or computed.

    Args:
        name: Name of the network.
        inputs: The fit's.
        num_outputs: Number of outputs.

    Raises:
        ArgumentError: It does not.
    """
    with torch.device("meta"):
        network = create_model(name, num_classes=num_outputs, **inputs.network_options(name))
        if isinstance(network, GridNetwork):
            network.check_shape((1, *inputs.input_shape))


def plain_batches(
    context: FitContext, indices: NDArray[np.int64], inputs: Inputs[Any] | None = None
) -> Iterator[Any]:
    """Inputs without chance of some items, in order, in batches that are computed at once.

    Args:
        context: The fit.
        indices: Positions of the items.
        inputs: How items become inputs; by default as in the fit.

    Raises:
        StoppedError: The user asked to stop.
    """
    inputs = inputs or context.inputs
    size = inputs.batch_size or max(1, len(indices))
    for start in range(0, len(indices), size):
        if start % CHECK_STOP_EVERY < size:
            context.check_stop()
        yield inputs.inputs(context.dataset.store.take(indices[start : start + size]))


def tell_validation(context: FitContext, name: str, model: str, outputs: Tensor) -> None:
    """Say how a model does on the validation items, as soon as that is known."""
    objective = context.objective
    if context.first_baseline is None:
        context.first_baseline = context.seconds()
    figures = objective.epoch_metrics(outputs, context.dataset.indices("val"))
    told = [f"{key.replace('_', ' ')} {figures[key]:.4f}" for key in reversed(objective.metrics)]
    context.progress.say(
        f"{name} after {duration(context.seconds())}: {model}, validation {', '.join(told)}"
    )
