"""The pass over the items of a fit that takes their features, of as many as the time allows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data.randomness import epoch_order
from striate.device import fast_dtype, use_free_cores
from striate.fitting.context import REPORT_SECONDS, FitContext
from striate.models import Network
from striate.models.kernel_machine import ScaleFeatures
from striate.nn.layout import channels_last, placed
from striate.train.strategy import Strategy
from striate.transfer.features import PooledFeatures, prepare

MAX_FEATURES: Final = 500_000_000
"""Largest number of features of all items together that are kept: 2 GB."""

MAX_QUICK_FEATURES: Final = 50_000_000
"""Largest number of them where probes are to be quick: of more items, a part is enough."""

MEASURED_ITEMS: Final = 256
"""Items after whose features it is known how long those of all will take."""


@dataclass(frozen=True, kw_only=True)
class FeaturePass:
    """Takes the features of items: of some, or in one pass of as many of a fit as its time allows.

    Attributes:
        context: The fit.
        network: Whose features they are.
        most_items: Items whose features are taken, at most, and those of validation; None for no
            limit but the time.
    """

    context: FitContext
    network: Network
    most_items: int | None = None

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
            use_free_cores()
            x = inputs.normalized(placed(batch, device))
            if inputs.folds:
                frozen = frozen or prepare(module, x, dtype)
                x = channels_last(x.to(dtype))
            with torch.inference_mode():
                features: Tensor = (frozen or module)(x).float().cpu()
            return features

        return extract

    def taken(self, look: Callable[[Tensor, NDArray[np.int64]], object]) -> dict[str, Tensor]:
        """The features, those of validation items first, then of training at random.

        What is known by then can be judged early. Of several processes each computes its share.

        Args:
            look: Given, after each batch of a single process, the (items, features) so far and the
                positions of the items that they are of.

        Returns:
            "features", (known items, features), and "known", (items,) whether they were taken.
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
                for batch in context.batches(own, inputs):
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
