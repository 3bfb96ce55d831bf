"""Whether a file's answers are those of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from striate.data import snapshot as lock
from striate.data.layouts.layout import open_source
from striate.data.source import Reading, Skip
from striate.engines import Session
from striate.engines.engine import library_errors
from striate.errors import StriateError, one_line
from striate.metrics.novelty import is_unknown
from striate.progress import Progress
from striate.run.deployment.novelty import OUTPUT
from striate.run.folder import LOCK
from striate.run.opened import OpenedRun
from striate.tasks.prediction import Promise

BATCH_SIZE: Final = 8
"""Items that are checked together."""

TOLERANCE: Final = 1e-3
"""Difference of a probability, or of a number relative to the largest or to 1, that is refused.

Below it a class can differ only in a tie of the two.
"""

NOVELTY_TOLERANCE: Final = 0.01
"""Difference of a novelty, relative to its size or to 1, that is refused. Novelty counts standard
deviations of known items, so that below it a verdict can differ only at the threshold."""

MOST_CHECKED: Final = 512
"""Test items that are answered by both, spread over all."""

TEST_ITEMS: Final = "test items"

Decided: TypeAlias = "tuple[str | None, bool | None, list[str] | None]"
"""The class that an item is taken for, whether that is too unsure, and its labels of several."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How one output beside the answers compares with what the run says.

    Attributes:
        name: Of the output.
        same: Items of which both say the same: the class or labels that are decided on, the set of
            classes, the interval, or whether the item is unknown.
        ties: Items of which they do not, by the rounding of the answers alone.
        count: All items.
        largest: Largest difference of a novelty, relative to its size or to 1; None of others.
    """

    name: str
    same: int
    ties: int
    count: int
    largest: float | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing differs but ties."""
        return self.same + self.ties == self.count

    def as_text(self) -> str:
        """A clause for a person."""
        ties = f" and {self.ties} in a tie" if self.ties else ""
        apart = "" if self.largest is None else f", apart by at most {self.largest:.1e}"
        return f"{self.name} the same for {self.same}{ties}{apart}"


@dataclass(frozen=True, kw_only=True)
class Check:
    """How a file's answers compare with the run's.

    Attributes:
        items: What was answered by both: `TEST_ITEMS`, or "random inputs".
        count: How many.
        same: With the same class or labels; of numbers, those that differ by no more than
            `TOLERANCE`.
        largest: Largest difference of a probability, or of a number relative to the largest or
            to 1. It decides.
        outputs: Largest difference of an uncalibrated output, relative to the largest or to 1.
        beside: Of the outputs beside the answers; they decide too.
    """

    items: str
    count: int
    same: int
    largest: float
    outputs: float
    beside: Sequence[Agreement] = ()

    @property
    def passed(self) -> bool:
        """Whether the file may be used in the run's place."""
        return self.largest <= TOLERANCE and all(output.passed for output in self.beside)

    @property
    def agrees(self) -> bool:
        """Whether, besides, every item has the same class or labels."""
        return self.passed and self.same == self.count

    def as_text(self) -> str:
        """A line for a person."""
        line = (
            f"{self.same} of {self.count} {self.items} answered the same; predictions differ by at "
            f"most {self.largest:.1e} ({TOLERANCE:g} is allowed), outputs by {self.outputs:.1e}"
        )
        return "; ".join([line, *(output.as_text() for output in self.beside)])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Said:
    """What the run says of some items: uncalibrated outputs, answers, and novelty if it is known."""

    outputs: NDArray[Any]
    answers: NDArray[Any]
    novelty: Float[np.ndarray, " n"] | None


def compare_answers(
    session: Session,
    trained: OpenedRun,
    example: Tensor,
    progress: Progress,
    beside: Sequence[str] = (),
) -> Check:
    """Both answers to the run's test items, or to noise where they cannot be read.

    Args:
        session: Answers in the run's place.
        trained: The run, opened on the CPU.
        example: Inputs of a few items.
        progress: Told of the work.
        beside: Names of the outputs after the answers that are judged too.
    """
    batches = _test_batches(trained, progress)
    items, pairs = TEST_ITEMS, _answered(session, trained, batches, beside)
    if not pairs:
        progress.say("random inputs take the place of the test items")
        items, pairs = "random inputs", _answered(session, trained, _noise(example), beside)
    run, file = _joined(pairs)
    apart = np.maximum(
        _apart(run.answers, file[1]), _apart(run.answers, trained.calibration.answers(file[0]))
    )
    promise = trained.calibration.promise
    judged = []
    for name, given in zip(beside, file[2 : 2 + len(beside)], strict=True):
        if promise is not None and name == promise.name:
            judged.append(judged_promise(promise, run.answers, file[1], given))
        elif name == OUTPUT and run.novelty is not None:
            judged.append(judged_novelty(run.novelty, given))
    return Check(
        items=items,
        count=len(apart),
        same=int(_same(trained, (run.outputs, file[0]), apart).sum()),
        largest=float(apart.max()),
        outputs=float(_apart(run.outputs, file[0]).max()),
        beside=tuple(judged),
    )


def judged_promise(
    promise: Promise, expected: NDArray[Any], got: NDArray[Any], given: NDArray[Any]
) -> Agreement:
    """How the promises of a file compare with the run's.

    Args:
        promise: Of the run.
        expected: The run's answers.
        got: The file's answers.
        given: What the file promises with them.
    """
    same = promise.same(promise.of(expected), given)
    tied = ~same & promise.follows(got, given)
    return Agreement(name=promise.name, same=int(same.sum()), ties=int(tied.sum()), count=len(same))


