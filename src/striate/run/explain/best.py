"""Which method of explanation holds best for a run: measured once on validation items, and kept."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from striate.data.layouts.layout import open_source
from striate.data.snapshot import from_json
from striate.data.source import Reading
from striate.errors import StriateError
from striate.explain import explain, told_as
from striate.explain.fidelity import fidelities
from striate.explain.method import GRADCAM
from striate.files import read_sealed_json, sealed_json, user_cache_folder, write_atomic
from striate.kinds.kind import Kind
from striate.nn.layout import channels_last, placed
from striate.progress import Progress
from striate.run.engines.files import digest, identity, versions
from striate.run.explain.pictures import preferred
from striate.run.folder import LOCK
from striate.run.opened import OpenedRun
from striate.run.predictor import Predictor

MAX_ITEMS: Final = 8
"""Validation items by which methods are compared, at most."""

MIN_ITEMS: Final = 3
"""Items below which nothing takes the place of the method that suits the kind."""

FAR: Final = 2.0
"""Standard errors by which another method must lead over the one that suits the kind, on the same
items, to take its place."""

SECONDS: Final = 15.0
"""Seconds after which no further item is looked at."""

STEPS: Final = 4
"""Points of the curves by which each is judged."""

MAX_LISTED: Final = 50_000
"""Items of a run above which its data are not listed for the sake of a few."""

FOLDER: Final = "explanations"
"""Of the cache."""


class MethodFigures(BaseModel):
    """How well a method explains some items.

    Attributes:
        method: Its name.
        gains: For each item how far the output follows its marks, in spreads of marks at random: 0
            for marks that know nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    gains: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean gain."""
        return float(np.mean(self.gains))


_KEPT: Final = TypeAdapter(tuple[MethodFigures, ...])


def best_methods(run: OpenedRun, progress: Progress) -> list[str]:
    """The methods that "auto" tries for a run, the best first; it is measured where nothing is kept.

    Of graphs, of a network that draws a map of its own, and where the run's data are gone, they are
    those that suit the kind.

    Args:
        run: The run.
        progress: Told which is chosen, and why.
    """
    if told_as(GRADCAM, run.predictor.network) != GRADCAM:
        return preferred(run.kind)
    found = kept_figures(run)
    if found is None:
        progress.say("looking which explanation holds on validation items, once")
        found = measured_methods(run.predictor, _validation_items(run), preferred(run.kind))
        if found:
            progress.say(_told(found, run.kind))
            path = _path(run)
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = _KEPT.dump_python(found, mode="json")
            write_atomic(path, sealed_json({"methods": kept}))
    return in_order(found, run.kind)


def kept_figures(run: OpenedRun) -> tuple[MethodFigures, ...] | None:
    """What was measured of a run; None where nothing was, or it cannot be read."""
    try:
        document = read_sealed_json(_path(run).read_bytes()) or {}
        return _KEPT.validate_python(document["methods"])
    except (KeyError, OSError, ValidationError):
        return None


def in_order(found: Sequence[MethodFigures], kind: Kind) -> list[str]:
    """The methods for a kind: the one that suits it, unless another is better on some items.

    Args:
        found: What was measured; nothing where nothing was.
        kind: The kind of the items.
    """
    names = preferred(kind)
    usual = next((each for each in found if each.method == names[0]), None)
    best = max(found, key=lambda each: each.mean, default=None)
    if best is not None and (usual is None or _leads(best, usual)):
        names.sort(key=lambda name: name != best.method)
    return names


def _leads(one: MethodFigures, other: MethodFigures) -> bool:
    """Whether the gains of one method are higher on the same items by more than chance."""
    leads = np.subtract(one.gains, other.gains)
    if len(leads) < MIN_ITEMS:
        return False
    return bool(leads.mean() > FAR * leads.std(ddof=1) / len(leads) ** 0.5)


def measured_methods(
    predictor: Predictor,
    given: Iterable[tuple[Reading, int]],
    methods: Sequence[str],
    *,
    seconds: float = SECONDS,
) -> tuple[MethodFigures, ...]:
    """How well each method explains some items; nothing where there are none on a grid.

    Args:
        predictor: The network and its inputs.
        given: The items, each with the number of the output to explain.
        methods: Names of the methods; one that cannot explain the network is left out.
        seconds: Seconds after which no further item is looked at.
    """
    network, inputs = predictor.network, predictor.inputs
    gains: dict[str, list[float]] = {name: [] for name in methods}
    spreads: list[float] = []
    end = time.monotonic() + seconds
    for reading, target in given:
        x = inputs.normalized(placed(inputs.inputs([reading]), predictor.device))
        if not isinstance(x, Tensor):
            return ()
        x, heats = channels_last(x), {}
        for name in tuple(gains):
            try:
                found = explain(network, x, torch.tensor([target]), name)
            # Networks of other libraries raise whatever they like.
            except Exception:
                del gains[name]
                continue
            heats[name] = found.heat[0].cpu().numpy()
        if not heats:
            return ()
        checks = fidelities(network, x, target, list(heats.values()), steps=STEPS)
        for name, check in zip(heats, checks, strict=True):
            gains[name].append(check.gain)
        spreads.append(float(np.square(checks[0].random_gains).mean()))
        if time.monotonic() > end:
            break
    scale = max(float(np.sqrt(np.mean(spreads))), 1e-12) if spreads else 1.0
    return tuple(
        MethodFigures(method=name, gains=tuple(gain / scale for gain in each))
        for name, each in gains.items()
        if each
    )


def _validation_items(run: OpenedRun) -> Iterator[tuple[Reading, int]]:
    """Validation items of a run, each with the number of what is predicted; none where they are gone."""
    try:
        taken = from_json(run.folder.read_json(LOCK))
        named = [item.id for item in taken.items if item.split == "val"]
        if not named or len(taken.items) > MAX_LISTED:
            return
        drawn = np.random.default_rng(0).permutation(len(named))[:MAX_ITEMS]
        wanted = {named[number] for number in drawn.tolist()}
        source = open_source(run.record.data)
        items = list(islice((i for i in source.listing.items if i.id in wanted), MAX_ITEMS))
        for item, reading in run.read(source, items):
            if isinstance(reading, Reading):
                (prediction,) = run.predicted([item], [reading])
                yield reading, prediction.output
    except StriateError:
        return


def _told(found: Sequence[MethodFigures], kind: Kind) -> str:
    """What was measured, for a person."""
    count = len(found[0].gains)
    gains = ", ".join(f"{each.method} {each.mean:.1f}" for each in found)
    items = f"{count} validation {kind.nouns[count != 1]}"
    return f"explanation: {in_order(found, kind)[0]} first ({gains} on {items}; at random 0 ± 1)"


def _path(run: OpenedRun) -> Path:
    """Where it is kept; another run or version has another place."""
    facts: list[Any] = [identity(run), MAX_ITEMS, STEPS, versions(("striate", "torch"))]
    return user_cache_folder() / FOLDER / f"{digest(*facts)}.json"
