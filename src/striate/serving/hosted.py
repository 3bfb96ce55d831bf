"""A run that is served: loaded, tried out, and measured one item at a time and in batches."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from striate.data.readers.reader import ARRAYS, TEXTS, suffixes_of
from striate.data.source import Item, Reading, UnreadableItem, load_formats
from striate.engines import load_engines
from striate.errors import ArgumentError, RunError, StriateError, UnknownNameError
from striate.progress import Progress
from striate.run.engines.files import ENGINES
from striate.run.engines.measure import measure, measured
from striate.run.engines.narrow import suiting
from striate.run.folder import MODEL, RUN
from striate.run.run import Run
from striate.tasks.prediction import Prediction

MEASURE_SECONDS: Final = 45.0
"""After these no further engine is tried before the server is ready."""

LOG: Final = logging.getLogger("striate.serving")

_TRIALS: Final = 5
"""Times that one item and one batch are computed to see how long they take; the best counts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Hosted:
    """A loaded run.

    Attributes:
        name: Its name in addresses.
        run: The run, its network on its device.
        together: Whether items are computed together.
        batch_size: Items in a batch.
        worthwhile: Waiting items from which on computing them together takes less time; more than
            `batch_size` where it never does.
        example: The prediction of an item of noise, whose fields any other has too; None where no
            such item can be made.
    """

    name: str
    run: Run
    together: bool
    batch_size: int
    worthwhile: int
    example: Prediction | None

    @property
    def version(self) -> str:
        """The first digits of the SHA-256 of its weights."""
        return self.run.record.model.sha256[:12]

    @property
    def written(self) -> bool:
        """Whether its items are written as text (a molecule's SMILES)."""
        return self.run.kind.name in TEXTS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How runs are served.

    Attributes:
        device: Where to compute: "auto", "cpu" or "cuda".
        engine: What answers: "auto", "torch", "onnx" or "openvino"; see `Run`.
        one_by_one: Whether items are never computed together.
        measure: Whether engines that were not measured yet are, where the fastest is to answer.
    """

    device: str = "auto"
    engine: str = "auto"
    one_by_one: bool = False
    measure: bool = False


def loaded(name: str, path: Path, settings: Settings) -> Hosted:
    """A run that is ready to answer.

    Args:
        name: Its name in addresses.
        path: Its folder.
        settings: How it is served.

    Raises:
        RunError: There is no such run, it is damaged, it answers with numbers that are not finite,
            or its items cannot be sent.
        DeviceError: The device is not there.
        EngineError: The engine cannot take the network, or answers otherwise than torch.
        MissingExtraError: The engine is not installed.
    """
    run = Run(path, device=settings.device, engine=settings.engine)
    load_formats()
    kind = run.kind.name
    if not (suffixes_of(kind) or kind in ARRAYS or kind in TEXTS):
        raise RunError(
            f"cannot serve {str(path)!r}",
            why=f"{run.kind.nouns[1]} are not items that can be sent one by one",
            fix="use `striate predict`",
        )
    batch_size = run.predictor.inputs.batch_size or 1
    together = batch_size > 1 and not settings.one_by_one
    if settings.measure and together:
        _measure_engines(name, run)
    run.make_ready()
    reading, example, worthwhile = _noise(run), None, 2
    if reading is not None:
        readings, items = [reading], [Item(id="noise")]
        example = run.predicted(items, readings)[0]
        if not is_finite(example):
            raise RunError(f"cannot serve {str(path)!r}", why="its answers are not finite numbers")
        if together:
            alone, filled = _seconds(
                lambda: run.predicted(items, readings),
                lambda: run.predicted(items, readings, together=True),
            )
            worthwhile = max(2, math.ceil(filled / alone))
    return Hosted(
        name=name,
        run=run,
        together=together,
        batch_size=batch_size,
        worthwhile=worthwhile,
        example=example,
    )


def _measure_engines(name: str, run: Run) -> None:
    """Find the fastest engine, unless it is known or the user has named one."""
    if run.engine != "auto" or run.device.type != "cpu" or measured(run) is not None:
        return
    installed = [engine for engine in map(load_engines().get, ENGINES) if not engine.missing()]
    if not (installed or suiting(run)):
        return
    LOG.info("%s: measuring once on this machine which engine is the fastest", name)
    try:
        measure(run, seconds=MEASURE_SECONDS, progress=Progress(quiet=True))
    except StriateError as error:  # of graphs, for one, whose networks no other engine takes
        LOG.info("%s: torch answers, for engines cannot be measured: %s", name, error)


def reloaded(hosted: Hosted, settings: Settings) -> Hosted:
    """The run as its folder holds it now.

    Raises:
        RunError: One of its files is not what the run wrote, or it cannot be served.
    """
    run = Run(hosted.run.folder.path, device=settings.device)
    for name in run.folder.damaged():
        if name in (RUN, MODEL):
            raise run.folder.changed(name)
    return loaded(hosted.name, run.folder.path, settings)


def is_finite(prediction: Prediction) -> bool:
    """Whether each number of a prediction is finite."""
    return _is_finite(prediction.to_json())


def _is_finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _noise(run: Run) -> Reading | None:
    """An item of noise as the run takes it; None where its items are no arrays of one shape."""
    inputs = run.predictor.inputs
    shape = inputs.input_shape if len(inputs.input_shape) > 1 else (*inputs.input_shape, 4)
    values = np.random.default_rng(0).integers(0, 256, shape)
    for dtype in (np.uint8, np.float32):
        try:
            return inputs.checked(Reading(array=values.astype(dtype), sha256=""))
        except (UnreadableItem, ArgumentError):
            continue
    return None


def _seconds(*works: Callable[[], object]) -> list[float]:
    """How long each takes, at best, in turns, so that other work disturbs all alike."""
    for work in works:
        work()
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(_TRIALS):
        for work, seconds in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return list(map(min, taken))


class Hosts:
    """The runs of a server, by name.

    Args:
        folders: The folder of each run by its name; the first is the one that answers where none
            is named.
        settings: How they are served.
    """

    def __init__(self, folders: Mapping[str, Path], settings: Settings | None = None) -> None:
        self._folders, self._settings = dict(folders), settings or Settings()
        self._hosted: dict[str, Hosted] = {}
        self._loading = threading.Lock()

    def __iter__(self) -> Iterator[Hosted]:
        """The runs that are loaded, the first one first."""
        return iter(list(self._hosted.values()))

    @property
    def names(self) -> list[str]:
        """The names of all runs."""
        return list(self._folders)

    @property
    def ready(self) -> bool:
        """Whether each run is loaded."""
        return len(self._hosted) == len(self._folders)

    def load(self) -> None:
        """Load each run; raises StriateError for the first that cannot be."""
        with self._loading:
            for name, folder in self._folders.items():
                self._hosted[name] = loaded(name, folder, self._settings)

    def reload(self) -> list[StriateError]:
        """Load each run anew; one that cannot be stays as it was, and its error is returned."""
        errors: list[StriateError] = []
        with self._loading:
            for hosted in self:
                try:
                    self._hosted[hosted.name] = reloaded(hosted, self._settings)
                except StriateError as error:
                    errors.append(error)
                except Exception as error:  # a bug, no memory: the old one goes on all the same
                    what = f"cannot load {hosted.name!r} anew"
                    errors.append(RunError(what, why=f"{type(error).__name__}: {error}"))
        return errors

    def named(self, name: str | None) -> Hosted | None:
        """The run of a name, or the first; None while it is not loaded.

        Raises:
            UnknownNameError: There is none of that name.
        """
        name = self.names[0] if name is None else name
        if name not in self._folders:
            raise UnknownNameError("model", name, self._folders)
        return self._hosted.get(name)


def named_folders(paths: Sequence[Path]) -> dict[str, Path]:
    """Each run's folder by the name it is served under, that of the folder.

    Raises:
        ArgumentError: Two have one name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        name = path.resolve().name
        if name in found:
            raise ArgumentError(
                f"two runs are named {name!r}",
                why=f"{found[name]} and {path}",
                fix="rename one of the folders",
            )
        found[name] = path
    return found
