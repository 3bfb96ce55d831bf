"""`fit`: from labelled data to a trained, calibrated, evaluated and explained classifier."""

from __future__ import annotations

import sys
import time as clock
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from striate.data import lock
from striate.data.dataset import Dataset
from striate.data.prepare import prepare
from striate.data.source import Source
from striate.data.sources import open_source
from striate.device import choose_device, keep_freed_memory
from striate.errors import DataError, RunError
from striate.progress import Progress
from striate.recipes.candidates import Baseline, Candidate, best_candidate
from striate.recipes.choices import choose_image_size
from striate.recipes.config import FitConfig, parse_time
from striate.recipes.job import Job
from striate.recipes.ledger import Ledger
from striate.recipes.results import (
    mistake_pictures,
    predict_items,
    versions,
    write_history,
    write_predictions,
)
from striate.recipes.trained import Run
from striate.report import Choice, Report, RunFacts, Seconds, TestItems, build_report, write_report
from striate.run import (
    CHECKPOINTS,
    LOCK,
    MODEL,
    ModelRecord,
    PreprocessingRecord,
    RunFolder,
    RunRecord,
    last_folder,
    next_folder,
    sha256_file,
    write_atomic,
)
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
    resume: bool = False,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> Run:
    """Train a classifier on labelled images, evaluate it once on held-out ones, and explain it.

    Args:
        data: see `striate.data.sources.open_source`.
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
    config = FitConfig(
        model=DEFAULT_MODEL if model == "auto" else model,
        weights=weights,
        method=method,  # type: ignore[arg-type]  # FitConfig checks it
        time=parse_time(time),
        epochs=epochs,
        symmetry=symmetry,
        image_size=image_size,
        seed=seed,
        device=device,
        workers=workers,
    )
    progress = progress or Progress(quiet=True)
    target = choose_device(config.device)
    keep_freed_memory()
    source = data if isinstance(data, Source) else open_source(str(data))
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
    size = int(job.decide("image size", lambda: _image_size(job)))
    dataset = _look_at_data(job, size)
    chosen, baseline = best_candidate(job, dataset, size)
    test = dataset.indices("test")
    logits = job.ledger.timed(
        "evaluate",
        lambda: predict_items(
            chosen.predictor, dataset, test, size, job.progress, "predicting test", job.stop
        ),
    )
    weights_hash = _write_model(job, chosen)
    val_probabilities, test_probabilities = (
        chosen.predictor.probabilities(part) for part in (chosen.logits, logits)
    )
    write_predictions(
        job.folder,
        dataset,
        [(dataset.indices("val"), val_probabilities), (test, test_probabilities)],
    )
    write_history(job.folder, chosen.history)
    report = _report(job, dataset, size, chosen, baseline, logits)
    pictures = mistake_pictures(report, chosen.predictor, dataset, size)
    write_report(report, pictures, job.folder.path)
    # Last: where it is there, the run is whole.
    job.folder.write_record(_record(job, dataset, size, chosen, weights_hash))
    for name in ("maps-*.bin", "features.safetensors"):  # large, and of no use any more
        for path in (job.folder.path / CHECKPOINTS).glob(name):
            path.unlink()


def _image_size(job: Job) -> tuple[str, Choice]:
    size, choice = choose_image_size(job.source, job.config.image_size)
    return str(size), choice


def _look_at_data(job: Job, size: int) -> Dataset:
    """Read, check and split the data, and make sure that a resumed fit sees the same."""
    dataset = prepare(job.source, size=size, seed=job.config.seed, progress=job.progress)
    sizes = {part: len(dataset.indices(part)) for part in ("train", "val", "test")}
    for part, count in sizes.items():
        if not count:
            raise DataError(
                f"{dataset.name}: no item is left for the {part} part",
                why=f"there are {len(dataset.items)} items in {len(dataset.classes)} classes",
                fix="add items, or give another split",
            )
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    classes = ", ".join(
        f"{name} {count}" for name, count in list(zip(dataset.classes, counts, strict=True))[:10]
    )
    job.progress.say(
        f"data: {len(dataset.items)} items in {len(dataset.classes)} classes ({classes}); "
        f"{sizes['train']} to train, {sizes['val']} to validate, {sizes['test']} to test"
    )
    for note in dataset.notes:
        job.progress.say(f"{note.severity}: {note.message}")
    if dataset.skipped:
        first = dataset.skipped[0]
        job.progress.say(
            f"warning: {len(dataset.skipped)} files left out, the first: {first.id}: {first.reason}"
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
    return dataset


def _write_model(job: Job, chosen: Candidate) -> str:
    """Write the weights and return their SHA-256."""
    state = {
        name: tensor.cpu().contiguous()
        for name, tensor in chosen.predictor.network.state_dict().items()
    }
    path = job.folder.path / MODEL
    write_atomic(path, save(state))
    return sha256_file(path)


def _report(
    job: Job,
    dataset: Dataset,
    size: int,
    chosen: Candidate,
    baseline: Baseline | None,
    logits: Tensor,
) -> Report:
    test = dataset.indices("test")
    train = dataset.indices("train")
    network = chosen.predictor.network
    others = np.isin(
        dataset.duplicate_groups[test], dataset.duplicate_groups[dataset.splits != "test"]
    )
    facts = RunFacts(
        striate=version("striate"),
        task=_stem(dataset.name),
        kind=dataset.kind,
        run=str(job.folder.path),
        classes=dataset.classes,
        class_counts=np.bincount(dataset.labels[train], minlength=len(dataset.classes)).tolist(),
        split_sizes={part: len(dataset.indices(part)) for part in ("train", "val", "test")},
        method=chosen.method,
        model=job.config.model,
        model_details={
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "input": f"{network.config.in_channels} x {size} x {size}",
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
    items = TestItems(
        ids=dataset.ids(test),
        labels=dataset.labels[test],
        logits=logits.double().numpy(),
        calibration=chosen.predictor.calibration,
        groups=dataset.duplicate_groups[test],
        probe_probabilities=(
            None
            if baseline is None
            else baseline.probe.predict_proba(baseline.features[test]).double().numpy()
        ),
        leaked=others if others.any() else None,
    )
    return build_report(facts, items, seed=job.config.seed)


def _throughput(job: Job, dataset: Dataset, chosen: Candidate) -> dict[str, float]:
    """Items a second, by what was done."""
    rates = {}
    if job.ledger.seconds("features"):
        rates["features"] = len(dataset.items) / job.ledger.seconds("features")
    if chosen.history:
        rates["train"] = float(np.median([row["samples_per_second"] for row in chosen.history]))
    held_out = len(dataset.indices("val")) + len(dataset.indices("test"))
    rates["predict"] = held_out / max(job.ledger.seconds("evaluate"), 1e-9)
    return rates


def _record(
    job: Job, dataset: Dataset, size: int, chosen: Candidate, weights_hash: str
) -> RunRecord:
    predictor = chosen.predictor
    return RunRecord(
        striate=version("striate"),
        task="classification",
        kind=dataset.kind,
        data=dataset.name,
        classes=dataset.classes,
        model=ModelRecord(
            name=job.config.model, options=asdict(predictor.network.config), sha256=weights_hash
        ),
        preprocessing=PreprocessingRecord(
            mean=predictor.network.preprocessing.mean,
            std=predictor.network.preprocessing.std,
            image_size=size,
            symmetry=predictor.symmetry,
        ),
        method=chosen.method,
        temperature=predictor.calibration.temperature,
        bias=predictor.calibration.bias,
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
