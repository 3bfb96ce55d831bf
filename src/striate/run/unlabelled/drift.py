"""`drift`: whether new items without labels are like those that a run was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from striate.data.source import Item, Reading
from striate.data.unlabelled import Input
from striate.errors import MAX_SEED, RunError, check_whole, one_line
from striate.metrics.novelty import FALSE_ALARMS
from striate.metrics.unlabelled.held_out import MAX_MEASURED, FeatureSample, HeldOutItems, drawn
from striate.metrics.unlabelled.two_sample import classifier_test, holm
from striate.progress import ProgressLike, as_progress
from striate.run.run import Run
from striate.run.unlabelled.checks import (
    LEVEL,
    Check,
    ClassShare,
    Difference,
    answers_p_value,
    class_shares,
    differences,
    unknown_p_value,
)
from striate.run.unlabelled.looking import Seen, look_at
from striate.run.unlabelled.times import Times, times_of
from striate.run.unlabelled.verdict import verdict
from striate.tasks.prediction import Prediction

FEW: Final = 50
"""Items of either side below which only a strong change is seen."""

MAX_WINDOWS: Final = 10
MIN_WINDOW: Final = 20
"""Items in a window of time, at least."""

NUM_STRANGEST: Final = 24


@dataclass(frozen=True, kw_only=True)
class Window:
    """New items that follow each other in time.

    Attributes:
        first: Time of the first of them, as it was given.
        last: Time of the last.
        count: Number of them.
        unknown: Share of them that are taken for none of the classes; None where not known.
        told_apart: Area under the ROC curve of a classifier that tells them from held-out items.
        p_value: Of the test that they are like these, raised for the number of windows.
        found: Whether they differ.
    """

    first: str
    last: str
    count: int
    unknown: float | None
    told_apart: float
    p_value: float
    found: bool


@dataclass(frozen=True, kw_only=True)
class Drift:
    """New items against the held-out items of a run.

    Attributes:
        run: Folder of the run.
        data: Name of the new data.
        nouns: What one item and several are called.
        num_items: Number of new items that could be read.
        num_skipped: Number of those that could not.
        num_known: Number of held-out items that they are compared with.
        drifted: Whether they differ from these.
        verdict: That in a sentence, with what to do.
        told_apart: Area under the ROC curve of a classifier that tells both apart by the features.
        checks: The tests, each judged with the others in mind.
        differences: Plain figures in which the items differ, the clearest first.
        classes: How often each class is predicted; empty where numbers are.
        windows: The new items over time; empty where no time is known.
        time: Where the time comes from; empty where it is not known.
        strangest: New items that are least like known ones, and how unlike, the strangest first.
        notes: What limits these answers.
        seen: The items themselves.
    """

    run: str
    data: str
    nouns: tuple[str, str]
    num_items: int
    num_skipped: int
    num_known: int
    drifted: bool
    verdict: str
    told_apart: float
    checks: tuple[Check, ...]
    differences: tuple[Difference, ...]
    classes: tuple[ClassShare, ...]
    windows: tuple[Window, ...]
    time: str
    strangest: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]
    seen: Seen

    def as_json(self) -> dict[str, Any]:
        """The document of `striate drift --json`."""
        return {
            "run": self.run,
            "data": self.data,
            "items": self.num_items,
            "skipped": self.num_skipped,
            "known": self.num_known,
            "drifted": self.drifted,
            "verdict": self.verdict,
            "told_apart": self.told_apart,
            "level": LEVEL,
            "checks": [asdict(check) for check in self.checks],
            "differences": [asdict(one) for one in self.differences],
            "classes": [asdict(row) for row in self.classes],
            "time": self.time,
            "windows": [asdict(window) for window in self.windows],
            "strangest": [{"item": item, "novelty": value} for item, value in self.strangest],
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """The verdict, then what was tested, a line each."""
        lines = [self.verdict]
        lines += [f"{'differs' if c.found else 'alike'}: {c.says}" for c in self.checks]
        lines += [f"differs: they are {one.as_text()}" for one in self.differences[:3]]
        for row in self.classes:
            if row.found:
                lines.append(f"differs: what is taken for {row.name} is unlike known items of it")
        for window in self.windows:
            strange = "" if window.unknown is None else f", {window.unknown:.0%} unknown"
            word = "differs" if window.found else "alike"
            lines.append(
                f"{word}: {window.first} to {window.last}, {window.count} items{strange}, "
                f"told apart {window.told_apart:.2f}"
            )
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(map(one_line, lines))


def drift(
    run: Run,
    data: Sequence[Input] | Input,
    *,
    time: str = "auto",
    seed: int = 0,
    progress: ProgressLike = None,
) -> Drift:
    """Compare new items with the held-out items of a run; see `Run.drift`.

    Args:
        run: The run.
        data: What `Run.predict` takes.
        time: Column of a manifest by which windows of time are compared; "auto", "order", "none".
        seed: Seed of the draws and of the permutations.
        progress: Told of the work.

    Raises:
        DataError: There is nothing to read, or the time cannot be.
        RunError: The run keeps no held-out items.
        OptionError: The seed is none.
    """
    check_whole("seed", seed, 0, MAX_SEED)
    held_out = run.held_out
    if held_out is None:
        raise RunError(
            f"{str(run.folder.path)!r} keeps no held-out items to compare with",
            why="an earlier version wrote it, or its network has no features",
            fix="fit again",
        )
    source = run.open(data)
    times = times_of(data, len(source.listing.items), time)
    sample = FeatureSample(len(source.listing.items), seed)
    measured = set(drawn(len(source.listing.items), MAX_MEASURED, seed + 1).tolist())
    figures: list[dict[str, float]] = []

    def measure(position: int, item: Item, reading: Reading) -> None:
        if position in measured:
            figures.append(run.kind.measured(reading, source.path(item)))

    def take(predictions: Sequence[Prediction], features: Float[np.ndarray, "b f"]) -> None:
        sample.take(features)

    seen = look_at(run, source, answered=take, reading=measure, progress=as_progress(progress))
    new = held_out.rounded(held_out.as_stored(sample.features))
    return compared(run, held_out, seen, new, sample.positions, figures, times, seed)


def compared(
    run: Run,
    held_out: HeldOutItems,
    seen: Seen,
    new: Float[np.ndarray, "k m"],
    sampled: Int[np.ndarray, " k"],
    figures: Sequence[dict[str, float]],
    times: Times | None = None,
    seed: int = 0,
) -> Drift:
    """Compare new items that a run has looked at with held-out ones.

    Args:
        run: The run.
        held_out: Its held-out items.
        seen: The new items with their predictions.
        new: Features of some of them, as `HeldOutItems.rounded` gives them.
        sampled: Positions of these among the new items.
        figures: Plain figures of some new items, drawn at random.
        times: When each item came to be; None where that is not known.
        seed: Seed of the permutations.
    """
    import torch

    known = held_out.values
    ids = [str(number) for number in range(len(held_out.outputs))]
    answers = run.answers([Item(id=name) for name in ids], torch.from_numpy(held_out.outputs))
    apart = classifier_test(known, new, seed=seed)
    found, traits_p = differences(held_out.traits, _by_name(figures))
    asked: list[Check | None] = [
        Check(
            name="features",
            p_value=apart.p_value,
            found=False,
            says="in the network's features a classifier tells new items from held-out ones with "
            f"an area under the ROC curve of {apart.told_apart:.2f} (0.5 is chance)",
        ),
        _unknown_check(run, held_out, seen.predictions),
        _answers_check(answers, [seen.predictions[place] for place in sampled], seed),
    ]
    if held_out.traits and figures:
        says = "plain figures, such as size and brightness, of "
        says += f"{len(figures)} new items and {_length(held_out.traits)} test items"
        asked.append(Check(name="plain-figures", p_value=traits_p, found=False, says=says))
    checks = _judged([check for check in asked if check is not None])
    windows = () if times is None else _windows(known, seen, new, sampled, times, seed)
    if windows:
        # At a level of their own: their p-values are raised for their number already.
        least = min(window.p_value for window in windows)
        says = f"{len(windows)} windows of time, each against the held-out items"
        checks.append(Check(name="windows", p_value=least, found=least <= LEVEL, says=says))
    classes = class_shares(
        run.classes, answers, seen.predictions, (known[: len(answers)], new), sampled, seed
    )
    strange = sorted(seen.predictions, key=lambda p: -(p.novelty or -np.inf))
    strangest = [
        (p.item, p.novelty) for p in strange[:NUM_STRANGEST] if p.unknown and p.novelty is not None
    ]
    result = Drift(
        run=str(run.folder.path),
        data=seen.source.name,
        nouns=run.kind.nouns,
        num_items=len(seen.predictions),
        num_skipped=seen.num_skipped,
        num_known=len(known),
        drifted=any(check.found for check in checks),
        verdict="",
        told_apart=apart.told_apart,
        checks=tuple(checks),
        differences=tuple(found) if any(check.found for check in checks) else (),
        classes=tuple(classes),
        windows=windows,
        time=times.column if windows and times is not None else "",
        strangest=tuple(strangest),
        notes=_notes(held_out, seen, times, windows),
        seen=seen,
    )
    return replace(result, verdict=verdict(result))


def _judged(checks: Sequence[Check]) -> list[Check]:
    raised = holm(np.array([check.p_value for check in checks])).tolist()
    return [
        replace(check, p_value=p, found=p <= LEVEL) for check, p in zip(checks, raised, strict=True)
    ]


def _unknown_check(
    run: Run, held_out: HeldOutItems, predictions: Sequence[Prediction]
) -> Check | None:
    """Whether more items are unknown than should be; None where the run does not tell."""
    detector = run.novelty_detector
    if detector is None:
        return None
    new = np.array([bool(prediction.unknown) for prediction in predictions])
    known = held_out.novelty > 0
    promised = max(detector.false_alarms, FALSE_ALARMS)
    usual = float(known.mean()) if len(known) else promised
    return Check(
        name="unknown",
        p_value=unknown_p_value(known, new, promised),
        found=False,
        says=f"{new.mean():.1%} of the new items are unknown, {usual:.1%} of the test items",
    )


def _answers_check(known: Sequence[Prediction], new: Sequence[Prediction], seed: int) -> Check:
    says = f"what is predicted for {len(new)} new items and {len(known)} test items"
    p_value = answers_p_value(known, new, seed)
    return Check(name="predictions", p_value=p_value, found=False, says=says)


def _by_name(figures: Sequence[dict[str, float]]) -> dict[str, NDArray[np.float64]]:
    names = dict.fromkeys(name for row in figures for name in row)
    return {name: np.array([row.get(name, np.nan) for row in figures]) for name in names}


def _length(traits: Any) -> int:
    return max(map(len, traits.values()))


def _windows(
    known: NDArray[np.float64],
    seen: Seen,
    new: NDArray[np.float64],
    sampled: NDArray[np.int64],
    times: Times,
    seed: int,
) -> tuple[Window, ...]:
    """Windows of about as many items each; none where there are too few items for two."""
    count = min(MAX_WINDOWS, len(sampled) // MIN_WINDOW)
    if count < 2:
        return ()
    places = np.asarray(seen.places)
    order = np.argsort(times.order[places], kind="stable")
    window_of = np.empty(len(order), np.int64)
    window_of[order] = np.arange(len(order)) * count // len(order)
    windows = []
    for number in range(count):
        inside = order[window_of[order] == number]
        told = [seen.predictions[place].unknown for place in inside]
        strange = [bool(unknown) for unknown in told if unknown is not None]
        test = classifier_test(known, new[window_of[sampled] == number], seed=seed)
        windows.append(
            Window(
                first=times.names[places[inside[0]]],
                last=times.names[places[inside[-1]]],
                count=len(inside),
                unknown=float(np.mean(strange)) if strange else None,
                told_apart=test.told_apart,
                p_value=test.p_value,
                found=False,
            )
        )
    raised = holm(np.array([window.p_value for window in windows])).tolist()
    return tuple(
        replace(window, p_value=p, found=p <= LEVEL)
        for window, p in zip(windows, raised, strict=True)
    )


def _notes(
    held_out: HeldOutItems, seen: Seen, times: Times | None, windows: Sequence[Window]
) -> tuple[str, ...]:
    notes = []
    known, new = len(held_out.features), len(seen.predictions)
    if min(known, new) < FEW:
        notes.append(
            f"of {new} new items and {known} held-out ones only a strong change can be seen"
        )
    if len(np.unique(held_out.groups)) < known / 2:
        notes.append(
            f"the held-out items are of {len(np.unique(held_out.groups))} groups: new groups, such "
            "as other patients, differ from them even where nothing has changed"
        )
    if seen.num_skipped:
        notes.append(f"{seen.num_skipped} items could not be read")
    if times is not None and not windows:
        notes.append(f"too few items for windows of time: {2 * MIN_WINDOW} make two")
    return tuple(notes)
