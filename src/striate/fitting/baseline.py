"""The baseline of a fit: frozen features of every item, and a linear probe on them."""

from __future__ import annotations

import math
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
from striate.errors import ArgumentError, StriateError
from striate.fitting.candidate import HeldOut
from striate.fitting.context import CHECK_STOP_EVERY, FitContext
from striate.kinds.inputs import Inputs
from striate.models import Network, create_model
from striate.models.kernel_machine import ScaleFeatures
from striate.nn.layout import channels_last, placed
from striate.progress import duration
from striate.report.schema import Choice
from striate.tasks.objective import ProbeOutputs
from striate.train.strategy import Strategy
from striate.transfer.features import PooledFeatures, prepare
from striate.transfer.probe import LinearProbe

MAX_FEATURES: Final = 500_000_000
"""Largest number of features of all items together that are kept: 2 GB."""

FIRST_BASELINE_SECONDS: Final = 45.0
"""Seconds after which a first baseline is told where the features of all items take longer."""


class Baseline:
    """Frozen features of every item and a probe on them, each made when it is first asked for.

    Args:
        context: The fit.
    """

    def __init__(self, context: FitContext) -> None:
        self.context = context

    @property
    def model(self) -> str:
        """Name of the network whose features are taken."""
        asked = self.context.options.model
        return str(self.context.defaults.features) if asked == "auto" else asked

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
        if context.defaults.fit_features is not None:
            train = context.dataset.store.take(context.dataset.indices("train"))
            context.defaults.fit_features(
                network, context.inputs.inputs(train), context.options.seed
            )
        return network.eval()

    @cached_property
    def features(self) -> Tensor:
        """(items, features) of every item: of every scale where they can be kept, pooled ones last."""
        context = self.context
        return context.steps.timed(
            "features", lambda: context.steps.tensors("features", self._extracted)["features"]
        )

    @property
    def pooled(self) -> Tensor:
        """(items, features) of the network's pooled last maps."""
        return self.features[:, -self.network.num_features :]

    @property
    def has_all_scales(self) -> bool:
        """Whether the features are of every scale."""
        return self.features.shape[1] > self.network.num_features

    @cached_property
    def probe(self) -> LinearProbe:
        """The probe of the training items; its figures are the first that the user sees."""
        context = self.context
        train = context.dataset.indices("train")
        probe = context.steps.timed("train", lambda: self.fitted_probe(train, "probe"))
        val = context.dataset.indices("val")
        tell_validation(
            context, "baseline", "linear probe on frozen features", probe.logits(self.pooled[val])
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
        objective, seed = self.context.objective, self.context.options.seed

        def make() -> dict[str, Tensor]:
            probe = objective.fit_probe(self.pooled, indices, objective.probe_config(seed))
            return {
                "weight": probe.weight,
                "bias": probe.bias,
                "C": torch.tensor(probe.C, dtype=torch.float64),
            }

        stored = self.context.steps.tensors(name, make)
        return LinearProbe(weight=stored["weight"], bias=stored["bias"], C=stored["C"].item())

    def cross_outputs(self, indices: NDArray[np.int64], C: float) -> HeldOut:
        """Outputs of probes for items that each was not fitted to.

        Args:
            indices: Positions of the items to go through, fold by fold.
            C: Inverse regularization of the probes.
        """
        objective = self.context.objective
        config = replace(objective.probe_config(self.context.options.seed), Cs=(C,))
        return objective.cross_outputs(self.pooled, indices, config)

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

    def _extracted(self) -> dict[str, Tensor]:
        """The features, those of validation items first, then of training at random.

        What is known by then can be judged early. Of several processes each computes its share.
        """
        context, dataset, network = self.context, self.context.dataset, self.network
        train = dataset.indices("train")
        train = train[epoch_order(context.options.seed, 0, len(train))]
        order = np.concatenate([dataset.indices("val"), train, dataset.indices("test")])
        strategy = context.strategy
        own = share_of(order, context.inputs.batch_size, strategy)
        module: nn.Module = PooledFeatures(network)
        width = network.num_features
        if context.defaults.all_scales:
            scales = ScaleFeatures(network)
            if scales.num_features * len(order) <= MAX_FEATURES:
                module, width = scales, scales.num_features
        features = torch.zeros(len(order), width)
        look = self._early_probe(width)
        done = 0
        with context.progress.track("features", len(own), "items") as tracker:
            for part in self.extracted(module, plain_batches(context, own)):
                features[own[done : done + len(part)]] = part
                done += len(part)
                tracker.advance(len(part))
                if strategy.num_processes == 1:
                    look(features, own[:done])
        return {"features": strategy.reduce(features)}

    def _early_probe(self, width: int) -> Callable[[Tensor, NDArray[np.int64]], None]:
        """Tells once how a probe of middling regularization does on the items so far."""
        context, objective = self.context, self.context.objective
        train, val = context.dataset.indices("train"), context.dataset.indices("val")
        due = FIRST_BASELINE_SECONDS

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
            config = objective.probe_config(context.options.seed)
            middle = config.Cs[len(config.Cs) // 2]
            probe = objective.fit_probe(pooled, learnt, replace(config, Cs=(middle,)))
            share = f"linear probe on the first {len(known)} of {len(features)} items"
            tell_validation(context, "first baseline", share, probe.logits(pooled[val]))

        return look


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
        network = create_model(name, num_classes=num_outputs, **inputs.network_options(name)).eval()
        if not network.config.rank:
            return
        try:
            with torch.inference_mode():
                network(torch.empty(1, *inputs.input_shape))
        except StriateError:
            raise
        # A network of another library raises whatever it likes.
        except Exception as error:
            shape = " x ".join(map(str, inputs.input_shape))
            raise ArgumentError(
                f"{name} does not take inputs of {shape}",
                why=str(error).partition("\n")[0] or type(error).__name__,
                fix="choose another network or size",
            ) from error


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
