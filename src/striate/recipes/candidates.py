"""The models a fit can end with: a probe, a fine-tuned network, a network from scratch."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from striate.data.dataset import Dataset
from striate.data.symmetry import SYMMETRIES
from striate.metrics import Calibration, fit_calibration, negative_log_likelihood
from striate.models import Network, create_model
from striate.progress import duration
from striate.recipes import finetune
from striate.recipes.baseline import features_of, probe_of, transformed_logits
from striate.recipes.choices import choose_symmetry
from striate.recipes.job import Job
from striate.recipes.predictor import Predictor
from striate.recipes.results import predict_items
from striate.report import Choice
from striate.train.plan import Deadline, TrainPlan
from striate.transfer.probe import LinearProbe

BATCH_SIZE: Final = 32

_LEAST_TUNING: Final = 20.0
"""Seconds below which fine-tuning is not begun."""

_REPORTING: Final = 12.0
"""Seconds kept back for the report and its pictures."""

_EVALUATION_SHARE: Final = 0.2
"""Of the time, the most that predicting held-out items may take; fewer symmetries if it is more."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that may be the result.

    Attributes:
        method: how it was trained.
        predictor: calibrated on the validation items.
        logits: of the validation items, uncalibrated.
        log_loss: of the validation items, calibrated.
        history: a row an epoch.
    """

    method: str
    predictor: Predictor
    logits: Tensor
    log_loss: float
    history: Sequence[dict[str, float]] = ()


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The probe and the frozen features of all items."""

    probe: LinearProbe
    features: Tensor


def best_candidate(job: Job, dataset: Dataset, size: int) -> tuple[Candidate, Baseline | None]:
    """Train what the method asks for, and choose on the validation items alone.

    Raises:
        WeightsError: the pretrained weights do not fit.
        WeightsUnavailableError: they are not on this machine, nor to be had.
        StoppedError: the user asked to stop.
    """
    method = job.config.method
    if method == "scratch":
        return _from_scratch(job, dataset, size), None
    network = _pretrained(job, dataset)
    baseline = _baseline(job, dataset, network, size)
    network.classifier.load_state_dict(baseline.probe.as_head().state_dict())
    if method == "probe":
        return _candidate(job, dataset, size, "probe", network, "identity"), baseline
    symmetry = job.decide("symmetry", lambda: _symmetry(job, dataset, size, network, baseline))
    views = job.decide("views", lambda: _views(job, dataset, size, network, symmetry))
    seconds = job.seconds_left() - _evaluation_seconds(job, views) - _REPORTING
    if method == "auto" and not job.ledger.decide("tune", lambda: _worth_tuning(job, seconds)):
        job.tell(Choice(topic="method", choice="probe", why="no time is left for fine-tuning"))
        return _candidate(job, dataset, size, "probe", network, "identity"), baseline
    probe_network = copy.deepcopy(network)
    tuned = _fine_tuned(job, dataset, size, network, symmetry, views, seconds)
    if method == "finetune":
        return tuned, baseline
    val = dataset.indices("val")
    probe_loss = _calibrated(baseline.probe.logits(baseline.features[val]), dataset)[1]
    why = f"log loss on validation: {tuned.log_loss:.4f} fine-tuned, {probe_loss:.4f} probe"
    if tuned.log_loss <= probe_loss:
        job.tell(Choice(topic="method", choice="fine-tuning", why=why))
        return tuned, baseline
    job.tell(Choice(topic="method", choice="probe", why=why))
    return _candidate(job, dataset, size, "probe", probe_network, "identity"), baseline


def _worth_tuning(job: Job, seconds: float) -> bool:
    """Whether fine-tuning is begun; a resumed fit goes on with it however little time is left."""
    return job.config.epochs is not None or seconds >= _LEAST_TUNING


def _pretrained(job: Job, dataset: Dataset) -> Network:
    weights = "imagenet" if job.config.weights == "auto" else job.config.weights
    network = create_model(job.config.model, num_classes=len(dataset.classes), weights=weights)
    return network.to(job.device)


def _baseline(job: Job, dataset: Dataset, network: Network, size: int) -> Baseline:
    """The probe; its figures on validation are the first that the user sees."""
    features = job.ledger.timed(
        "features",
        lambda: features_of(network, dataset, size, job.ledger, job.progress, job.stop),
    )
    probe = job.ledger.timed(
        "train", lambda: probe_of(dataset, features, job.config.seed, job.ledger)
    )
    val = dataset.indices("val")
    logits = probe.logits(features[val])
    accuracy = (logits.argmax(1).numpy() == dataset.labels[val]).mean()
    job.progress.say(
        f"baseline after {duration(job.seconds())}: linear probe on frozen features, "
        f"validation accuracy {accuracy:.4f}, log loss {_calibrated(logits, dataset)[1]:.4f}"
    )
    return Baseline(probe=probe, features=features)


