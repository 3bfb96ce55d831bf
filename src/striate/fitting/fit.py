"""`fit`: from labelled data to a trained, calibrated, evaluated and explained classifier."""

from __future__ import annotations

import sys
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save

from striate.data import snapshot as lock
from striate.data.dataset import Dataset
from striate.data.layouts import open_source
from striate.data.layouts.node_source import NodeSource
from striate.data.source import Source
from striate.data.splits import SPLITS
from striate.device import choose_device, keep_freed_memory
from striate.errors import DataError, RunError
from striate.files import sha256_file, write_atomic
from striate.fitting.context import Job
from striate.fitting.feeding import FeedPipeline
from striate.fitting.images import ImagePipeline
from striate.fitting.nodes import NodePipeline
from striate.fitting.options import FitConfig, parse_time
from striate.fitting.pipeline import Candidate, Pipeline
from striate.fitting.steps import Ledger
from striate.metrics import Calibration
from striate.progress import Progress
from striate.report import RunFacts, Seconds, write_report
from striate.run.folder import (
    CHECKPOINTS,
    LOCK,
    MODEL,
    ModelRecord,
    NumbersRecord,
    RunFolder,
    RunRecord,
    last_folder,
    next_folder,
)
from striate.run.results import versions, write_history, write_predictions
from striate.run.run import Run
from striate.tasks import Task, Tested, task_of
from striate.typing import PathLike

DEFAULT_MODEL: Final = "efficientnet_lite0"
"""The network of `--model auto`: its ImageNet weights come with Striate, so it works offline."""


