"""A memory bank of patches of good items, which alone are learnt from."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.randomness import epoch_order
from striate.device import use_free_cores
from striate.fitting.baseline import Baseline
from striate.fitting.candidate import Candidate, Proposal, predicted
from striate.fitting.context import FitContext
from striate.fitting.method import METHODS, Method
from striate.models.patches.memory_bank import NAME, MemoryBank, memory_bank_of
from striate.nn.layout import placed
from striate.progress import counted
from striate.report.schema import Choice
from striate.run.predictor import Predictor
from striate.transfer.patch_bank import coreset, spread

MAX_PATCHES: Final = 100_000
"""Patches that a coreset is chosen from, evenly many of each item."""

BANK_SHARE: Final = 0.05
"""Patches of the bank over those that it is chosen from."""

MIN_BANK: Final = 1_000
"""Patches in a bank at least, where there are so many."""

TIME_SHARE: Final = 0.4
"""Largest share of the time left that the maps of good items may take."""

MEASURED_ITEMS: Final = 32
"""Items after whose maps it is known how long those of all will take."""


class Oneclass(Method):
    """The distance of the oddest patch from those of good items; see `models.patches.memory_bank`."""

    name = "oneclass"
    description = "a memory bank of patches of good items"
    uses = frozenset({"model", "weights", "good"})
    needs_baseline = False

    def reasons(self, context: FitContext) -> list[str]:
        """It needs pretrained maps of several scales, which are known for images."""
        defaults, many = context.defaults, context.kind.nouns[1]
        if defaults.features is None or not (defaults.pretrained and defaults.all_scales):
            return [f"there are no pretrained maps of several scales for {many}"]
        return []

    def propose(self, context: FitContext, baseline: Baseline) -> Proposal:
        """The bank with a threshold from held-out good items."""
        val = context.dataset.indices("val")
        bank = context.steps.timed("features", lambda: filled_bank(context, baseline))
        inputs = context.inputs.for_network(bank)
        predictor = Predictor(network=bank, inputs=inputs, device=context.device)
        outputs = predicted(context, predictor, val, "predicting validation")
        config = bank.config
        context.tell_validation("memory bank", counted(config.num_patches, "patch"), outputs)
        calibration, loss = context.objective.calibrate(outputs, val)
        candidate = Candidate(
            method=self.name,
            model=NAME,
            predictor=predictor,
            calibration=calibration,
            outputs=outputs,
            weights=baseline.weights,
            details={
                "backbone": baseline.model,
                "patches in the bank": str(config.num_patches),
                "channels of a patch": str(config.patch_channels),
            },
        )
        return Proposal(
            method=self.name,
            name="memory bank",
            outputs=outputs,
            calibration=calibration,
            loss=loss,
            candidate=lambda: candidate,
        )


def filled_bank(context: FitContext, baseline: Baseline) -> MemoryBank:
    """A memory bank of the training items' patches, of the network whose features are taken.

    Args:
        context: The fit.
        baseline: Names and holds the network; none of its features are made.

    Raises:
        StoppedError: The user asked to stop.
        ArgumentError: The network has no maps of several sizes.
    """
    train = context.objective.learnt_from(context.dataset.indices("train"))

    def make() -> dict[str, Tensor]:
        bank = memory_bank_of(baseline.network, baseline.model, num_patches=1)
        candidates = patches_of(context, bank, train)
        count = min(len(candidates), max(MIN_BANK, round(BANK_SHARE * len(candidates))))
        context.progress.say(f"coreset: {counted(count, 'patch')} of {len(candidates):,}")
        chosen = coreset(candidates, count, seed=context.options.seed, check=context.check_stop)
        return {"patches": candidates[chosen].cpu()}

    patches = context.steps.tensors("memory bank", make)["patches"]
    bank = memory_bank_of(baseline.network, baseline.model, num_patches=len(patches))
    bank.pool.patches.copy_(patches)
    return bank


def patches_of(context: FitContext, bank: MemoryBank, indices: NDArray[np.int64]) -> Tensor:
    """(patches, channels) of items, evenly many of each; of a part where all would take too long.

    Args:
        context: The fit.
        bank: Makes features of patches.
        indices: Positions of the items.
    """
    seed, inputs = context.options.seed, context.inputs.for_network(bank)
    order = indices[epoch_order(seed, 0, len(indices))]
    generator = torch.Generator().manual_seed(seed)
    each = -(-MAX_PATCHES // len(order))
    found: list[Tensor] = []
    done, limit, allowed = 0, len(order), TIME_SHARE * context.seconds_left()
    with context.progress.track("patches", len(order), "items") as tracker:
        for batch in context.batches(order, inputs):
            use_free_cores()
            with torch.inference_mode():
                maps = bank.forward_features(inputs.normalized(placed(batch, context.device)))
            found.append(spread(maps, each, generator))
            done += len(maps)
            tracker.advance(len(maps))
            if done == len(maps):
                # The first batch is left out: what it has to compile says nothing of the others.
                began, first = time.monotonic(), done
            elif done >= MEASURED_ITEMS:
                rate = (done - first) / (time.monotonic() - began)
                limit = max(MEASURED_ITEMS, int(allowed * rate))
            if done >= limit:
                break
    if done < len(order):
        why = f"the maps of all {len(order)} training items would take too long"
        context.tell(Choice(topic="memory bank", choice=f"of {done} items", why=why))
    return torch.cat(found)


METHODS.add(Oneclass.name, Oneclass())