def _symmetry(
    job: Job, dataset: Dataset, size: int, network: Network, baseline: Baseline
) -> tuple[str, Choice]:
    if job.config.symmetry != "auto":
        asked = job.config.symmetry
        return asked, Choice(topic="symmetry", choice=asked, why="asked for")
    logits, labels = transformed_logits(
        network, baseline.probe, baseline.features, dataset, size, job.stop
    )
    return choose_symmetry(logits, labels)


def _views(
    job: Job, dataset: Dataset, size: int, network: Network, symmetry: str
) -> tuple[str, Choice]:
    """The symmetries averaged in prediction: as many as the time allows."""
    predictor = Predictor(
        network=network, symmetry="identity", calibration=Calibration(), device=job.device
    )
    held_out = np.concatenate([dataset.indices("val"), dataset.indices("test")])
    pixels = dataset.pixels.center_crops(held_out[:BATCH_SIZE], size)
    predictor.logits(pixels)
    began = time.monotonic()
    predictor.logits(pixels)
    one_view = (time.monotonic() - began) / len(pixels) * len(held_out)
    views = "identity"
    for name, numbers in SYMMETRIES.items():
        if len(numbers) * one_view <= _EVALUATION_SHARE * job.config.time:
            views = name
        if name == symmetry:
            break
    job.ledger.decide("seconds a view", lambda: one_view)
    why = f"{duration(one_view)} for the held-out items in each of {len(SYMMETRIES[views])} views"
    return views, Choice(topic="prediction", choice=f"mean over {views}", why=why)


def _evaluation_seconds(job: Job, views: str) -> float:
    one_view: float = job.ledger.decide("seconds a view", lambda: 0.0)
    return one_view * len(SYMMETRIES[views])


def _fine_tuned(
    job: Job,
    dataset: Dataset,
    size: int,
    network: Network,
    symmetry: str,
    views: str,
    seconds: float,
) -> Candidate:
    deadline = time.monotonic() + seconds
    training = job.ledger.timed(
        "train",
        lambda: finetune.tail_training(
            network,
            dataset,
            size=size,
            symmetry=symmetry,
            seed=job.config.seed,
            batch_size=BATCH_SIZE,
            folder=job.folder,
            progress=job.progress,
            stop=job.stop,
        ),
    )
    history = _train(job, training, deadline)
    return _candidate(job, dataset, size, "finetune", network, views, history)


def _from_scratch(job: Job, dataset: Dataset, size: int) -> Candidate:
    torch.manual_seed(job.config.seed)
    network = create_model(job.config.model, num_classes=len(dataset.classes)).to(job.device)
    training = finetune.full_training(
        network,
        dataset,
        size=size,
        symmetry="mirror" if job.config.symmetry == "auto" else job.config.symmetry,
        seed=job.config.seed,
        batch_size=BATCH_SIZE,
        workers=job.config.workers,
    )
    deadline = time.monotonic() + (1 - _EVALUATION_SHARE) * job.seconds_left() - _REPORTING
    history = _train(job, training, deadline)
    return _candidate(job, dataset, size, "scratch", network, "identity", history)


def _train(job: Job, training: finetune.Training, end: float) -> list[dict[str, float]]:
    """Train to the moment `end`, or for the epochs asked for; a row an epoch."""
    asked = job.config.epochs

    def make_plan() -> dict[str, object]:
        return finetune.plan_training(
            training,
            epochs=asked,
            seconds=end - time.monotonic(),
            batch_size=BATCH_SIZE,
            seed=job.config.seed,
        ).to_json()

    plan = TrainPlan(**job.ledger.decide("plan", make_plan))
    job.progress.say(f"training {plan.epochs} epochs of {training.batches.steps_per_epoch} steps")
    deadline = Deadline(end - time.monotonic()) if asked is None else None
    result = job.ledger.timed(
        "train",
        lambda: finetune.run_training(
            training,
            plan,
            folder=job.folder,
            deadline=deadline,
            progress=job.progress,
            stop=job.stop,
        ),
    )
    return finetune.history_rows(result.history)


def _candidate(
    job: Job,
    dataset: Dataset,
    size: int,
    method: str,
    network: Network,
    views: str,
    history: Sequence[dict[str, float]] = (),
) -> Candidate:
    """The network as a calibrated predictor."""
    predictor = Predictor(
        network=network.eval(), symmetry=views, calibration=Calibration(), device=job.device
    )
    val = dataset.indices("val")
    logits = job.ledger.timed(
        "evaluate",
        lambda: predict_items(
            predictor, dataset, val, size, job.progress, "predicting validation", job.stop
        ),
    )
    calibration, loss = _calibrated(logits, dataset)
    return Candidate(
        method=method,
        predictor=replace(predictor, calibration=calibration),
        logits=logits,
        log_loss=loss,
        history=history,
    )


def _calibrated(logits: Tensor, dataset: Dataset) -> tuple[Calibration, float]:
    """The calibration that suits the validation items best, and their log loss under it."""
    labels = dataset.labels[dataset.indices("val")]
    calibration = fit_calibration(logits.numpy(), labels)
    return calibration, negative_log_likelihood(calibration.scaled(logits.numpy()), labels)