def fit(
    data: PathLike | Source,
    *,
    out: PathLike | None = None,
    model: str = "auto",
    weights: str | None = "auto",
    method: str = "auto",
    time: str | float = "10m",
    epochs: int | None = None,
    symmetry: str = "auto",
    image_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 0,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Run:
    """Train a classifier on labelled items, evaluate it once on held-out ones, and explain it.

    Args:
        data: see `striate.data.layouts.open_source`.
        out: run folder to write; `runs/NAME-1`, `-2`, ... by default.
        model: see `FitConfig`, as for all that say likewise.
        weights: likewise.
        method: likewise.
        time: for the whole fit: seconds, or text such as "90s", "10m".
        epochs: likewise; where given, `time` does not limit the training.
        symmetry: likewise.
        image_size: likewise.
        seed: likewise.
        device: likewise.
        workers: likewise.
        options: likewise.
        resume: go on with an interrupted run in `out`, or in the last of the default folders.
        progress: is told of the work; silent by default.
        stop: asked now and then whether to save and stop.

    Raises:
        DataError: the data cannot be used.
        ArgumentError: an option has a value that is not allowed.
        RunError: the folder holds another run, or is in use.
        MachineError: weights, device or disk are not there.
        StoppedError: `stop` said so.
    """
    began = clock.monotonic()
    source = data if isinstance(data, Source) else open_source(str(data))
    config = FitConfig(
        model=DEFAULT_MODEL if model == "auto" and source.kind == "image" else model,
        weights=weights,
        method=method,
        time=parse_time(time),
        epochs=epochs,
        symmetry=symmetry,
        image_size=image_size,
        seed=seed,
        device=device,
        workers=workers,
        options=dict(options or {}),
    )
    config.check_kind(source.kind)
    progress = progress or Progress(quiet=True)
    target = choose_device(config.device)
    keep_freed_memory()
    own_folder = last_folder if resume else next_folder
    folder = RunFolder.create(Path(out) if out else own_folder(Path("runs"), _stem(source.name)))
    with folder.locked():
        if folder.finished():
            if not resume:
                raise RunError(
                    f"run folder {str(folder.path)!r} holds a finished run",
                    fix="choose another folder with --out",
                )
            progress.say(f"{folder.path} is finished already")
            return Run(folder.path, device=device)
        ledger = Ledger(folder, {"data": source.name, **config.choices()}, resume=resume)
        job = Job(
            config=config,
            source=source,
            folder=folder,
            ledger=ledger,
            device=target,
            progress=progress,
            stop=stop or (lambda: False),
            began=began - ledger.seconds("total"),
        )
        ledger.timed("total", lambda: _run(job))
    return Run(folder.path, device=device)


def _run(job: Job) -> None:
    pipeline = _pipeline(job)
    dataset = pipeline.look()
    _accept(job, dataset)
    task = task_of(dataset)
    chosen = pipeline.train(task)
    candidate = chosen.candidate
    val, test = dataset.indices("val"), dataset.indices("test")
    outputs = job.ledger.timed(
        "evaluate", lambda: pipeline.outputs(candidate.predictor, test, "predicting test")
    )
    weights_hash = _write_model(job, candidate)
    calibration = candidate.predictor.calibration
    parts = [(test, outputs)]
    if candidate.outputs is not None:
        parts.insert(0, (val, candidate.outputs))
    write_predictions(job.folder, task, calibration, parts)
    write_history(job.folder, candidate.history)
    report = task.report(
        _facts(job, task, pipeline, candidate),
        Tested(outputs=outputs, calibration=calibration, probe=chosen.probe),
        seed=job.config.seed,
    )
    write_report(report, pipeline.pictures(report, candidate.predictor), job.folder.path)
    # Last: where it is there, the run is whole.
    job.folder.write_record(_record(job, task, pipeline, candidate, weights_hash))
    # Large, and of no use any more.
    for name in ("maps-*.bin", "features.safetensors", "*kernel.safetensors"):
        for path in (job.folder.path / CHECKPOINTS).glob(name):
            path.unlink()


def _pipeline(job: Job) -> Pipeline:
    if isinstance(job.source, NodeSource):
        return NodePipeline(job)
    return ImagePipeline(job) if job.source.kind == "image" else FeedPipeline(job)


def _accept(job: Job, dataset: Dataset) -> None:
    """Tell of the data, and make sure that a resumed fit sees the same."""
    sizes = {part: len(dataset.indices(part)) for part in SPLITS}
    for part, count in sizes.items():
        if not count:
            raise DataError(
                f"{dataset.name}: no item is left for the {part} part",
                why=f"there are {len(dataset.items)} items in {len(dataset.classes)} classes",
                fix="add items, or give another split",
            )
    what, details = task_of(dataset).composition()
    job.progress.say(
        f"data: {len(dataset.items)} items {what} ({details}); "
        f"{sizes['train']} to train, {sizes['val']} to validate, {sizes['test']} to test"
    )
    for note in dataset.notes:
        job.progress.say(f"{note.severity}: {note.message}")
    if dataset.skipped:
        first = dataset.skipped[0]
        job.progress.say(
            f"warning: {len(dataset.skipped)} items left out, the first: {first.id}: {first.reason}"
        )
    if (job.folder.path / LOCK).exists():
        changes = lock.difference(lock.from_json(job.folder.read_json(LOCK)), dataset)
        if changes:
            raise RunError(
                f"cannot resume {str(job.folder.path)!r}: the data changed",
                why="; ".join(changes),
                fix="restore the data, or choose another --out",
            )
    else:
        job.folder.write_json(LOCK, lock.to_json(lock.lock(dataset)))


def _write_model(job: Job, chosen: Candidate) -> str:
    """Write the weights and return their SHA-256."""
    state = {
        name: tensor.cpu().contiguous()
        for name, tensor in chosen.predictor.network.state_dict().items()
    }
    path = job.folder.path / MODEL
    write_atomic(path, save(state))
    return sha256_file(path)


def _facts(job: Job, task: Task, pipeline: Pipeline, chosen: Candidate) -> RunFacts:
    dataset = task.dataset
    counts = task.class_counts()
    return RunFacts(
        striate=version("striate"),
        task=_stem(dataset.name),
        kind=dataset.kind,
        nouns=job.source.nouns,
        run=str(job.folder.path),
        classes=dataset.classes,
        class_counts=() if counts is None else counts.tolist(),
        split_sizes={part: len(dataset.indices(part)) for part in SPLITS},
        method=chosen.method,
        model=chosen.model,
        model_details={
            **chosen.details,
            "parameters": sum(p.numel() for p in chosen.predictor.network.parameters()),
            "input": " x ".join(map(str, pipeline.input_shape())),
            "weights": str(job.config.weights),
            "device": f"{job.device.type}, {torch.get_num_threads()} threads",
        },
        seconds=Seconds(
            total=job.seconds(),
            features=job.ledger.seconds("features"),
            train=job.ledger.seconds("train"),
            evaluate=job.ledger.seconds("evaluate"),
        ),
        notes=dataset.notes,
        skipped=dataset.skipped,
        choices=job.choices,
        history=chosen.history,
        throughput=_throughput(job, dataset, chosen),
    )


def _throughput(job: Job, dataset: Dataset, chosen: Candidate) -> dict[str, float]:
    """Items a second, by what was done."""
    rates = {}
    if job.ledger.seconds("features"):
        rates["features"] = len(dataset.items) / job.ledger.seconds("features")
    if chosen.history:
        rates["train"] = float(np.median([row["samples_per_second"] for row in chosen.history]))
    predicted = len(dataset.indices("test"))
    if chosen.outputs is not None:
        predicted += len(dataset.indices("val"))
    rates["predict"] = predicted / max(job.ledger.seconds("evaluate"), 1e-9)
    return rates


def _record(
    job: Job, task: Task, pipeline: Pipeline, chosen: Candidate, weights_hash: str
) -> RunRecord:
    predictor = chosen.predictor
    calibration = predictor.calibration
    read: dict[str, Any]
    if isinstance(calibration, Calibration):
        read = {"temperature": calibration.temperature, "bias": calibration.bias}
    else:
        interval = calibration.interval
        limits = {} if interval is None else asdict(interval)
        read = {"numbers": NumbersRecord(mean=calibration.mean, std=calibration.std, **limits)}
    return RunRecord(
        striate=version("striate"),
        task=task.name,
        kind=task.dataset.kind,
        data=task.dataset.name,
        classes=task.dataset.classes,
        model=ModelRecord(
            name=chosen.model, options=asdict(predictor.network.config), sha256=weights_hash
        ),
        preprocessing=pipeline.preprocessing(predictor),
        method=chosen.method,
        **read,
        config=asdict(job.config),
        seed=job.config.seed,
        device=str(job.device),
        versions=versions(),
        command=sys.argv,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _stem(name: str) -> str:
    """A name for the run folder from that of the data."""
    return Path(name.removeprefix("sample:")).stem or "run"