def judged_decisions(
    expected: Sequence[Decided], got: Sequence[Decided], asked: Sequence[Decided]
) -> Agreement:
    """How what a file decides compares with what the run decides.

    Args:
        expected: What the run decides.
        got: What is decided by the file.
        asked: What the run would decide of the file's answers.
    """
    rows = list(zip(expected, got, asked, strict=True))
    same = sum(wanted == found for wanted, found, _ in rows)
    ties = sum(wanted != found == own for wanted, found, own in rows)
    return Agreement(name="decision", same=same, ties=ties, count=len(rows))


def judged_novelty(
    expected: Float[np.ndarray, " n"],
    given: Float[np.ndarray, " n"],
    tolerance: float = NOVELTY_TOLERANCE,
) -> Agreement:
    """How the novelty that a file tells compares with the run's.

    Args:
        expected: What the run says.
        given: What the file says.
        tolerance: Difference, relative to the size of a novelty or to 1, up to which they agree.
    """
    apart = np.abs(expected - given) / np.maximum(1.0, np.abs(expected))
    near: Bool[np.ndarray, " n"] = apart <= tolerance
    same = is_unknown(expected) == is_unknown(given)
    return Agreement(
        name=OUTPUT,
        same=int((near & same).sum()),
        ties=int((near & ~same).sum()),
        count=len(same),
        largest=float(apart.max(initial=0.0)),
    )


def _answered(
    session: Session, trained: OpenedRun, batches: Iterable[Tensor], beside: Sequence[str]
) -> list[tuple[_Said, tuple[NDArray[Any], ...]]]:
    """What the run and the file answer to each batch."""
    pairs = []
    for batch in batches:
        with library_errors("the file does not answer"):
            answered = session(batch.numpy())
        pairs.append((_expected(trained, batch, novelty=OUTPUT in beside), answered))
    return pairs


def _joined(
    pairs: Sequence[tuple[_Said, tuple[NDArray[Any], ...]]],
) -> tuple[_Said, list[NDArray[Any]]]:
    """All batches as one."""
    said = [run for run, _ in pairs]
    novelty = [part.novelty for part in said if part.novelty is not None]
    run = _Said(
        outputs=np.concatenate([part.outputs for part in said]),
        answers=np.concatenate([part.answers for part in said]),
        novelty=np.concatenate(novelty) if novelty else None,
    )
    return run, [np.concatenate(parts) for parts in zip(*(file for _, file in pairs), strict=True)]


def _expected(trained: OpenedRun, inputs: Tensor, *, novelty: bool) -> _Said:
    """The run's own outputs, the answers that it makes of them, and the novelty if wanted."""
    filled = inputs.clone()  # the answers must not change what the file is given
    with torch.inference_mode():
        described = trained.predictor.described(filled).first(len(inputs))
    outputs, detector = described.outputs.numpy(), trained.novelty_detector
    wanted = novelty and detector is not None
    return _Said(
        outputs=outputs,
        answers=trained.calibration.answers(outputs),
        novelty=detector.novelty(described.features.numpy()) if wanted and detector else None,
    )


def _apart(expected: NDArray[Any], got: NDArray[Any]) -> NDArray[np.float64]:
    """(items,) largest difference of each item, relative to the largest number or to 1."""
    differences = np.abs(expected.astype(np.float64) - got).reshape(len(expected), -1).max(1)
    return np.asarray(differences / max(1.0, float(np.abs(expected).max())))


def _same(
    trained: OpenedRun, raw: Sequence[NDArray[Any]], apart: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """(items,) Whether both outputs mean the same class or labels, or a number that is as good."""
    ids = [str(number) for number in range(len(apart))]
    expected, got = (
        trained.task.predictions(
            ids, torch.from_numpy(outputs), trained.calibration, trained.classes
        )
        for outputs in raw
    )
    alike = [(a.label, a.labels) == (b.label, b.labels) for a, b in zip(expected, got, strict=True)]
    return np.array(alike) & (bool(trained.classes) | (apart <= TOLERANCE))


def _test_batches(trained: OpenedRun, progress: Progress) -> Iterator[Tensor]:
    """Inputs of test items; none, and a word about it, where the data are gone."""
    try:
        source = open_source(trained.record.data, trained.record.kind)
        locked = lock.from_json(trained.folder.read_json(LOCK))
    except StriateError as error:
        progress.say(f"the test items cannot be read: {one_line(str(error))}")
        return
    names = locked.tested()
    count = min(MOST_CHECKED, len(names))
    chosen = {names[len(names) * i // count] for i in range(count)}
    items = [item for item in source.listing.items if item.id in chosen]
    inputs = trained.predictor.inputs
    readings: list[Reading] = []
    with progress.track("checking", len(items), "items") as tracker:
        for _, reading in trained.read(source, items):
            tracker.advance()
            if isinstance(reading, Skip):
                continue
            readings.append(reading)
            if len(readings) == BATCH_SIZE:
                yield inputs.inputs(readings)
                readings = []
    if readings:
        yield inputs.inputs(readings)


def _noise(example: Tensor) -> Iterator[Tensor]:
    """Random inputs like the example, in batches of different sizes."""
    generator = torch.Generator().manual_seed(0)
    shape = (2 * BATCH_SIZE, *example.shape[1:])
    if example.dtype == torch.uint8:
        noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    else:
        noise = torch.randn(shape, generator=generator)
    yield from torch.split(noise, BATCH_SIZE - 1)
